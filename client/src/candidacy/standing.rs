//! Where a candidacy stands.

use std::time::Duration;

/// Where a candidacy stands.
///
/// Durations count from the moment at which the service said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// The service hasn't confirmed it yet; or an outage ended it, and it is being entered again.
    Entering,
    /// Not a candidate: its own health check failed. It is entered again, behind the others, when
    /// the check succeeds.
    Unhealthy,
    /// Not a candidate: for longer than the ttl the service has answered with a lower tenure than
    /// this client has seen, as after a restore from a backup. No such answer is believed, as its
    /// fencing tokens may be lower than those handed out before. It is entered again, behind the
    /// others, when the service has come up.
    Outdated {
        /// The tenure of the service.
        tenure: u64,
        /// The highest tenure that this client has seen.
        newest: u64,
    },
    /// In the queue.
    Waiting {
        /// Live candidates that were before this one when it was entered, or when its stream was
        /// opened last.
        ahead: Option<u32>,
        /// The service started a short while ago, and grants nothing for this long.
        settling: Option<Duration>,
        /// The election is on hold, and isn't granted for this long: see
        /// [`Campaign::hold`](crate::Campaign::hold).
        hold: Option<Duration>,
    },
    /// The leader.
    Leading,
}

impl Standing {
    /// In the queue, and more isn't known.
    pub(super) const WAITING: Self = Self::Waiting { ahead: None, settling: None, hold: None };
}
