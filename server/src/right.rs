//! The right to be active, for tasks that wait for it.

use crate::clock;
use leasehold_core::{Reject, Time};
use leasehold_shell::{LAPSE_PATIENCE, Word};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The right to be active.
#[derive(Debug)]
pub(crate) struct SharedRight {
    shared: Arc<leasehold_shell::Right>,
    changed: Notify,
}

impl SharedRight {
    /// There is no right yet. The right of a server with a file may lapse and come back.
    pub(crate) fn new(may_lapse: bool) -> Self {
        Self { shared: Arc::new(leasehold_shell::Right::new(may_lapse)), changed: Notify::new() }
    }

    /// The right that the shell extends and ends.
    pub(crate) fn shared(&self) -> &Arc<leasehold_shell::Right> {
        &self.shared
    }

    /// The shell has extended or ended the right: wakes the tasks that wait for that.
    pub(crate) fn changed(&self) {
        // Tasks wait only for a right that has lapsed.
        if self.shared.may_lapse() || self.shared.until() == Time(0) {
            self.changed.notify_waiters();
        }
    }

    /// Whether the right lasts now. The clock is read here, so an answer that was held up past the
    /// end of the right isn't given.
    pub(crate) fn lasts(&self) -> bool {
        self.shared.lasts(clock::now())
    }

    /// Waits for as long as the right has lapsed. Whether it lasts then.
    pub(crate) async fn back(&self) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // The task is to be woken by any change after its look, so it listens first.
            changed.as_mut().enable();
            if !self.shared.has_lapsed(clock::now()) {
                return self.lasts();
            }
            changed.await;
        }
    }

    /// Waits for a moment only while the right has lapsed. Whether it lasts then.
    pub(crate) async fn back_soon(&self) -> bool {
        // A right that lasts needs no timer.
        self.lasts() || {
            let patience = Duration::from_millis(LAPSE_PATIENCE.0);
            tokio::time::timeout(patience, self.back()).await.unwrap_or(false)
        }
    }

    /// Whether the right opens this word. Waits while the right has lapsed.
    pub(crate) async fn opens<T>(&self, word: &Word<T>) -> bool {
        self.back().await;
        word.opens(&self.shared, clock::now())
    }

    /// Opens a word of a stream, if the right of its tenure lasts. Waits while that has lapsed: the
    /// end of a stream would be the end of a candidacy that is bound to it.
    pub(crate) async fn open<T>(&self, word: Word<T>) -> Result<T, Reject> {
        let now = clock::now();
        if word.opens(&self.shared, now) {
            return word.open(&self.shared, now);
        }
        self.back().await;
        word.open(&self.shared, clock::now())
    }

    /// Opens the answer to a call, if the right of its tenure lasts. While that has lapsed, the
    /// call waits for a moment only.
    pub(crate) async fn open_soon<T>(&self, word: Word<T>) -> Result<T, Reject> {
        let now = clock::now();
        if word.opens(&self.shared, now) {
            return word.open(&self.shared, now);
        }
        self.back_soon().await;
        word.open(&self.shared, clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::{Millis, Tenure};
    use leasehold_shell::{BoardNews, TenureBoard};

    fn extend(right: &SharedRight, until: Time) {
        right.shared.extend(Tenure(7), until);
        right.changed();
    }

    fn end(right: &SharedRight) {
        TenureBoard::default().apply(&BoardNews::Ended { why: &Reject::NotActive, right: &right.shared });
        right.changed();
    }

    fn has_lapsed(right: &SharedRight) -> bool {
        right.shared.has_lapsed(clock::now())
    }

    #[tokio::test]
    async fn a_right_that_has_lapsed_is_waited_for_until_it_is_back_or_over() {
        for (ends, back) in [(false, true), (true, false)] {
            let right = Arc::new(SharedRight::new(true));
            assert!(!right.back().await, "there was none yet");
            extend(&right, clock::now() + Millis(20));
            assert!(right.lasts() && right.back().await);
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert!(!right.lasts() && has_lapsed(&right));
            let waits = tokio::spawn({
                let right = Arc::clone(&right);
                async move { right.back().await }
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!waits.is_finished());
            if ends {
                end(&right)
            } else {
                extend(&right, clock::now() + Millis(60_000))
            }
            assert_eq!(waits.await.unwrap(), back);
        }
    }

    #[tokio::test]
    async fn a_right_that_ends_with_its_time_is_not_waited_for() {
        let right = SharedRight::new(false);
        extend(&right, clock::now());
        assert!(!has_lapsed(&right) && !right.back().await && !right.back_soon().await);
    }

    #[tokio::test]
    async fn a_call_waits_for_a_moment_only() {
        let right = SharedRight::new(true);
        extend(&right, clock::now());
        assert!(!right.back_soon().await && has_lapsed(&right));
    }
}
