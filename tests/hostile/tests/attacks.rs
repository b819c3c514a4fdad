//! Each attack for some seconds, beside honest workers: none of them is lost, the limit refuses,
//! and memory comes back.

use anyhow::{Context as _, ensure};
use leasehold_hostile::{ATTACKS, How, run};
use std::time::Duration;
use tokio::sync::Mutex;

const MIB: u64 = 1 << 20;

/// One attack at a time has the machine.
static MACHINE: Mutex<()> = Mutex::const_new(());

async fn withstands(name: &str) -> anyhow::Result<()> {
    let attack = ATTACKS.iter().find(|attack| attack.name == name).context("there is such an attack")?;
    let _machine = MACHINE.lock().await;
    let outcome = run(attack, Duration::from_secs(attack.seconds), &How::default()).await?;
    println!("{name}: {}\n{outcome}", attack.what);
    let honest = &outcome.honest;
    ensure!(honest.failures.is_empty(), "honest workers were hurt: {:?}", honest.failures);
    ensure!(honest.keep_alives >= 3 && honest.campaigns >= 3 && honest.probes >= 3, "they did too little: {honest:?}");
    let below = attack.stays_below_mib * MIB;
    ensure!(outcome.memory.iter().all(|bytes| *bytes < below), "it took more than {} MiB", attack.stays_below_mib);
    let files = outcome.files;
    ensure!((1..attack.stays_below_files).contains(&files), "it had {files} files open");
    ensure!(outcome.memory_came_back(), "memory didn't come back");
    ensure!(!attack.is_refused || outcome.report.refused > 0, "nothing was refused");
    Ok(())
}

macro_rules! attacks {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() -> anyhow::Result<()> {
                withstands($name).await
            }
        )*

        #[test]
        fn every_attack_is_run() {
            let tested = [$($name),*];
            for attack in ATTACKS {
                assert!(tested.contains(&attack.name), "{} is missing here", attack.name);
            }
        }
    };
}

attacks! {
    unread_lists: "unread-lists",
    unread_keep_alives: "unread-keep-alives",
    unread_watches: "unread-watches",
    unread_reflections: "unread-reflections",
    unread_observers: "unread-observers",
    silent_http: "silent-http",
    unread_http: "unread-http",
    silent_connections: "silent-connections",
    many_connections: "many-connections",
    half_open_tls: "half-open-tls",
    same_ticket: "same-ticket",
    task_tokens: "task-tokens",
    lists: "lists",
    bursts: "bursts",
    content_types: "content-types",
    rubbish: "rubbish",
    slow_bodies: "slow-bodies",
    values: "values",
    candidacies: "candidacies",
    proclaimed: "proclaimed",
    priority_frames: "priority-frames",
    unknown_frames: "unknown-frames",
    pings: "pings",
    settings: "settings",
    rapid_reset: "rapid-reset",
    continuations: "continuations",
}
