//! Limits by raw gRPC: each is reached, refused with a text that names it, and free again when
//! something ends.

use anyhow::ensure;
use leasehold_harness::{
    Campaign, ElectionClient, Observer, PATIENCE, Server, ServerBuilder, assert_refused, http_get, leased, stream_bound,
};
use leasehold_proto::v1::ObserveRequest;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

fn with(flag: &str, limit: &str) -> ServerBuilder {
    Server::builder().arg(flag).arg(limit)
}

async fn refused(client: &mut ElectionClient, election: &str) -> Status {
    Campaign::open(client, leased(election, "one-too-many", 15_000)).await.expect_err("the limit is reached")
}

#[tokio::test]
async fn elections() -> anyhow::Result<()> {
    let server = with("--max-elections", "3").start().await?;
    let mut client = server.elections().await?;
    let mut open = Vec::new();
    for index in 0..3 {
        open.push(Campaign::open(&mut client, leased(&format!("jobs/{index}"), "x", 15_000)).await?);
    }
    let status = refused(&mut client, "jobs/3").await;
    assert_refused(&status, Code::ResourceExhausted, "TOO_MANY_ELECTIONS", &["3", "max_elections"]);
    // One more candidate of an election that exists is no new election.
    let second = Campaign::open(&mut client, leased("jobs/0", "second", 15_000)).await?;
    open[0].resign(&mut client).await?;
    let status = refused(&mut client, "jobs/3").await;
    assert_refused(&status, Code::ResourceExhausted, "TOO_MANY_ELECTIONS", &["3"]);
    second.resign(&mut client).await?;
    Campaign::open(&mut client, leased("jobs/3", "x", 15_000)).await?.elected().await?;
    Ok(())
}

#[tokio::test]
async fn candidacies() -> anyhow::Result<()> {
    let server = with("--max-candidacies", "4").start().await?;
    let mut client = server.elections().await?;
    let mut open = Vec::new();
    for index in 0..4 {
        open.push(Campaign::open(&mut client, leased(&format!("jobs/{}", index % 2), "x", 15_000)).await?);
    }
    let status = refused(&mut client, "jobs/0").await;
    assert_refused(&status, Code::ResourceExhausted, "TOO_MANY_CANDIDACIES", &["4", "max_candidacies"]);
    open[3].resign(&mut client).await?;
    Campaign::open(&mut client, leased("jobs/2", "x", 15_000)).await?.elected().await?;
    Ok(())
}

#[tokio::test]
async fn candidacies_of_one_election() -> anyhow::Result<()> {
    let server = with("--max-candidacies-per-election", "2").start().await?;
    let mut client = server.elections().await?;
    let mut first = Campaign::open(&mut client, stream_bound("jobs/full", "a")).await?;
    first.elected().await?;
    let mut second = Campaign::open(&mut client, leased("jobs/full", "b", 15_000)).await?;
    let status = refused(&mut client, "jobs/full").await;
    let parts = ["jobs/full", "2", "max_candidacies_per_election"];
    assert_refused(&status, Code::ResourceExhausted, "ELECTION_FULL", &parts);
    Campaign::open(&mut client, leased("jobs/other", "a", 15_000)).await?.elected().await?;
    drop(first);
    second.elected().await?;
    Campaign::open(&mut client, leased("jobs/full", "c", 15_000)).await?.waiting().await?;
    Ok(())
}

#[tokio::test]
async fn observers() -> anyhow::Result<()> {
    let server = with("--max-observers", "2").start().await?;
    let mut client = server.elections().await?;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut observer = Observer::open(&mut client, ObserveRequest::default()).await?;
        observer.synced().await?;
        open.push(observer);
    }
    let status = Observer::open(&mut client, ObserveRequest::default()).await.expect_err("the limit is reached");
    assert_refused(&status, Code::ResourceExhausted, "TOO_MANY_OBSERVERS", &["2", "max_observers"]);
    open.pop();
    // The server learns a moment later that the stream is gone.
    let since = Instant::now();
    while let Err(status) = Observer::open(&mut client, ObserveRequest::default()).await {
        assert!(since.elapsed() < Duration::from_secs(10), "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Whoever came then waited without a word, in the log or anywhere else.
#[tokio::test]
async fn connections() -> anyhow::Result<()> {
    // 400 files are for the rest, and an eighth for newcomers: 20 connections.
    let builder = Server::builder().open_files(480).arg("--max-connections-per-address").arg("100");
    let server = builder.start().await?;
    let mut first = server.elections().await?;
    Campaign::open(&mut first, leased("jobs/first", "x", 15_000)).await?.elected().await?;
    let mut others = Vec::new();
    for _ in 0..19 {
        let mut other = TcpStream::connect(server.address()).await?;
        other.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        others.push(other);
    }
    // Its first call waits: its connection is one too many.
    let endpoint = Endpoint::from_shared(server.endpoint())?;
    let late = tokio::spawn(async move {
        let mut client = ElectionClient::new(endpoint.connect_lazy());
        Campaign::open(&mut client, leased("jobs/late", "x", 15_000)).await
    });
    let said = server.process().wait_for_error("all connections", PATIENCE).await?;
    ensure!(said.contains("limit=20") && said.contains("open files"), "{said}");
    let metrics = http_get(&format!("{}/metrics", server.http())).await?.body;
    for line in ["leasehold_connections 20", "leasehold_connections_limit 20", "leasehold_connections_full_total 1"] {
        ensure!(metrics.contains(&format!("{line}\n")), "{line}: {metrics}");
    }
    // Whoever is in is served.
    Campaign::open(&mut first, leased("jobs/second", "x", 15_000)).await?.elected().await?;
    drop(others);
    tokio::time::timeout(PATIENCE, late).await???.elected().await?;
    Ok(())
}
