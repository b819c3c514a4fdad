//! The Lease is lost, and the clock of the replica that takes over is an hour behind: numbers fall,
//! until a ticket from before shows it, or not at all where an operator carries the old ceiling
//! over.

use crate::clocks::libfaketime;
use crate::{SLACK, START};
use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, http_get, keep_alive, leased};
use leasehold_proto::v1::{CandidacyState, EndReason};
use leasehold_replica_tests::{Group, LEASE, NAMESPACE};
use std::time::{Duration, Instant};
use tonic::Code;

/// Of the Lease and of the longest TTL, with what passes until they are over.
const TAKEOVER: Duration = Duration::from_secs(4 + 7);

/// A group of one whose clock is an hour ahead, its leader, and that leader's token.
async fn an_hour_ahead() -> anyhow::Result<(Group, Campaign, u64)> {
    let ahead = [("FAKETIME", "+1h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("NO_FAKE_STAT", "1")];
    let mut builder = Group::builder().quick().count(1).env(0, "LD_PRELOAD", &libfaketime()?);
    for (name, value) in ahead {
        builder = builder.env(0, name, value);
    }
    let group = builder.start().await?;
    group.settled(START).await?;
    let mut client = group.replicas[0].server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/before", "old", 6_000)).await?;
    let token = leader.elected().await?.fencing_token;
    Ok((group, leader, token))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_from_before_a_restore_lifts_the_numbers() -> anyhow::Result<()> {
    let (mut group, leader, before) = an_hour_ahead().await?;
    group.replicas[0].server.kill9().await?;
    group.edit("delete", &[]).await?;
    let number = group.add().await?;
    let low = group.active_where(TAKEOVER + SLACK, |status| status.tenure < before).await?;
    assert_eq!(low, number, "the one with the right clock");

    let mut client = group.replicas[number].server.elections().await?;
    let refused = keep_alive(&mut client, &leader.ticket).await.expect_err("its tenure has to end first");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    group.active_where(SLACK, |status| status.tenure > before).await.context("it begins above")?;
    let result = keep_alive(&mut client, &leader.ticket).await?;
    assert_eq!((result.state(), result.end_reason()), (CandidacyState::Ended, EndReason::Expired));
    group.settled(TAKEOVER + SLACK).await?;
    let mut next = Campaign::open(&mut client, leased("jobs/before", "new", 6_000)).await?;
    let after = next.elected().await?.fencing_token;
    ensure!(after > before, "{after} after {before}");

    let metrics = http_get(&format!("{}/metrics", group.replicas[number].server.http())).await?.body;
    ensure!(metrics.lines().any(|line| line.contains("BEHIND") && line.ends_with(" 1")), "{metrics}");
    Ok(())
}

/// The runbook of docs/operations.md, "Backup and restore".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_in_the_lease_carries_the_old_ceiling_over() -> anyhow::Result<()> {
    let (mut group, _leader, before) = an_hour_ahead().await?;
    let path = r"jsonpath={.metadata.annotations.leasehold\.dev/ceiling}";
    let ceiling = group.edit("get", &["--output", path]).await?;
    ensure!(ceiling.trim().parse::<u64>()? > before, "{ceiling:?}");
    group.replicas[0].server.kill9().await?;
    group.edit("delete", &[]).await?;
    let lease = format!(
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  name: {LEASE}\n  namespace: {NAMESPACE}\n  \
         annotations:\n    leasehold.dev/floor: \"{}\"\n",
        ceiling.trim()
    );
    group.plane.admin().apply(&lease).await?;
    let number = group.add().await?;
    let started = Instant::now();
    group.active(TAKEOVER + SLACK).await?;
    let tenure = group.replicas[number].status().await?.tenure;
    ensure!(tenure > before, "the first tenure begins above: {tenure} and {before}, after {:?}", started.elapsed());
    let lease = group.lease_where(SLACK, |lease| lease.tenure() == Some(tenure)).await?;
    assert_eq!(lease.annotation("floor"), None, "it has done its work");
    Ok(())
}
