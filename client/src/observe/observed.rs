//! What an observer is told.

use crate::answers::ElectionChange;
use crate::error::Error;
use std::time::Duration;

/// One event for an observer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Observed {
    /// The state of an election, or its change.
    Change(ElectionChange),
    /// All elections with a leader have been named: the others are vacant. Comes once for each
    /// connection, so also after [`Reconnecting`](Observed::Reconnecting): from then on the news
    /// are current again.
    Synced {
        /// The revision that the news are of.
        revision: u64,
    },
    /// The service has started, and doesn't know all leaders yet: until
    /// [`Synced`](Observed::Synced) comes, absence says nothing.
    Settling {
        /// How long that lasts from now: then a leader that hasn't come back can't be out there any
        /// more.
        remaining: Duration,
    },
    /// The connection broke: what was told may be old by now. It is opened again after a delay.
    Reconnecting {
        /// What broke it.
        error: Error,
        /// Until the next try.
        delay: Duration,
    },
}
