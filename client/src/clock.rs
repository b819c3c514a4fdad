//! The one clock of this crate: on Linux, macOS and Windows it goes on while the machine is
//! suspended. Nothing else here reads a clock for a deadline.

#[cfg(not(turmoil))]
mod system;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Timers of the runtime stand still while the machine is suspended, so no wait for a moment is
/// longer than this before the clock is read again.
const LONGEST_NAP: Duration = Duration::from_millis(500);

/// Reading two clocks one after the other takes less, mostly.
const BLUR: Duration = Duration::from_millis(1);

/// A moment on that clock: the time since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// A moment that has passed before every other.
    pub(crate) const PAST: Self = Self(Duration::ZERO);

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// From `earlier` to this moment; zero if that is the later one.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// At the deadline itself it has passed: rights end before it, not after.
    pub(crate) fn has_passed(self, now: Self) -> bool {
        now >= self
    }

    /// This moment on the clock of std, as far as it can be known now: that clock stands still
    /// while the machine is suspended. A pause of this process makes the result too early rather
    /// than too late.
    pub(crate) fn to_instant(self) -> Instant {
        /// When both clocks were read together. std's is always read first, so the time between the
        /// two makes the result earlier.
        static ANCHOR: LazyLock<(Instant, Moment)> = LazyLock::new(|| (Instant::now(), now()));
        let (anchor_instant, anchor) = *ANCHOR;
        let (instant, moment) = (Instant::now(), now());
        let apart = moment.since(anchor).saturating_sub(instant - anchor_instant);
        // Below that, nothing was suspended: so the same moment always shows as the same instant.
        let suspended = if apart < BLUR { Duration::ZERO } else { apart };
        let shown = anchor_instant + self.since(anchor);
        shown.checked_sub(suspended + anchor.since(self)).unwrap_or(anchor_instant)
    }
}

/// In a simulation (`--cfg turmoil`) all hosts have one clock.
#[cfg(turmoil)]
pub(crate) fn now() -> Moment {
    Moment(turmoil::sim_elapsed().unwrap_or_default())
}

#[cfg(not(turmoil))]
pub(crate) fn now() -> Moment {
    Moment(system::since_it_began())
}

/// Returns when the moment has passed, at most half a second late after the machine was suspended.
pub(crate) async fn sleep_until(moment: Moment) {
    loop {
        let left = moment.since(now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_NAP)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_passed_when_it_is_reached() {
        let now = now();
        assert!(now.has_passed(now) && Moment::PAST.has_passed(now));
        assert!(!now.plus(Duration::from_nanos(1)).has_passed(now));
    }

    #[test]
    fn moments_show_on_the_clock_of_std() {
        let moment = now().plus(Duration::from_secs(10));
        let left = moment.to_instant() - Instant::now();
        assert!(left <= Duration::from_secs(10) && left > Duration::from_secs(9), "{left:?}");
        let shown: std::collections::BTreeSet<_> = (0..100).map(|_| moment.to_instant()).collect();
        assert!(shown.len() < 50, "a moment shows as the same instant, unless this process was paused");
        assert!(Moment::PAST.to_instant() <= Instant::now());
    }

    #[tokio::test]
    async fn sleeping_ends_after_the_moment() {
        let moment = now().plus(Duration::from_millis(30));
        sleep_until(moment).await;
        assert!(moment.has_passed(now()));
    }
}
