//! Streams on which nothing happens, and peers that fall silent without closing their connection.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, Process, Server, grpcurl, leased, stream_bound};
use leasehold_proto::v1::{CampaignResponse, ObserveRequest, ObserveResponse, campaign_response, observe_response};
use std::time::{Duration, Instant};

/// A heartbeat comes at least this often.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// A dead peer is noticed by HTTP/2 pings: one every 10 s, each answered within 5 s.
const NOTICED: Duration = Duration::from_secs(15);
/// For a busy machine.
const SLACK: Duration = Duration::from_secs(5);

#[tokio::test]
async fn idle_streams_carry_heartbeats() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut campaign = client.campaign(stream_bound("jobs/idle", "x")).await?.into_inner();
    let mut observe = client.observe(ObserveRequest::default()).await?.into_inner();
    let start = Instant::now();
    let campaign_beats = async {
        loop {
            let CampaignResponse { tenure, event, .. } = campaign.message().await?.context("the stream goes on")?;
            if let Some(campaign_response::Event::Heartbeat(_)) = event {
                return anyhow::Ok((tenure, start.elapsed()));
            }
        }
    };
    let observe_beats = async {
        loop {
            let ObserveResponse { tenure, event } = observe.message().await?.context("the stream goes on")?;
            if let Some(observe_response::Event::Progress(_)) = event {
                return anyhow::Ok((tenure, start.elapsed()));
            }
        }
    };
    let both = async { tokio::try_join!(campaign_beats, observe_beats) };
    let ((tenure, first), (same, second)) = tokio::time::timeout(HEARTBEAT + SLACK, both).await??;
    ensure!(tenure > 0 && tenure == same, "a heartbeat names its tenure: {tenure}, {same}");
    ensure!(first > Duration::from_secs(1) && second > Duration::from_secs(1), "{first:?}, {second:?}");
    Ok(())
}

#[tokio::test]
async fn a_stream_bound_leader_that_freezes_is_succeeded_when_its_connection_is_found_dead() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let data = r#"{"election": "jobs/frozen", "candidate": "frozen"}"#;
    let call = grpcurl(&server, &["-d", data], &["leasehold.v1.ElectionService/Campaign"])?;
    let frozen = Process::spawn("grpcurl", call)?;
    frozen.wait_for_line(|line| line.contains("fencingToken"), SLACK * 4).await?;
    let mut client = server.elections().await?;
    let mut heir = Campaign::open(&mut client, leased("jobs/frozen", "heir", 15_000)).await?;
    assert_eq!(heir.waiting().await?.ahead, 1);
    // The kernel goes on to take what arrives: the connection stays open, and nobody is at its
    // other end.
    frozen.sigstop().await?;
    let since = Instant::now();
    let keeper = leasehold_harness::Keeper::start(&client, &[&heir], Duration::from_secs(3));
    tokio::time::timeout(NOTICED + SLACK, heir.elected()).await.context("nobody noticed")??;
    ensure!(since.elapsed() > Duration::from_secs(1), "that can't have been a ping: {:?}", since.elapsed());
    drop(keeper);
    Ok(())
}
