//! How much of its TTL a candidacy had used up when its KeepAlive came: a histogram without a lock,
//! as there may be tens of thousands a second.

use leasehold_core::Millis;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds, in percent. A client that does well sends a KeepAlive after a third; at 100 its
/// own deadline has passed.
const BOUNDS_PERCENT: [u64; 9] = [10, 25, 40, 50, 60, 75, 90, 95, 100];

/// The histogram. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Lateness(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// One more than there are bounds: what is above them all.
    buckets: [AtomicU64; BOUNDS_PERCENT.len() + 1],
    sum_permille: AtomicU64,
}

impl Lateness {
    /// A KeepAlive came so long after the last one that was accepted.
    pub fn observe(&self, used: Millis, ttl: Millis) {
        let permille = used.0.saturating_mul(1000) / ttl.0.max(1);
        let bucket = BOUNDS_PERCENT.iter().position(|bound| permille <= bound * 10).unwrap_or(BOUNDS_PERCENT.len());
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_permille.fetch_add(permille, Ordering::Relaxed);
    }
}

#[allow(clippy::cast_precision_loss)] // sums and bounds are far below 2^53
impl EncodeMetric for Lateness {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let counts: Vec<u64> = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let bounds = BOUNDS_PERCENT.iter().map(|bound| *bound as f64 / 100.0).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
        let sum = self.0.sum_permille.load(Ordering::Relaxed) as f64 / 1000.0;
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
