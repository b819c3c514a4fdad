//! Thousands of streams through one standby.

use crate::{SLACK, START};
use anyhow::ensure;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use leasehold_harness::{Campaign, refusal, stream_bound};
use leasehold_replica_tests::Group;
use std::time::{Duration, Instant};
use tonic::Code;

const STREAMS: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_streams_go_through_one_standby() -> anyhow::Result<()> {
    let mut group = Group::builder().count(2).quick().start().await?;
    let active = group.settled(START).await?;
    let standby = group.others(active)[0];
    let client = group.replicas[standby].server.elections().await?;
    let began = Instant::now();
    let mut campaigns: Vec<Campaign> = stream::iter(0..STREAMS)
        .map(|number| {
            let mut client = client.clone();
            async move {
                let mut campaign = Campaign::open(&mut client, stream_bound(&format!("many/{number}"), "only")).await?;
                campaign.elected().await?;
                anyhow::Ok(campaign)
            }
        })
        .buffer_unordered(100)
        .try_collect()
        .await?;
    println!("{STREAMS} streams through one standby, each elected, within {:?}", began.elapsed());
    let status = group.replicas[active].status().await?;
    assert_eq!(status.leaders, STREAMS as u64);
    // They are alive: each hears when its candidacy ends.
    let gone = campaigns.split_off(STREAMS / 2);
    drop(gone);
    let deadline = Instant::now() + SLACK * 3;
    while group.replicas[active].status().await?.leaders != (STREAMS / 2) as u64 {
        ensure!(Instant::now() < deadline, "{:?}", group.replicas[active].status().await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    group.replicas[active].server.sigterm(Duration::from_secs(10)).await?;
    for campaign in &mut campaigns {
        let status = campaign.failure().await?;
        ensure!(status.code() == Code::Unavailable, "{status:?}");
        ensure!(["SHUTTING_DOWN", "NOT_ACTIVE", "ACTIVE_UNREACHABLE"].contains(&refusal(&status).reason.as_str()));
    }
    let next = group.active(SLACK).await?;
    assert_eq!(next, standby);
    Ok(())
}
