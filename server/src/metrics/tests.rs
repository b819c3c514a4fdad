//! Tests of what is counted and shown.

use super::*;
use leasehold_core::{CandidateName, Change, Enrolment, FencingToken, Leader, Revision, Tenure, Value};

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is missing in\n{text}")).parse().unwrap()
}

fn ended(token: Option<FencingToken>) -> Ended {
    let candidate = CandidateName::new("one").unwrap();
    let election = ElectionName::new("a").unwrap();
    Ended { enrolment: Enrolment(1), election, candidate, token, reason: EndReason::Expired }
}

fn leader(token: u64) -> Leader {
    let (candidate, value) = (CandidateName::new("one").unwrap(), Value::new("").unwrap());
    Leader { candidate, token: FencingToken(token), value, draining: false, leased: true }
}

#[test]
fn only_elections_that_are_watched_have_series_of_their_own() {
    let metrics = Metrics::new();
    let [watched, other] = ["a", "b"].map(|name| ElectionName::new(name).unwrap());
    let change = |election: &ElectionName, token: Option<u64>| Change {
        election: election.clone(),
        leader: token.map(leader),
        reason: ChangeReason::Elected,
        revision: Revision(9),
        held_until: None,
    };
    let gauges = metrics.watch(std::slice::from_ref(&watched));
    let led = |metrics: &Metrics| {
        let text = metrics.encode();
        assert!(!text.contains("\"b\""), "{text}");
        ["led", "fencing_token"].map(|what| value(&text, &format!("leasehold_election_{what}{{election=\"a\"}}")))
    };
    assert_eq!(led(&metrics), [0.0, 0.0]);
    gauges.changed(&change(&watched, Some(7)));
    gauges.changed(&change(&other, Some(8)));
    assert_eq!(led(&metrics), [1.0, 7.0]);
    gauges.changed(&change(&watched, None));
    assert_eq!(led(&metrics), [0.0, 7.0]);
    gauges.forget();
    assert_eq!(led(&metrics), [0.0, 0.0]);
}

#[test]
fn what_is_counted_is_shown() {
    let metrics = Metrics::new();
    let status = Status {
        tenure: Some(Tenure(9_007_199_254_740_000)),
        age: Millis(5),
        settling: Millis(0),
        elections: 3,
        candidacies: 7,
        leaders: 2,
        revision: Revision(1),
        mirrored: 0,
    };
    metrics.set_status(&status, 5, 4, 1);
    metrics.changed(ChangeReason::Elected);
    metrics.changed(ChangeReason::Restored);
    metrics.ended(&ended(None));
    metrics.ended(&ended(Some(FencingToken(8))));
    metrics.tenure_ended(TenureEnd::RightEnded);
    for used in [3000, 5000, 16_000] {
        metrics.lateness.observe(Millis(used), Millis(15_000));
    }
    metrics.granted_after(Millis(300));
    metrics.refused("INBOX_FULL");
    metrics.keep_alives.inc_by(1000);
    metrics.observers.inc();
    metrics.store_written(true, Millis(3));
    metrics.store_written(false, Millis(2000));
    metrics.right_extended(Millis(2697));
    let text = metrics.encode();
    for (series, expected) in [
        ("leasehold_active", 1.0),
        ("leasehold_tenure", 9_007_199_254_740_000.0),
        ("leasehold_tenure_settled", 1.0),
        ("leasehold_elections", 3.0),
        ("leasehold_candidacies", 7.0),
        ("leasehold_leaders", 2.0),
        ("leasehold_observers", 1.0),
        ("leasehold_campaign_streams", 5.0),
        ("leasehold_inbox_depth", 4.0),
        ("leasehold_grants_total", 1.0),
        ("leasehold_ends_total{reason=\"EXPIRED\"}", 2.0),
        ("leasehold_ends_total{reason=\"RESIGNED\"}", 0.0),
        ("leasehold_losses_total{reason=\"EXPIRED\"}", 1.0),
        ("leasehold_losses_total{reason=\"RESIGNED\"}", 0.0),
        ("leasehold_restored_leaders_total", 1.0),
        ("leasehold_tenure_ends_total{reason=\"RIGHT_ENDED\"}", 1.0),
        ("leasehold_keep_alive_lateness_ratio_bucket{le=\"0.25\"}", 1.0),
        ("leasehold_keep_alive_lateness_ratio_bucket{le=\"0.4\"}", 2.0),
        ("leasehold_keep_alive_lateness_ratio_bucket{le=\"1.0\"}", 2.0),
        ("leasehold_keep_alive_lateness_ratio_bucket{le=\"+Inf\"}", 3.0),
        ("leasehold_keep_alive_lateness_ratio_sum", 1.599),
        ("leasehold_time_to_grant_seconds_bucket{le=\"0.25\"}", 0.0),
        ("leasehold_time_to_grant_seconds_bucket{le=\"1.0\"}", 1.0),
        ("leasehold_refusals_total{reason=\"INBOX_FULL\"}", 1.0),
        ("leasehold_keep_alives_total", 1000.0),
        ("leasehold_store_writes_total{result=\"ok\"}", 1.0),
        ("leasehold_store_writes_total{result=\"error\"}", 1.0),
        ("leasehold_store_write_seconds_sum", 2.003),
        ("leasehold_store_write_seconds_bucket{le=\"0.005\"}", 1.0),
        ("leasehold_store_write_seconds_count", 2.0),
        ("leasehold_right_margin_seconds", 2.697),
    ] {
        assert!((value(&text, series) - expected).abs() < 1e-9, "{series} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_tenure_grants_only_once_it_has_settled() {
    let metrics = Metrics::new();
    let settling = Status { tenure: Some(Tenure(7)), settling: Millis(1), ..Status::default() };
    metrics.set_status(&settling, 0, 0, 0);
    let text = metrics.encode();
    assert_eq!((value(&text, "leasehold_active"), value(&text, "leasehold_tenure_settled")), (1.0, 0.0));
    metrics.set_status(&Status::default(), 0, 0, 0);
    let text = metrics.encode();
    assert_eq!((value(&text, "leasehold_active"), value(&text, "leasehold_tenure_settled")), (0.0, 0.0));
}

#[test]
fn every_family_has_a_help_text_and_servers_dont_share() {
    let one = Metrics::new();
    one.grants.inc();
    let other = Metrics::new();
    other.refused("INBOX_FULL"); // a family without a series isn't shown
    let text = other.encode();
    assert!((value(&text, "leasehold_grants_total")).abs() < 1e-9);
    let kinds = |kind: &str| text.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!((kinds("# HELP"), kinds("# TYPE")), (33, 33));
}
