//! Whether this replica may answer as the active one, as everybody can see without asking the loop.

use crate::clock;
use leasehold_core::Time;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a call waits for a right that has lapsed. A server that stood still has it back within a moment; one whose disk hangs hasn't, and
/// says so.
pub(crate) const LAPSE_PATIENCE: Duration = Duration::from_millis(500);

/// The right to be active.
#[derive(Debug)]
pub(crate) struct Right {
    until: AtomicU64,
    /// Where it was given back: until when it would have lasted.
    spare: AtomicU64,
    /// It may come back when it has lapsed, in the same tenure: with a file nobody else can have one.
    may_lapse: bool,
    changed: Notify,
}

impl Right {
    /// None yet. Of a server with a file, it may lapse and come back.
    pub(crate) fn new(may_lapse: bool) -> Self {
        Self { until: AtomicU64::new(0), spare: AtomicU64::new(0), may_lapse, changed: Notify::new() }
    }

    pub(crate) fn extend(&self, until: Time) {
        self.until.store(until.0, Ordering::Release);
        if self.may_lapse {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn end(&self) {
        let until = self.until.swap(0, Ordering::AcqRel);
        self.spare.store(until, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Whether nobody else can have become active yet since it was given back.
    pub(crate) fn would_last(&self) -> bool {
        clock::now().0 < self.spare.load(Ordering::Acquire)
    }

    /// Asked with a clock that is read now: an answer that was held up past the right's end isn't given.
    pub(crate) fn lasts(&self) -> bool {
        clock::now() < self.until()
    }

    /// Until when it lasts, or lasted; 0 without a tenure.
    pub(crate) fn until(&self) -> Time {
        Time(self.until.load(Ordering::Acquire))
    }

    /// Whether it has lapsed, and may come back.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.may_lapse && self.until() != Time(0) && !self.lasts()
    }

    /// Waits for as long as it has lapsed. Whether it lasts then.
    pub(crate) async fn back(&self) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before it looks: what changes after that wakes it.
            changed.as_mut().enable();
            if !self.has_lapsed() {
                return self.lasts();
            }
            changed.await;
        }
    }

    /// The same, for a moment only.
    pub(crate) async fn back_soon(&self) -> bool {
        // Without a timer where there is nothing to wait for.
        self.lasts() || tokio::time::timeout(LAPSE_PATIENCE, self.back()).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Millis;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_right_that_has_lapsed_is_waited_for_until_it_is_back_or_over() {
        for (ends, back) in [(false, true), (true, false)] {
            let right = Arc::new(Right::new(true));
            assert!(!right.back().await, "there was none yet");
            right.extend(clock::now() + Millis(20));
            assert!(right.lasts() && right.back().await);
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert!(!right.lasts() && right.has_lapsed());
            let waits = tokio::spawn({
                let right = Arc::clone(&right);
                async move { right.back().await }
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!waits.is_finished());
            if ends {
                right.end()
            } else {
                right.extend(clock::now() + Millis(60_000))
            }
            assert_eq!(waits.await.unwrap(), back);
        }
    }

    #[tokio::test]
    async fn a_right_that_ends_with_its_time_is_not_waited_for() {
        let right = Right::new(false);
        right.extend(clock::now());
        assert!(!right.has_lapsed() && !right.back().await && !right.back_soon().await);
    }

    #[tokio::test]
    async fn a_call_waits_for_a_moment_only() {
        let right = Right::new(true);
        right.extend(clock::now());
        assert!(!right.back_soon().await && right.has_lapsed());
    }
}
