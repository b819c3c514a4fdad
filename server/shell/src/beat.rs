//! When the loop went round last.

use leasehold_core::{Millis, Time};
use std::sync::atomic::{AtomicU64, Ordering};

/// When the loop went round last: it does so several times a second, whatever happens.
#[derive(Debug)]
pub struct Beat(AtomicU64);

impl Beat {
    /// A loop that hasn't gone round for so long hangs.
    pub const HANGS: Millis = Millis(10_000);

    /// A loop that goes round now.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// The loop goes round.
    pub fn mark(&self, now: Time) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    /// Whether the loop hangs. A restart is the better part then: tickets carry the elections over.
    #[must_use]
    pub fn has_stopped(&self, now: Time) -> bool {
        now.since(Time(self.0.load(Ordering::Relaxed))) > Self::HANGS
    }
}
