//! An orderly stop under load: it ends in time, and every stream is told why.

use anyhow::ensure;
use leasehold_harness::{Campaign, Observer, Server, assert_refused, leased, stream_bound};
use leasehold_proto::v1::ObserveRequest;
use std::time::{Duration, Instant};
use tonic::Code;

/// What is promised.
const LIMIT: Duration = Duration::from_secs(5);
/// Long enough that nothing runs out while a busy machine opens a thousand streams.
const TTL_MS: u32 = 600_000;

#[tokio::test]
async fn a_thousand_open_streams_dont_delay_the_end_and_each_is_told_why() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("10m").start().await?;
    let (mut campaigns, mut observers) = (Vec::new(), Vec::new());
    for connection in 0..4 {
        let mut client = server.elections().await?;
        for index in 0..125 {
            let name = format!("{connection}-{index}");
            let leased = leased(&format!("jobs/{index}"), &name, TTL_MS);
            let request = if index % 2 == 0 { leased } else { stream_bound(&format!("jobs/{index}"), &name) };
            campaigns.push(Campaign::open(&mut client, request).await?);
            observers.push(Observer::open(&mut client, ObserveRequest::default()).await?);
        }
    }
    let asked = Instant::now();
    let ending = server.sigterm(LIMIT * 4).await?;
    let took = asked.elapsed();
    assert_eq!(ending.status.code(), Some(0), "{}", ending.stderr);
    ensure!(took < LIMIT, "it took {took:?}");
    for campaign in &mut campaigns {
        assert_refused(&campaign.failure().await?, Code::Unavailable, "SHUTTING_DOWN", &["shutting down"]);
    }
    for observer in &mut observers {
        assert_refused(&observer.failure().await?, Code::Unavailable, "SHUTTING_DOWN", &["shutting down"]);
    }
    Ok(())
}

#[tokio::test]
async fn streams_that_nobody_reads_dont_delay_the_end() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("10m").start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/loud", "x", TTL_MS)).await?;
    leader.elected().await?;
    let mut unread = Vec::new();
    for _ in 0..50 {
        unread.push(Observer::open(&mut client, ObserveRequest::default()).await?);
    }
    // More than the windows of a stream and of a connection hold.
    let mut other = server.elections().await?;
    for _ in 0..2_000 {
        leader.proclaim(&mut other, &"v".repeat(4_096)).await?;
    }
    let asked = Instant::now();
    server.sigterm(LIMIT * 4).await?;
    ensure!(asked.elapsed() < LIMIT, "it took {:?}", asked.elapsed());
    Ok(())
}

#[tokio::test]
async fn idle_connections_dont_delay_the_end() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let _idle = (server.channel().await?, tokio::net::TcpStream::connect(server.address()).await?);
    let _idle_http = tokio::net::TcpStream::connect(server.http_address()).await?;
    let asked = Instant::now();
    let ending = server.sigterm(LIMIT * 4).await?;
    assert_eq!(ending.status.code(), Some(0), "{}", ending.stderr);
    ensure!(asked.elapsed() < LIMIT, "it took {:?}", asked.elapsed());
    Ok(())
}
