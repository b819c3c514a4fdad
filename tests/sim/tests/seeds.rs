//! A bounded part of the simulation: enough to notice what breaks often. `sim --seeds N` does any number.

use std::collections::BTreeSet;

/// Runs take a few milliseconds each, ten times as long without optimisation.
const SEEDS: u64 = 300;

#[test]
fn the_guarantees_hold() {
    let mut reached = BTreeSet::new();
    for seed in 0..SEEDS {
        match leasehold_sim::run(seed, false) {
            Ok(report) => reached.extend(report.reached.into_keys()),
            Err(failure) => panic!(
                "{} is broken {}\nrepeat it with: cargo run --release -p leasehold-sim -- --seeds 1 --from {seed}",
                failure.guarantee, failure.detail
            ),
        }
    }
    // A simulation in which nothing happens proves nothing.
    for what in [
        "crashed",
        "crashed with a write under way, which was stored",
        "elected",
        "entered in the place of its former self",
        "leader expired",
        "leader put back",
        "leader replaced",
        "leader resigned",
        "leader stepped down",
        "message late",
        "message lost",
        "observer reset",
        "old ticket replayed",
        "older record restored",
        "paused",
        "proclaimed",
        "record lost",
        "right ended",
        "shut down while active",
        "store failed",
        "store hung",
        "store slow",
        "stream cut",
        "stream opened again",
        "tenure began settled",
        "tenure began with a wait",
        "told to hand over",
        "told to stop",
        "wall clock set",
        "worker crashed",
        "worker parted from the server",
        "worker past its deadline",
        "worker paused",
    ] {
        assert!(reached.contains(what), "{what:?} was never reached; these were: {reached:#?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 7, 99] {
        let (one, two) = (leasehold_sim::run(seed, false), leasehold_sim::run(seed, true));
        let (one, two) = (one.expect("it keeps every promise"), two.expect("it keeps every promise"));
        assert_eq!((one.events, one.reached), (two.events, two.reached), "seed {seed}");
    }
}
