//! Metrics: what a server counts and measures of itself, as OpenMetrics text. No globals: each
//! server has its own.

mod lateness;
mod watched;

pub use lateness::Lateness;
pub use watched::Watched;

use leasehold_core::{ChangeReason, ElectionName, EndReason, Ended, Millis, Status, TenureEnd};
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
/// In seconds. A free election is granted within one, a queue may take hours.
const GRANT_BUCKETS: [f64; 12] = [0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];
const END_REASONS: [EndReason; 6] = [
    EndReason::Resigned,
    EndReason::Expired,
    EndReason::Replaced,
    EndReason::Overtaken,
    EndReason::SteppedDown,
    EndReason::NotGranted,
];

const TLS_END: &str = "When the certificate of the gRPC port ends, since 1970; 0 in plain text";
const TLS_BROKEN: &str = "Whether new TLS files can't be used, so that the former ones stay in use: 1 or 0";

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
    /// Open gRPC connections.
    pub connections: Gauge,
    /// Whether plain text is served where others can reach it.
    pub insecure: Gauge,
    /// When the certificate of the gRPC port ends, in seconds since 1970.
    pub tls_certificate_not_after: Gauge,
    /// Whether new TLS files can't be used.
    pub tls_files_broken: Gauge,
    /// The most there may be.
    pub connections_limit: Gauge,
    /// How often a connection had to wait for the end of another one.
    pub connections_full: Counter,
    /// Leaderships granted.
    pub grants: Counter,
    restored: Counter,
    time_to_grant: Histogram,
    /// Tickets whose KeepAlive was accepted.
    pub keep_alives: Counter,
    /// How much of the TTL was used up when they came.
    pub lateness: Lateness,
    /// Calls that a standby has handed on.
    pub forwarded: Counter,
    mirrored: Gauge,
    mirrors: Gauge,
    ends: Family<Reason, Counter>,
    losses: Family<Reason, Counter>,
    tenure_ends: Family<Reason, Counter>,
    election_led: watched::Gauges,
    election_token: watched::Gauges,
    /// Whether the policy file can't be used, so that the policy before it stays: 1 or 0.
    pub policy_broken: Gauge,
    /// Policies that were read after the first one.
    pub policy_loads: Counter,
    refusals: Family<Reason, Counter>,
    connections_closed: Family<Reason, Counter>,
    store_writes: Family<WriteResult, Counter>,
    store_write: Histogram,
    right_margin: Gauge<f64, AtomicU64>,
    record_age: Gauge<f64, AtomicU64>,
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

    fn add_ratio<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register_with_unit(name, help, Unit::Other("ratio".to_owned()), metric.clone());
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
            connections: families.add("connections", "Open gRPC connections"),
            insecure: families.add("insecure", "Whether plain text is served where others can reach it: 1 or 0"),
            tls_certificate_not_after: families.add_seconds("tls_certificate_not_after", TLS_END, Gauge::default()),
            tls_files_broken: families.add("tls_files_broken", TLS_BROKEN),
            connections_limit: families
                .add("connections_limit", "The most gRPC connections that this process may have"),
            connections_full: families
                .add("connections_full", "How often all gRPC connections were taken, so that the next one had to wait"),
            grants: families.add("grants", "Leaderships granted"),
            restored: families.add("restored_leaders", "Leaderships put back in a new tenure, with the same token"),
            time_to_grant: families.add_seconds(
                "time_to_grant",
                "From Campaign to Elected on its stream, the wait for others before it included",
                Histogram::new(GRANT_BUCKETS),
            ),
            losses: families.add("losses", "Leaderships that ended, by reason"),
            tenure_ends: families.add("tenure_ends", "Tenures of this replica that ended, by reason"),
            election_led: families.add("election_led", "Whether a watched election has a leader: 1 or 0"),
            election_token: families.add("election_fencing_token", "The last fencing token of a watched election"),
            ends: families.add("ends", "Candidacies that ended, by reason"),
            policy_broken: families.add(
                "policy_broken",
                "Whether the policy file can't be used, so that the policy before it stays: 1 or 0",
            ),
            policy_loads: families.add("policy_loads", "Times that a changed policy file was put in force"),
            refusals: families.add("refusals", "Calls refused, by the reason in their ErrorInfo"),
            connections_closed: families
                .add("connections_closed", "Connections that this server has closed, by reason"),
            keep_alives: families.add("keep_alives", "Tickets whose KeepAlive was accepted"),
            lateness: families.add_ratio(
                "keep_alive_lateness",
                "How much of the TTL had been used up when a KeepAlive came: above 1 it was too late",
            ),
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
            record_age: families.add_seconds(
                "record_age",
                "Since the record was stored last; 0 when this replica has no tenure",
                Gauge::default(),
            ),
            registry: families.0,
        };
        this.begin_series();
        this
    }

    /// A series that begins with its first event has no rate for it.
    fn begin_series(&self) {
        for reason in END_REASONS {
            let _ = self.ends.get_or_create_owned(&Reason { reason: reason.name() });
            let _ = self.losses.get_or_create_owned(&Reason { reason: reason.name() });
        }
        for why in [TenureEnd::RightEnded, TenureEnd::Lost, TenureEnd::Behind, TenureEnd::Shutdown] {
            let _ = self.tenure_ends.get_or_create_owned(&Reason { reason: tenure_end_name(why) });
        }
        for result in ["ok", "error"] {
            let _ = self.store_writes.get_or_create_owned(&WriteResult { result });
        }
    }

    /// What the replica is and holds, how many Campaign streams are open, and how many calls wait
    /// in the inbox, and how many standbys mirror.
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
        match reason {
            ChangeReason::Elected => _ = self.grants.inc(),
            ChangeReason::Restored => _ = self.restored.inc(),
            ChangeReason::Draining | ChangeReason::Proclaimed | ChangeReason::Held | ChangeReason::Ended(_) => {}
        }
    }

    /// A candidacy ended.
    pub fn ended(&self, ended: &Ended) {
        let reason = Reason { reason: ended.reason.name() };
        self.ends.get_or_create(&reason).inc();
        if ended.token.is_some() {
            self.losses.get_or_create(&reason).inc();
        }
    }

    /// A tenure of this replica ended.
    pub fn tenure_ended(&self, why: TenureEnd) {
        self.tenure_ends.get_or_create(&Reason { reason: tenure_end_name(why) }).inc();
    }

    /// Gives these elections metrics of their own.
    #[must_use]
    pub fn watch(&self, names: &[ElectionName]) -> Watched {
        Watched::new(names, &self.election_led, &self.election_token)
    }

    /// A leadership was granted so long after its Campaign.
    pub fn granted_after(&self, waited: Millis) {
        self.time_to_grant.observe(seconds(waited));
    }

    /// A call was refused; `reason` is one of the few in the table of errors.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// A connection was closed for what its client did, or didn't; `reason` is one of a few.
    pub fn connection_closed(&self, reason: &'static str) {
        self.connections_closed.get_or_create(&Reason { reason }).inc();
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

    /// The record was stored last so long ago.
    pub fn set_record_age(&self, age: Millis) {
        self.record_age.set(seconds(age));
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

fn tenure_end_name(why: TenureEnd) -> &'static str {
    match why {
        TenureEnd::RightEnded => "RIGHT_ENDED",
        TenureEnd::Lost => "LOST",
        TenureEnd::Behind => "BEHIND",
        TenureEnd::Shutdown => "SHUTDOWN",
    }
}

#[allow(clippy::cast_precision_loss)] // 2^53 ms are 285,000 years
fn seconds(millis: Millis) -> f64 {
    millis.0 as f64 / 1000.0
}

#[cfg(test)]
mod tests;
