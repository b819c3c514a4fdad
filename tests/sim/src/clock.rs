//! Clocks: each process has one of its own, which begins anywhere and runs a little fast or slow.

use leasehold_core::Time;

/// What a clock that is right counts in a second.
pub(crate) const TRUE_RATE: u64 = 1_000_000;
/// Between any two of these lie 5 % at most.
pub(crate) const SLOWEST: u64 = 975_905;
pub(crate) const FASTEST: u64 = 1_024_695;

/// A monotonic clock that goes on while its process stands still, or its machine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    since: Time,
    /// What it read then.
    ahead: u64,
    /// It counts so many microseconds a second.
    rate: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { since: Time(0), ahead: 0, rate: TRUE_RATE }
    }
}

impl Clock {
    pub(crate) fn new(since: Time, ahead: u64, rate: u64) -> Self {
        Self { since, ahead, rate }
    }

    /// What it reads at this moment of the simulation.
    pub(crate) fn read(&self, now: Time) -> Time {
        Time(self.ahead + now.since(self.since).0 * self.rate / TRUE_RATE)
    }

    /// The first moment at which it reads this.
    pub(crate) fn when(&self, reading: Time) -> Time {
        Time(self.since.0 + (reading.0.saturating_sub(self.ahead) * TRUE_RATE).div_ceil(self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_reading_is_the_first_one() {
        for rate in [SLOWEST, TRUE_RATE, FASTEST] {
            let clock = Clock::new(Time(1234), 99_999, rate);
            for reading in (100_000..110_000).map(Time) {
                let at = clock.when(reading);
                assert!(clock.read(at) >= reading && (at.0 == 1234 || clock.read(Time(at.0 - 1)) < reading));
            }
        }
    }

    #[test]
    fn no_two_clocks_are_further_apart_than_is_promised() {
        let (fastest, slowest) = (FASTEST, SLOWEST);
        assert!(fastest * 100 <= slowest * 105);
    }
}
