//! Metrics: what a server counts and measures of itself, as OpenMetrics text. No globals: each server has its own.

use crate::errors::end_reason_name;
use leasehold_core::{ChangeReason, EndReason, Millis, Status};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::sync::atomic::AtomicU64;

/// The type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In seconds. A renewal that takes longer than 2 s is as good as none.
const STORE_WRITE_BUCKETS: [f64; 11] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5];
const END_REASONS: [EndReason; 6] = [
    EndReason::Resigned,
    EndReason::Expired,
    EndReason::Replaced,
    EndReason::Overtaken,
    EndReason::SteppedDown,
    EndReason::NotGranted,
];

/// All metrics of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    active: Gauge,
    tenure: Gauge,
    tenure_settled: Gauge,
    elections: Gauge,
    candidacies: Gauge,
    leaders: Gauge,
    campaign_streams: Gauge,
    inbox_depth: Gauge,
    /// Open Observe streams.
    pub observers: Gauge,
    /// Leaderships granted.
    pub grants: Counter,
    /// Tickets whose KeepAlive was accepted.
    pub keep_alives: Counter,
    /// Calls that a standby has handed on.
    pub forwarded: Counter,
    mirrored: Gauge,
    mirrors: Gauge,
    ends: Family<Reason, Counter>,
    refusals: Family<Reason, Counter>,
    store_writes: Family<WriteResult, Counter>,
    store_write: Histogram,
    right_margin: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteResult {
    result: &'static str,
}

/// Gives a family its name and help text.
struct Families(Registry);

impl Families {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn add_seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        let mut families = Families(Registry::with_prefix("leasehold"));
        let this = Self {
            active: families.add("active", "Whether this replica is the active one: 1 or 0"),
            tenure: families.add("tenure", "The tenure of this replica, 0 when it isn't active"),
            tenure_settled: families.add("tenure_settled", "Whether the tenure grants: 1 or 0"),
            elections: families.add("elections", "Elections with a candidate"),
            candidacies: families.add("candidacies", "Candidacies that wait or lead"),
            leaders: families.add("leaders", "Candidacies that lead, those that drain included"),
            observers: families.add("observers", "Open Observe streams"),
            campaign_streams: families.add("campaign_streams", "Open Campaign streams"),
            inbox_depth: families.add("inbox_depth", "Calls that wait for the loop"),
            grants: families.add("grants", "Leaderships granted"),
            ends: families.add("ends", "Candidacies that ended, by reason"),
            refusals: families.add("refusals", "Calls refused, by the reason in their ErrorInfo"),
            keep_alives: families.add("keep_alives", "Tickets whose KeepAlive was accepted"),
            forwarded: families.add("forwarded_calls", "Calls handed on to the active replica"),
            mirrored: families
                .add("mirrored_candidacies", "Candidacies of the active replica that this standby knows of"),
            mirrors: families.add("mirrors", "Standbys that mirror this replica"),
            store_writes: families.add("store_writes", "Writes of the record, by result: ok or error"),
            store_write: families.add_seconds(
                "store_write",
                "How long a write of the record took",
                Histogram::new(STORE_WRITE_BUCKETS),
            ),
            right_margin: families.add_seconds(
                "right_margin",
                "What was left of the right to be active when its last renewal was done",
                Gauge::default(),
            ),
            registry: families.0,
        };
        // A series that begins with its first event has no rate for it.
        for reason in END_REASONS {
            let _ = this.ends.get_or_create_owned(&Reason { reason: end_reason_name(reason) });
        }
        for result in ["ok", "error"] {
            let _ = this.store_writes.get_or_create_owned(&WriteResult { result });
        }
        this
    }

    /// What the replica is and holds, how many Campaign streams are open, and how many calls wait in the inbox, and how many standbys mirror.
    pub fn set_status(&self, status: &Status, campaign_streams: usize, inbox_depth: usize, mirrors: usize) {
        let settled = status.tenure.is_some() && status.settling == Millis(0);
        self.active.set(i64::from(status.tenure.is_some()));
        self.tenure.set(status.tenure.map_or(0, |tenure| i64::try_from(tenure.0).unwrap_or(i64::MAX)));
        self.tenure_settled.set(i64::from(settled));
        for (gauge, count) in [
            (&self.elections, status.elections),
            (&self.candidacies, status.candidacies),
            (&self.leaders, status.leaders),
            (&self.campaign_streams, campaign_streams),
            (&self.inbox_depth, inbox_depth),
            (&self.mirrored, status.mirrored),
            (&self.mirrors, mirrors),
        ] {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// An election changed.
    pub fn changed(&self, reason: ChangeReason) {
        if reason == ChangeReason::Elected {
            self.grants.inc();
        }
    }

    /// A candidacy ended.
    pub fn ended(&self, reason: EndReason) {
        self.ends.get_or_create(&Reason { reason: end_reason_name(reason) }).inc();
    }

    /// A call was refused; `reason` is one of the few in the table of errors.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// A write of the record came to its end.
    pub fn store_written(&self, ok: bool, took: Millis) {
        let result = if ok { "ok" } else { "error" };
        self.store_writes.get_or_create(&WriteResult { result }).inc();
        self.store_write.observe(seconds(took));
    }

    /// The right to be active was renewed, and lasts so much longer from now.
    pub fn right_extended(&self, left: Millis) {
        self.right_margin.set(seconds(left));
    }

    /// All of it as text of the type [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(clippy::cast_precision_loss)] // 2^53 ms are 285,000 years
fn seconds(millis: Millis) -> f64 {
    millis.0 as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::{Revision, Tenure};

    fn value(text: &str, series: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is missing in\n{text}")).parse().unwrap()
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
        metrics.ended(EndReason::Expired);
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
            ("leasehold_ends_total{reason=\"EXPIRED\"}", 1.0),
            ("leasehold_ends_total{reason=\"RESIGNED\"}", 0.0),
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
        assert_eq!((kinds("# HELP"), kinds("# TYPE")), (19, 19));
    }
}
