//! Whether a replica may answer as the active one, as every task can see without asking the loop.

use leasehold_core::{Tenure, Time};
use std::sync::atomic::{AtomicU64, Ordering};

/// The right to be active. The shell extends and ends it; everybody else only looks.
#[derive(Debug, Default)]
pub struct Right {
    /// The tenure of the right that lasts, or was the last one. Tenures rise, so whoever reads
    /// `until` first and this after it never takes the time of a later tenure for an earlier one's.
    tenure: AtomicU64,
    until: AtomicU64,
    /// A right that was given back would have lasted until then.
    spare: AtomicU64,
    may_lapse: bool,
}

impl Right {
    /// There is no right yet. With `may_lapse` a right may end with its time and come back in the
    /// same tenure: nobody else can become active while this process has the lock of its file.
    #[must_use]
    pub fn new(may_lapse: bool) -> Self {
        Self { tenure: AtomicU64::new(0), until: AtomicU64::new(0), spare: AtomicU64::new(0), may_lapse }
    }

    /// The right of this tenure lasts until then. For the shell, and for tests of whoever looks.
    pub fn extend(&self, Tenure(tenure): Tenure, until: Time) {
        debug_assert!(tenure != 0, "a right belongs to a tenure");
        // The tenure before its time: see the field.
        if self.tenure.swap(tenure, Ordering::AcqRel) != tenure {
            self.spare.store(0, Ordering::Release);
        }
        self.until.store(until.0, Ordering::Release);
    }

    /// The right is given back, unless it was before.
    pub(crate) fn end(&self) {
        let until = self.until.swap(0, Ordering::AcqRel);
        if until != 0 {
            self.spare.store(until, Ordering::Release);
        }
    }

    /// Whether the right lasts. Ask with a clock that is read after whatever may have waited: an
    /// answer that was held up past the end of the right isn't given.
    #[must_use]
    pub fn lasts(&self, now: Time) -> bool {
        now < self.until()
    }

    /// Whether words of this tenure may be told: the right lasts, and is the right of this very
    /// tenure. The word of an ended tenure stays closed when the process is active again: another
    /// replica may have granted in between. Words that name no tenure need no right.
    #[must_use]
    pub fn allows(&self, tenure: Tenure, now: Time) -> bool {
        tenure == Tenure(0) || (self.lasts(now) && self.is_of(tenure))
    }

    /// Until when the right lasts, or lasted; 0 without a tenure.
    #[must_use]
    pub fn until(&self) -> Time {
        Time(self.until.load(Ordering::Acquire))
    }

    /// Whether a right that has ended with its time may come back.
    #[must_use]
    pub fn may_lapse(&self) -> bool {
        self.may_lapse
    }

    /// Whether the right has ended with its time, and may come back.
    #[must_use]
    pub fn has_lapsed(&self, now: Time) -> bool {
        self.may_lapse && self.until() != Time(0) && !self.lasts(now)
    }

    /// Whether nobody else can have become active since the right of this tenure was given back.
    #[must_use]
    pub fn would_last(&self, tenure: Tenure, now: Time) -> bool {
        now.0 < self.spare.load(Ordering::Acquire) && self.is_of(tenure)
    }

    fn is_of(&self, tenure: Tenure) -> bool {
        self.tenure.load(Ordering::Acquire) == tenure.0
    }
}
