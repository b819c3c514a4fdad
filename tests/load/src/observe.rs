//! `observe`: one election that changes often, many observers, all of which must see the last
//! change.

use anyhow::{Context as _, Result};
use leasehold_harness::Server;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::connect::connect;
use crate::machine::{Meter, Usage};
use crate::real::{RealArgs, stop};

mod leader;
mod report;
mod watcher;

use leader::Leader;
use watcher::{Change, Seen, Watcher};

/// How long all observers may take to be synced, and to see the last change after it was made.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the changes themselves may take, each.
const CHANGE_PATIENCE: Duration = Duration::from_millis(100);

/// The election that changes.
const ELECTION: &str = "load/observed";

/// The settings of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Observers of the one election.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    observers: u32,
    /// How often its leader changes its value.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    changes: u32,
    /// Changes a second. Without this: the next as soon as the last is answered.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Connections that the observers share.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    #[command(flatten)]
    real: RealArgs,
}

impl Args {
    /// When a run that goes on is one that hangs.
    pub(crate) fn time_limit(&self) -> Duration {
        let paced = self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs((self.changes / rate).into()));
        paced + CHANGE_PATIENCE * self.changes + 3 * PATIENCE
    }
}

/// What a run found.
#[derive(Debug)]
struct Outcome {
    /// How long it took to make the changes.
    changing: Duration,
    /// From before the last change was sent until the last observer had it.
    until_all_had_it: Duration,
    usage: Usage,
    seen: Seen,
}

/// Makes the run and prints it.
///
/// # Errors
///
/// When the server doesn't start, or an observer sees something wrong, or doesn't see the last
/// change.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let server = args.real.start().await?;
    report::print_head(args);
    let outcome = observe(args, &server).await?;
    report::print(args, &outcome);
    stop(server).await?;
    Ok(())
}

async fn observe(args: &Args, server: &Server) -> Result<Outcome> {
    let origin = Instant::now();
    let mut leader = Leader::campaign(server.elections().await?, ELECTION).await?;
    let clients = connect(&server.endpoint(), args.connections.into()).await?;
    let observers = usize::try_from(args.observers)?;
    let (synced, mut all_synced) = mpsc::channel(observers);
    let mut watchers = JoinSet::new();
    for client in clients.iter().cycle().take(observers).cloned() {
        let watcher = Watcher { client, origin, last: args.changes };
        watchers.spawn(watcher.run(ELECTION, synced.clone()));
    }
    drop(synced);
    let waiting = async { while all_synced.recv().await.is_some() {} };
    tokio::time::timeout(PATIENCE, waiting).await.context("the observers aren't synced within 60 s")?;

    let meter = Meter::start(server.pid())?;
    let start = Instant::now();
    let mut last_sent = start;
    for number in 1..=args.changes {
        let due = args.rate.map_or(start, |rate| start + Duration::from_secs(1) * (number - 1) / rate);
        tokio::time::sleep_until(due.into()).await;
        last_sent = Instant::now();
        leader.proclaim(Change { number, sent: last_sent - origin }).await?;
    }
    let changing = start.elapsed();

    let mut seen = Seen::new();
    let collect = async {
        while let Some(done) = watchers.join_next().await {
            seen.add(&done.context("an observer panicked")??);
        }
        Ok::<_, anyhow::Error>(())
    };
    let collected = tokio::time::timeout(PATIENCE, collect).await;
    collected.with_context(|| {
        format!("after 60 s, {} of {observers} observers haven't seen the last change", watchers.len())
    })??;
    let usage = meter.read()?;
    let until_all_had_it = seen.last_at.context("nobody saw anything")?.saturating_duration_since(last_sent);
    Ok(Outcome { changing, until_all_had_it, usage, seen })
}
