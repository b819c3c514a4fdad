//! Why a leadership is over.

use crate::answers::EndReason;

/// Why a leadership is over. Final: a worker that wants to lead again campaigns again, and gets a
/// new fencing token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// Its own deadline passed: no KeepAlive was accepted within the ttl, or the process was
    /// paused.
    #[error("it couldn't be kept alive before its deadline")]
    Deadline,

    /// The service ended it.
    #[error("the service ended it ({reason}): {detail}")]
    Ended {
        /// Why.
        reason: EndReason,
        /// Why, for people.
        detail: String,
    },

    /// The service can't read the ticket, so the leadership can't be kept alive.
    #[error("the service can't read its ticket: {detail}")]
    Refused {
        /// Why, for people.
        detail: String,
    },

    /// Its own health check failed or hung: see [`HealthCheck`](crate::HealthCheck). The service
    /// learns of it when the guard is dropped.
    #[error("it is unhealthy: {detail}")]
    Unhealthy {
        /// What the check said, or that it said nothing in time.
        detail: String,
    },

    /// The worker resigned itself, or dropped the guard.
    #[error("it resigned")]
    Resigned,
}
