//! Taking a rule out breaks a promise: one test a rule.

use leasehold_model::check::refute;
use leasehold_model::proofs::refutation;
use leasehold_model::rules::{Rule, Rules};
use leasehold_model::worlds::{RESTORED, SLOW_API};

#[track_caller]
fn is_needed(rule: Rule) {
    let (world, promise) = refutation(rule).expect("a world needs it");
    let report = refute(world, Rules::default().without(rule), Some(promise));
    let broken: Vec<_> = report.broken.iter().map(|(name, _)| *name).collect();
    assert!(broken.contains(&promise), "without {rule:?} in {}: {promise} holds, {broken:?} don't", world.name);
}

macro_rules! needed {
    ($($test:ident: $rule:ident,)*) => {
        $(#[test] fn $test() { is_needed(Rule::$rule); })*

        #[test]
        fn every_rule_that_a_world_needs_has_a_test() {
            let tested = [$(Rule::$rule),*];
            let all = <Rule as clap::ValueEnum>::value_variants();
            for rule in all.iter().filter(|rule| refutation(**rule).is_some()) {
                assert!(tested.contains(rule), "{rule:?} has none");
            }
        }
    };
}

needed! {
    from_the_send_right: FromTheSendRight,
    from_the_send_claim: FromTheSendClaim,
    from_the_send_worker: FromTheSendWorker,
    right_ends: RightEnds,
    drift: Drift,
    drift_margin: DriftMargin,
    compare_and_swap: CompareAndSwap,
    whole_duration: WholeDuration,
    whole_duration_unchanged: WholeDurationUnchanged,
    whole_duration_longest: WholeDurationLongest,
    whole_duration_written: WholeDurationWritten,
    unknown_holds: UnknownHolds,
    release_named: ReleaseNamed,
    release_seen: ReleaseSeen,
    restored_says_nothing: RestoredSaysNothing,
    restored_says_nothing_within: RestoredSaysNothingWithin,
    restored_stripped: RestoredStripped,
    own_writes: OwnWrites,
    stop_first: StopFirst,
    release_checks: ReleaseChecks,
    mirror_complete: MirrorComplete,
    ceiling: Ceiling,
    floor: Floor,
    wait: Wait,
    wait_of_lease: WaitOfLease,
    wait_cut_short: WaitCutShort,
    longest_ttl_rises: LongestTtlRises,
    replaced_only: ReplacedOnly,
    recency_tenure: RecencyTenure,
    recency_time: RecencyTime,
    recency_right: RecencyRight,
    leader_never_waits: LeaderNeverWaits,
    leader_never_waits_promotes: LeaderNeverWaitsPromotes,
    higher_token_wins: HigherTokenWins,
    name_only: NameOnly,
    current_over: CurrentOver,
    after_wait: AfterWait,
    ends_remembered: EndsRemembered,
    refused_remembered: RefusedRemembered,
    call_tenure: CallTenure,
    higher_version: HigherVersion,
    drain_waits: DrainWaits,
    drain_ticket: DrainTicket,
}

#[test]
fn two_rules_are_needed_by_no_world_that_was_tried() {
    for (rule, world) in [(Rule::RightEndsForGood, SLOW_API), (Rule::YieldToOther, RESTORED)] {
        assert!(refutation(rule).is_none());
        let report = refute(world, Rules::default().without(rule), None);
        assert!(report.broken.is_empty(), "{rule:?} is needed in {}: {:?}", world.name, report.broken);
    }
}
