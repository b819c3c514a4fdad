//! A bounded part of the simulation: enough to notice what breaks often. `sim --seeds N` does any
//! number.

use std::num::NonZeroUsize;

/// Runs take a few milliseconds each, ten times as long without optimisation.
const SEEDS: u64 = 300;

/// A simulation in which nothing happens proves nothing: these must have happened.
const REACHED: &[&str] = &[
    "API server answers with errors",
    "API server down",
    "API server hung",
    "API server slow",
    "Campaign held up",
    "Campaign sent once more",
    "Lease deleted",
    "Lease deleted again",
    "Lease emptied",
    "Lease labelled",
    "Lease released",
    "a ticket showed higher numbers",
    "annotations stripped",
    "another holder set",
    "answer of the API server lost",
    "conflict",
    "crashed",
    "crashed with a write under way, which was stored",
    "disk full",
    "duration changed",
    "elected",
    "entered in the place of its former self",
    "forwarded by a standby",
    "held up in a standby",
    "leader expired",
    "leader put back",
    "leader replaced",
    "leader resigned",
    "leader stepped down",
    "lost to another holder",
    "message between replicas lost",
    "message late",
    "message lost",
    "mirror cut",
    "mirror has a gap",
    "mirror opened",
    "observer missed changes",
    "observer reset",
    "observer resumed in the next tenure",
    "old release restored",
    "old ticket replayed",
    "older Lease restored",
    "older record restored",
    "parted both ways",
    "parted one way",
    "paused",
    "proclaimed",
    "record lost",
    "replica cut off from the API server",
    "replica parted from all but the API server",
    "replicas parted both ways",
    "request applied after its sender gave it up",
    "request applied late",
    "request hung, and was applied later",
    "request to the API server lost",
    "right ended",
    "rolling restart",
    "runbook followed",
    "shut down while active",
    "step-down asked for",
    "store failed",
    "store hung",
    "store slow",
    "stream cut",
    "stream opened again",
    "stream superseded",
    "suspended",
    "tenure began settled",
    "tenure began with a wait",
    "told to hand over",
    "told to stop",
    "wall clock set",
    "watch began with what is long over",
    "watch broke",
    "watch fell behind",
    "went on with a full disk",
    "worker crashed",
    "worker parted from the server",
    "worker past its deadline",
    "worker paused",
];

#[test]
fn the_guarantees_hold() {
    let jobs = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runs = leasehold_sim::run_all(0..SEEDS, jobs, false, &|_| {});
    if let Some((seed, failure)) = runs.failures.first_key_value() {
        panic!(
            "{} is broken {}\nrepeat it with: cargo run --profile sim --bin sim -- --seeds 1 --from {seed}",
            failure.guarantee, failure.detail
        );
    }
    let reached = runs.report.reached;
    for what in REACHED {
        assert!(reached.contains_key(*what), "{what:?} was never reached; these were: {reached:#?}");
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

#[test]
fn however_many_run_at_a_time_the_same_comes_of_it() {
    let [one, three] = [1, 3].map(|jobs| leasehold_sim::run_all(100..110, jobs, true, &|_| {}));
    assert_eq!((one.report.events, one.report.reached), (three.report.events, three.report.reached));
    assert_eq!((one.seeds, one.failures.len()), (three.seeds, three.failures.len()));
}
