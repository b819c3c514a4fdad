//! What an error says of the connection that it came over.

use crate::error::Error;
use crate::refusal::Reason;

/// Why a connection isn't used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No answer came in time.
    Silent,
    /// It broke, or it couldn't be made.
    Broken,
    /// The replica says that it isn't active, or is known to have been replaced.
    Refused,
}

impl Fault {
    /// The fault of a connection, or of the replica at its other end, that this error tells of.
    /// None: every replica would have answered so.
    pub(super) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Unreachable { .. } => Some(Self::Broken),
            Error::Outdated { .. }
            | Error::Refused { reason: Reason::NotActive | Reason::ShuttingDown | Reason::CallTimedOut, .. } => {
                Some(Self::Refused)
            }
            _ => None,
        }
    }
}
