//! Wall clocks that are wrong: one replica's an hour ahead, one's an hour behind.

use crate::{SLACK, START};
use anyhow::{Context as _, ensure};
use leasehold_replica_tests::{Conduct, Group, Replica, Terms, Witness};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LEASE: Duration = Duration::from_secs(4);
const TTL: Duration = Duration::from_secs(6);
/// So many numbers are set aside for each second of the wall clock.
const NUMBERS_PER_SECOND: u64 = 1 << 20;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Debian's libfaketime. It moves what the server asks of the C library, so the wall clock: its
/// monotonic clock is a system call.
pub(crate) fn libfaketime() -> anyhow::Result<String> {
    let folders = std::fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    let found: Option<PathBuf> = libraries.find(|library| library.is_file());
    Ok(found.context("libfaketime isn't there: install the Debian package libfaketime")?.display().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wall_clocks_that_are_wrong_break_no_promise() -> anyhow::Result<()> {
    let library = libfaketime()?;
    let mut builder = Group::builder().quick();
    for (number, offset) in [(0, "+1h"), (1, "-1h")] {
        builder = builder
            .env(number, "LD_PRELOAD", &library)
            .env(number, "FAKETIME", offset)
            .env(number, "FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env(number, "NO_FAKE_STAT", "1");
    }
    let mut group = builder.start().await?;
    let mut active = group.settled(START).await?;
    let watched = Terms::watch(&group)?;
    let mut witness = Witness::start(group.endpoints()).await?;
    witness.pair("jobs/kept", TTL, Conduct::Keeps, START).await?;
    witness.pair("jobs/passed", TTL, Conduct::Passes(Duration::from_millis(200)), START).await?;
    let mut seen = vec![active];
    // Whoever was active stays down until each was: then one of the first two again, after the
    // last.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        group.replicas[active].server.kill9().await?;
        if seen.len() == 3 {
            for number in group.others(active) {
                group.replicas[number].server.restart().await?;
            }
        }
        let killed = Instant::now();
        active = group.settled(LEASE + TTL + SLACK * 2).await?;
        seen.push(active);
        witness.led_since("jobs/passed", killed + Duration::from_secs(1), SLACK).await?;
    }
    seen.truncate(3);
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2], "each was active");
    witness.finish().await?;
    let terms = watched.finish().await?;
    ensure!(terms.len() >= 4, "{terms:#?}");
    let ahead = terms.iter().position(|term| term.replica == 0).context("it was active")?;
    for term in &terms[ahead..] {
        let seconds = term.tenure / NUMBERS_PER_SECOND;
        ensure!(seconds + HOUR / 2 > terms[ahead].tenure / NUMBERS_PER_SECOND, "{term:?}");
    }
    let clocks: Vec<u64> = group.replicas.iter().map(first_line_at).collect::<Result<_, _>>()?;
    for (number, offset) in [(0, HOUR), (1, DAY - HOUR)] {
        let apart = (DAY + clocks[number] - clocks[2]) % DAY;
        ensure!(apart.abs_diff(offset) < 60, "replica {number}'s clock isn't wrong: {apart} s apart");
    }
    let log = group.replicas[0].server.process().stderr();
    ensure!(!log.contains("certificate"), "TLS depends on the wall clock, and must bear an hour");
    Ok(())
}

/// The time of day, in seconds, of the first line that a replica has logged: all begin within
/// seconds of each other.
fn first_line_at(replica: &Replica) -> anyhow::Result<u64> {
    let log = replica.server.process().stderr();
    let (_, time) = log.split_once('T').context("a line begins with its date and time")?;
    let parts = time.get(..8).context("a time has eight characters")?.split(':');
    parts.map(str::parse::<u64>).try_fold(0, |seconds, part| Ok(seconds * 60 + part?))
}
