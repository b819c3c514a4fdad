//! A histogram of durations, from a microsecond to ten minutes, to within a hundredth.

use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest duration that is told apart: anything longer counts as this.
const LONGEST: Duration = Duration::from_secs(600);

/// How long things took.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_micros()).expect("ten minutes fit");
        Self(Histogram::new_with_bounds(1, longest, 3).expect("the bounds are constant and valid"))
    }

    /// Adds one.
    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds those of another.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration in milliseconds that this percentage didn't exceed; 0 when nothing was
    /// recorded.
    pub(crate) fn percentile_ms(&self, percentage: f64) -> f64 {
        to_ms(self.0.value_at_percentile(percentage))
    }

    /// The longest in milliseconds; 0 when nothing was recorded.
    pub(crate) fn max_ms(&self) -> f64 {
        to_ms(self.0.max())
    }
}

fn to_ms(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::Latency;
    use std::time::Duration;

    #[test]
    fn percentiles_are_those_of_all_that_was_recorded() {
        let (mut one, mut other) = (Latency::new(), Latency::new());
        assert_eq!((one.count(), one.max_ms()), (0, 0.0));
        (1..=50).for_each(|ms| one.record(Duration::from_millis(ms)));
        (51..=100).for_each(|ms| other.record(Duration::from_millis(ms)));
        one.add(&other);
        assert_eq!(one.count(), 100);
        assert!((one.percentile_ms(50.0) - 50.0).abs() < 0.5, "{}", one.percentile_ms(50.0));
        assert!((one.max_ms() - 100.0).abs() < 1.0, "{}", one.max_ms());
    }

    #[test]
    fn what_is_longer_than_the_bounds_counts_as_the_longest() {
        let mut latency = Latency::new();
        latency.record(Duration::from_secs(100_000));
        assert!(latency.max_ms() >= 600_000.0);
    }
}
