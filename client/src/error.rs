//! What can go wrong.

use crate::answers::EndReason;
use crate::lost::Lost;
use crate::refusal::{Reason, RefusalKind};
use std::collections::HashMap;

/// What a call of this crate can fail with.
///
/// ```
/// use leasehold::{Error, Reason};
///
/// fn what_to_do(error: &Error) -> &'static str {
///     match error {
///         Error::NotGranted { .. } => "another machine does it",
///         Error::Refused { reason: Reason::InvalidTtl, .. } => "ask for a ttl that the service takes",
///         error if error.is_temporary() => "try again a little later",
///         _ => "tell somebody",
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service couldn't be reached, didn't answer in time, or the connection broke. Whether the
    /// call was carried out isn't known.
    #[error("the leasehold service can't be reached: {detail}")]
    Unreachable {
        /// What happened, for people.
        detail: String,
    },

    /// The service answered with an error.
    #[error("{message} ({kind:?}, {reason})")]
    Refused {
        /// What a program needs to know that doesn't know the reason.
        kind: RefusalKind,
        /// Why, for programs.
        reason: Reason,
        /// Why, for people, and what to do about it.
        message: String,
        /// What else the service says about it: names of limits, values.
        metadata: HashMap<String, String>,
    },

    /// The candidacy was a try ([`no_wait`](crate::Campaign::no_wait),
    /// [`max_wait`](crate::Campaign::max_wait)), and somebody else leads.
    #[error("not granted: {detail}")]
    NotGranted {
        /// What the service says about it.
        detail: String,
    },

    /// The candidacy is over.
    #[error("the candidacy is over ({reason}): {detail}")]
    Ended {
        /// Why.
        reason: EndReason,
        /// Why, for people.
        detail: String,
    },

    /// The answer came from a replica that another one has replaced, so it says nothing. Ask again.
    #[error(
        "the answer came from a replica that has been replaced (tenure {tenure}, the newest seen is {newest}): ask again"
    )]
    Outdated {
        /// The tenure of the answer.
        tenure: u64,
        /// The highest tenure that this client has seen.
        newest: u64,
    },

    /// A try ([`no_wait`](crate::Campaign::no_wait), [`max_wait`](crate::Campaign::max_wait)) that
    /// its own health check kept out of the election.
    #[error("unhealthy: {detail}")]
    Unhealthy {
        /// What the check said, or that it said nothing in time.
        detail: String,
    },

    /// An argument that can't be sent.
    #[error("{what} isn't valid: {detail}")]
    Invalid {
        /// Which argument.
        what: &'static str,
        /// Why.
        detail: String,
    },
}

impl Error {
    /// Whether the same call may succeed a little later, with nothing changed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Outdated { .. } => true,
            Self::Refused { kind, .. } => kind.is_temporary(),
            Self::NotGranted { .. } | Self::Ended { .. } | Self::Unhealthy { .. } | Self::Invalid { .. } => false,
        }
    }

    /// No answer came within the time for it.
    pub(crate) fn silent(what: &str) -> Self {
        Self::Unreachable { detail: format!("no answer to {what} in time") }
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Ended { reason: EndReason::NotGranted, detail } => Self::NotGranted { detail },
            Lost::Ended { reason, detail } => Self::Ended { reason, detail },
            Lost::Deadline => Self::Ended { reason: EndReason::Expired, detail: Lost::Deadline.to_string() },
            Lost::Resigned => Self::Ended { reason: EndReason::Resigned, detail: Lost::Resigned.to_string() },
            Lost::Unhealthy { detail } => Self::Unhealthy { detail },
            Lost::Refused { detail } => Self::Refused {
                kind: RefusalKind::InvalidArgument,
                reason: Reason::InvalidTicket,
                message: detail,
                metadata: HashMap::new(),
            },
        }
    }
}
