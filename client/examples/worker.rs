//! A worker: campaigns, works a step at a time while it leads, resigns on Ctrl-C.
//!
//! `cargo run -p leasehold --example worker -- [ELECTION] [ENDPOINT,...]`, in as many terminals as
//! you like.

use futures::StreamExt as _;
use leasehold::{Client, Error, Leadership, Lost, Standing};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let election = args.next().unwrap_or_else(|| "billing/nightly".to_owned());
    let endpoint = args.next().unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let client = Client::connect(endpoint).await?;
    loop {
        // Dropping either future resigns, so Ctrl-C may come at any moment.
        let leadership = tokio::select! {
            leadership = lead(&client, &election) => leadership?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        println!("leading with fencing token {}", leadership.fencing_token());
        tokio::select! {
            lost = work(&leadership) => println!("{lost}"),
            () = leadership.draining() => {
                println!("told to hand over");
                leadership.resign().await?;
            }
            _ = tokio::signal::ctrl_c() => return leadership.resign().await,
        }
    }
}

/// Waits for the lead, and tells how that goes.
async fn lead(client: &Client, election: &str) -> Result<Leadership, Error> {
    let candidacy = client.campaign(election).ttl(Duration::from_secs(5)).enroll().await?;
    let mut standings = candidacy.standings();
    tokio::spawn(async move {
        while let Some(standing) = standings.next().await {
            if let Standing::Waiting { ahead, .. } = standing {
                println!("waiting, {} before this one", ahead.map_or("some".to_owned(), |ahead| ahead.to_string()));
            }
        }
    });
    candidacy.elected().await
}

/// Works until the lead is lost. Each step carries the fencing token, so that what it writes to can
/// refuse a stale one.
async fn work(leadership: &Leadership) -> Lost {
    let steps = async {
        for step in 1.. {
            println!("step {step} with token {}", leadership.fencing_token());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    match leadership.guard(steps).await {
        Err(lost) => lost,
        Ok(()) => Lost::Resigned,
    }
}
