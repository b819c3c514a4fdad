//! kill -9 of the active replica, with the settings that replicas have unless told otherwise.

use crate::{SLACK, START};
use anyhow::ensure;
use leasehold_replica_tests::{Conduct, Group, Terms, Witness};
use std::time::{Duration, Instant};

/// The defaults of --lease-duration and --max-ttl.
const LEASE: Duration = Duration::from_secs(8);
const MAX_TTL: Duration = Duration::from_secs(15);
/// The longest TTL with 5 % for clocks that run apart.
const WAIT: Duration = Duration::from_millis(15_750);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_changes_no_leader_whose_ttl_outlasts_it() -> anyhow::Result<()> {
    let mut group = Group::builder().start().await?;
    let first = group.settled(START).await?;
    let watched = Terms::watch(&group)?;
    let mut witness = Witness::start(group.endpoints()).await?;
    let mut kept = Vec::new();
    for election in ["jobs/a", "jobs/b", "jobs/c"] {
        kept.push(witness.pair(election, MAX_TTL, Conduct::Keeps, START).await?);
    }
    let short = witness.pair("jobs/short", Duration::from_secs(2), Conduct::Keeps, START).await?;
    witness.pair("jobs/passed", MAX_TTL, Conduct::Passes(Duration::from_millis(300)), START).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let killed = Instant::now();
    group.replicas[first].server.kill9().await?;
    let second = group.active(LEASE + SLACK).await?;
    let took_over = killed.elapsed();
    ensure!(took_over <= LEASE + SLACK, "the Lease was taken over after {took_over:?}");
    let asked = Instant::now();
    let age = Duration::try_from(group.replicas[second].status().await?.tenure_age.expect("it is active"))?;
    // Not later than it began.
    let began = asked.checked_sub(age).expect("the machine has run for longer");

    let deadline = (killed + LEASE + WAIT + SLACK) - Instant::now();
    let again = witness.led_since("jobs/short", killed + Duration::from_secs(3), deadline).await?;
    let passed = witness.led_since("jobs/passed", began, deadline).await?;
    ensure!(again.token > short.token);
    println!(
        "kill -9: another replica active after {took_over:?}, {:?} and {:?} until it granted again",
        again.from - killed,
        passed.from - killed
    );
    // On to the end of every TTL that was given before the crash.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let record = witness.finish().await?;
    for lead in &kept {
        record.kept(lead)?;
    }
    // What was granted just before may arrive a moment after.
    let early: Vec<_> = record.granted_between(killed + Duration::from_millis(500), began + WAIT).collect();
    ensure!(early.is_empty(), "granted while a leader of the former tenure may have been out there: {early:#?}");
    let terms = watched.finish().await?;
    assert_eq!(terms.iter().map(|term| term.replica).collect::<Vec<_>>(), [first, second]);
    Ok(())
}
