//! The replica against a deliberately naive model of it: random inputs, compared after every step.
//!
//! `PROPTEST_CASES=5000 cargo test -p leasehold-core --test model` looks harder.

#[path = "model/calls.rs"]
mod calls;
#[path = "model/history.rs"]
mod history;
#[path = "model/naive.rs"]
mod naive;
#[path = "model/pair.rs"]
mod pair;
#[path = "model/step.rs"]
mod step;
#[path = "bench/store.rs"]
mod store;
#[path = "model/tenure.rs"]
mod tenure;

use leasehold_core::Limits;
use pair::Pair;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use step::{Step, steps};

/// Roomy, or so tight that every limit is met.
fn limits() -> impl Strategy<Value = Limits> {
    let tight = (1..4_usize, 2..8_usize, 1..5_usize, 1..6_usize, 0..4_usize).prop_map(
        |(elections, candidacies, candidacies_per_election, candidacies_per_subject, remembered_ends)| Limits {
            elections,
            candidacies,
            candidacies_per_election,
            candidacies_per_subject,
            remembered_ends,
            ..Limits::default()
        },
    );
    let little_memory = (2000..12_000_usize).prop_map(|bytes| Limits { bytes, ..Limits::default() });
    prop_oneof![6 => Just(Limits::default()), 2 => tight, 1 => little_memory]
}

fn run(limits: &Limits, steps: Vec<Step>) -> Pair {
    let mut pair = Pair::new(limits.clone());
    steps.into_iter().for_each(|step| pair.step(step));
    pair
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Leaders, queues, ends and their reasons, answers, records, deadlines: all as the model says,
    /// with invariants checked after every step; and the same inputs give the same outputs.
    #[test]
    fn the_replica_does_what_the_model_says(limits in limits(), steps in steps(1..120)) {
        run(&limits, steps);
    }
}

/// Random steps that never get anywhere would prove nothing: some hundred runs reach every kind of
/// end, in and after the wait, and every refusal.
#[test]
fn the_steps_reach_what_matters() {
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for _ in 0..600 {
        let (limits, steps) =
            (limits(), steps(60..120)).new_tree(&mut runner).expect("the strategy rejects nothing").current();
        reached.extend(run(&limits, steps).history.reached);
    }
    for what in [
        "Behind",
        "Behind in the wait",
        "Draining",
        "Draining in the wait",
        "Elected",
        "ElectionFull",
        "Ended",
        "Ended(Expired)",
        "Ended(Expired) in the wait",
        "Ended(Overtaken) in the wait",
        "Ended(Replaced)",
        "Ended(Resigned)",
        "Ended(Resigned) in the wait",
        "Ended(SteppedDown)",
        "Ended(SteppedDown) in the wait",
        "HoldTooLong",
        "NoLeader",
        "NotActive",
        "NotLeading",
        "OtherLeader",
        "OutOfMemoryBudget",
        "Proclaimed",
        "Restored in the wait",
        "Lost",
        "Lost in the wait",
        "Settling",
        "Shutdown",
        "Shutdown in the wait",
        "ShuttingDown",
        "SubjectFull",
        "Superseded",
        "TooManyCandidacies",
        "TooManyElections",
        "TtlOutOfRange",
        "entered once more",
        "entered once more in a drain",
        "kept",
        "observers resume",
        "kept draining",
        "reopened one of an earlier tenure",
        "reopened one of an earlier tenure in the wait",
        "waits for the end of a hold",
        "waits for the end of a hold in the wait",
        "waiter Expired",
        "waiter NotGranted",
        "waiter Replaced",
        "waiter Resigned",
    ] {
        assert!(reached.contains(what), "{what:?} was never reached; these were: {reached:#?}");
    }
}
