//! Time as the core sees it: milliseconds on a monotonic clock that somebody else reads.

use std::fmt;
use std::ops::{Add, Sub};

/// A moment: milliseconds since an origin that is the same for all calls of one
/// [`Replica`](crate::Replica).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Time {
    /// From `earlier` until now; zero if that lies in the future.
    #[must_use]
    pub fn since(self, earlier: Time) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Millis {
    /// This much and the allowance for clocks that run at different rates: a twentieth. A server
    /// that waits so long has waited at least as long as a worker whose clock is up to 5 % slower.
    #[must_use]
    pub fn with_drift(self) -> Millis {
        Millis(self.0.saturating_add(self.0.div_ceil(20)))
    }

    /// Whole seconds, for messages.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Millis {
        Millis(seconds.saturating_mul(1000))
    }
}

impl Add<Millis> for Time {
    type Output = Time;
    fn add(self, more: Millis) -> Time {
        Time(self.0.saturating_add(more.0))
    }
}

impl Sub<Millis> for Millis {
    type Output = Millis;
    fn sub(self, less: Millis) -> Millis {
        Millis(self.0.saturating_sub(less.0))
    }
}

impl Add<Millis> for Millis {
    type Output = Millis;
    fn add(self, more: Millis) -> Millis {
        Millis(self.0.saturating_add(more.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) { write!(f, "{} s", self.0 / 1000) } else { write!(f, "{} ms", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_allowance_is_a_twentieth_rounded_up() {
        assert_eq!(Millis(15_000).with_drift(), Millis(15_750));
        assert_eq!(Millis(1).with_drift(), Millis(2));
        assert_eq!(Millis(u64::MAX).with_drift(), Millis(u64::MAX));
    }
}
