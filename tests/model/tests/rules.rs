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
    compare_and_swap: Cas,
    right_counts_from_the_send: RightFromSend,
    right_ends: RightEnds,
    margin: Margin,
    whole_duration: WholeDuration,
    a_change_makes_wait_anew: Unchanged,
    longest_duration: LongestDuration,
    duration_in_an_annotation: OwnDuration,
    a_release_names_its_tenure: ReleaseNamed,
    a_release_counts_for_those_who_saw_it_held: ReleaseSeen,
    a_claim_counts_from_the_send: ClaimFromSend,
    a_claim_is_marked: ClaimMarked,
    an_unknown_holds_a_bare_lease: UnknownHolds,
    stop_before_the_release: StopFirst,
    each_try_of_the_release_checks: ReleaseChecks,
    ceiling: Ceiling,
    floor: Floor,
    a_worker_counts_from_the_send: WorkerFromSend,
    drift: Drift,
    lower_tenures_are_dropped: HigherTenure,
    wait: Wait,
    wait_of_the_lease: WaitOfLease,
    mirror_is_complete: MirrorComplete,
    recency_of_the_tenure: RecencyTenure,
    recency_of_the_time: RecencyTime,
    recency_counts_to_the_end_of_the_right: RecencyRight,
    only_what_was_replaced: ReplacedOnly,
    a_restored_lease_says_nothing: RestoredSaysNothing,
    nor_does_one_of_the_same_tenure: RestoredWithin,
    a_restored_lease_is_stripped: SpoilRestored,
    longest_ttl_rises: LongestRises,
    a_short_wait_is_waited_again: ShortWait,
    higher_token_wins: HigherWins,
    a_call_belongs_to_a_tenure: CallTenure,
    no_ticket_demotes: NameOnly,
    a_leaders_ticket_promotes: Promotes,
    a_leaders_ticket_is_never_told_to_wait: LeaderNeverWaits,
    unknown_tickets_of_this_tenure_are_over: CurrentOver,
    ends_are_remembered: Remembered,
    refusals_are_remembered: RefusedRemembered,
    old_tickets_are_refused_after_the_wait: AfterWait,
    a_drain_is_waited_for: DrainWaits,
    the_ticket_of_a_drain: DrainTicket,
}

#[test]
fn two_rules_are_needed_by_no_world_that_was_tried() {
    for (rule, world) in [(Rule::EndedStaysEnded, SLOW_API), (Rule::YieldToOther, RESTORED)] {
        assert!(refutation(rule).is_none());
        let report = refute(world, Rules::default().without(rule), None);
        assert!(report.broken.is_empty(), "{rule:?} is needed in {}: {:?}", world.name, report.broken);
    }
}
