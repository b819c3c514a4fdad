//! The table of errors: what the core and the checks refuse, as gRPC statuses with
//! `google.rpc.ErrorInfo`.

use crate::ticket::TicketError;
use leasehold_core::{BadWord, Reject};
use leasehold_policy::Denial;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of all reasons.
pub const DOMAIN: &str = "leasehold";

/// So many characters of a text that may be of any length are shown.
const MAX_SHOWN: usize = 256;

/// A refusal on its way to a caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// By the core.
    #[error("{0}")]
    Core(#[from] Reject),
    /// A word that isn't accepted.
    #[error("{0}")]
    Word(#[from] BadWord),
    /// A ticket that can't be opened.
    #[error("{0}")]
    Ticket(#[from] TicketError),
    /// A field of the request is wrong.
    #[error("{0}")]
    Argument(String),
    /// A bug of this server.
    #[error("{0}: this is a bug of leasehold-server, please report it")]
    Internal(&'static str),
    /// The loop is too far behind.
    #[error("this replica has too many calls waiting (setting inbox); try again")]
    InboxFull,
    /// As many Observe streams as allowed.
    #[error("there are {limit} Observe streams already, the most that this server serves (setting max_observers)")]
    TooManyObservers {
        /// The limit.
        limit: usize,
    },
    /// As many calls are open as may be.
    #[error("there are {limit} {what} {whose} already, the most that this server serves; end some of them")]
    TooManyCalls {
        /// Of which kind.
        what: &'static str,
        /// Among which.
        whose: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A stream of reflection has lasted long enough.
    #[error("a stream of gRPC reflection lasts {limit:?} at most; open another one")]
    ReflectionEnds {
        /// So long.
        limit: Duration,
    },
    /// The caller makes too many calls.
    #[error(
        "this subject makes more than {limit} calls a second, the most that this server takes from one (setting \
         max_calls_per_subject); try again more slowly"
    )]
    TooFast {
        /// The limit.
        limit: usize,
    },
    /// The caller has as many Observe streams open as one may have.
    #[error(
        "this subject has {limit} Observe streams already, the most that one may have (setting max_observers_per_subject)"
    )]
    TooManyObserversOfSubject {
        /// The limit.
        limit: usize,
    },
    /// The call doesn't say who sends it.
    #[error("{0}")]
    NoToken(String),
    /// Its token is worth nothing.
    #[error("{0}")]
    InvalidToken(String),
    /// Its token was good once.
    #[error("{0}")]
    TokenExpired(String),
    /// Its certificate names nobody.
    #[error("{0}")]
    InvalidCertificate(String),
    /// Its token may be good, and can't be checked now.
    #[error("{0}")]
    IssuerKeysUnknown(String),
    /// Somebody says whom a call comes from, and isn't known to be a replica.
    #[error(
        "this call was handed on by a replica that this one doesn't believe: it has other keys, or its clock differs by more \
         than a minute; try again, or another replica"
    )]
    UnprovenCaller,
    /// The policy doesn't allow it.
    #[error("{0}")]
    Denied(Box<Denial>),
    /// The ticket was given to somebody else.
    #[error(
        "this ticket of the election {election} was given to another subject than {subject}; a ticket is worth something in the \
         hands of the subject that entered only: enter the election with Campaign"
    )]
    OtherSubject {
        /// Who has sent it.
        subject: String,
        /// Its election.
        election: String,
    },
    /// The connection of this stream is old.
    #[error(
        "the connection of this stream is as old as one gets (setting max_connection_age); open the stream again, over a new one"
    )]
    ConnectionAged,
    /// Whoever asks to mirror this replica doesn't have the key that replicas share.
    #[error("only replicas that share this one's Secret may mirror it")]
    NotAReplica,
    /// A standby can't reach the active replica.
    #[error("the active replica at {address} can't be reached from this standby: {why}; try again, or another replica")]
    ActiveUnreachable {
        /// Where it is said to be.
        address: String,
        /// What happened.
        why: String,
    },
    /// The connection between a standby and the active replica broke.
    #[error("the connection of this standby to the active replica broke: {why}; try again")]
    ActiveBroke {
        /// What happened.
        why: String,
    },
    /// Another replica has become active while a call was forwarded.
    #[error("the active replica has changed while this call was under way; try again")]
    ActiveChanged,
    /// The reader of a Campaign stream doesn't read.
    #[error("this stream's reader is too slow; a leased candidacy lives on: open the stream again with its ticket")]
    SlowReader,
    /// Nothing answered the call in time, or it didn't arrive whole.
    #[error(
        "this server gave the call up after {limit:?}: the request didn't arrive whole, or nothing answered it, as when the active \
         replica stands still; it may have been done all the same; try again, or another replica"
    )]
    CallTimedOut {
        /// So long was waited.
        limit: Duration,
    },
    /// There is no such method, or no such service.
    #[error(
        "leasehold-server {} has no method {path}; gRPC reflection lists those that it has", env!("CARGO_PKG_VERSION")
    )]
    UnknownMethod {
        /// What was called.
        path: String,
    },
    /// The request is compressed.
    #[error("{why}; this server takes requests as they are: send them uncompressed")]
    Compressed {
        /// How.
        why: String,
    },
    /// The request is longer than this server takes.
    #[error("the request is too long: {found}")]
    TooLong {
        /// How long it is, and how long it may be.
        found: String,
    },
    /// The call's own deadline has passed.
    #[error("the deadline of this call has passed; a leased candidacy that leads lives on with its KeepAlives")]
    DeadlineExceeded,
}

impl Refusal {
    /// The code and the reason.
    #[must_use]
    pub fn code_and_reason(&self) -> (Code, &'static str) {
        match self {
            Refusal::Word(BadWord::TooLong { what: "value", .. }) => (Code::InvalidArgument, "VALUE_TOO_LONG"),
            Refusal::Word(_) => (Code::InvalidArgument, "INVALID_NAME"),
            Refusal::Ticket(_) => (Code::InvalidArgument, "INVALID_TICKET"),
            Refusal::Argument(_) => (Code::InvalidArgument, "INVALID_REQUEST"),
            Refusal::Internal(_) => (Code::Internal, "INTERNAL"),
            Refusal::InboxFull => (Code::Unavailable, "INBOX_FULL"),
            Refusal::TooManyObservers { .. } => (Code::ResourceExhausted, "TOO_MANY_OBSERVERS"),
            Refusal::TooManyCalls { .. } => (Code::ResourceExhausted, "TOO_MANY_CALLS"),
            Refusal::ReflectionEnds { .. } => (Code::ResourceExhausted, "REFLECTION_ENDS"),
            Refusal::TooFast { .. } => (Code::ResourceExhausted, "TOO_FAST"),
            Refusal::TooManyObserversOfSubject { .. } => (Code::ResourceExhausted, "TOO_MANY_OBSERVERS"),
            Refusal::NoToken(_) => (Code::Unauthenticated, "NO_TOKEN"),
            Refusal::InvalidToken(_) => (Code::Unauthenticated, "INVALID_TOKEN"),
            Refusal::TokenExpired(_) => (Code::Unauthenticated, "TOKEN_EXPIRED"),
            Refusal::InvalidCertificate(_) => (Code::Unauthenticated, "INVALID_CERTIFICATE"),
            Refusal::IssuerKeysUnknown(_) => (Code::Unavailable, "ISSUER_KEYS_UNKNOWN"),
            Refusal::UnprovenCaller => (Code::Unavailable, "UNPROVEN_CALLER"),
            Refusal::Denied(_) => (Code::PermissionDenied, "DENIED"),
            Refusal::OtherSubject { .. } => (Code::PermissionDenied, "OTHER_SUBJECT"),
            Refusal::ConnectionAged => (Code::Unavailable, "CONNECTION_AGED"),
            Refusal::NotAReplica => (Code::PermissionDenied, "NOT_A_REPLICA"),
            Refusal::ActiveUnreachable { .. } | Refusal::ActiveBroke { .. } => {
                (Code::Unavailable, "ACTIVE_UNREACHABLE")
            }
            Refusal::ActiveChanged => (Code::Unavailable, "NOT_ACTIVE"),
            Refusal::SlowReader => (Code::ResourceExhausted, "SLOW_READER"),
            Refusal::CallTimedOut { .. } => (Code::Unavailable, "CALL_TIMED_OUT"),
            Refusal::UnknownMethod { .. } => (Code::Unimplemented, "UNKNOWN_METHOD"),
            Refusal::Compressed { .. } => (Code::Unimplemented, "COMPRESSED_REQUEST"),
            Refusal::TooLong { .. } => (Code::InvalidArgument, "REQUEST_TOO_LONG"),
            Refusal::DeadlineExceeded => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            Refusal::Core(reject) => match reject {
                Reject::NotActive | Reject::OtherTenure => (Code::Unavailable, "NOT_ACTIVE"),
                Reject::ShuttingDown => (Code::Unavailable, "SHUTTING_DOWN"),
                Reject::NumbersLow => (Code::Unavailable, "NUMBERS_LOW"),
                Reject::Settling { .. } => (Code::Unavailable, "SETTLING"),
                Reject::TtlOutOfRange { .. } => (Code::InvalidArgument, "INVALID_TTL"),
                Reject::HoldTooLong { .. } => (Code::InvalidArgument, "INVALID_HOLD"),
                Reject::TooManyElections { .. } => (Code::ResourceExhausted, "TOO_MANY_ELECTIONS"),
                Reject::TooManyCandidacies { .. } => (Code::ResourceExhausted, "TOO_MANY_CANDIDACIES"),
                Reject::OutOfMemoryBudget { .. } => (Code::ResourceExhausted, "OUT_OF_MEMORY_BUDGET"),
                Reject::ElectionFull { .. } => (Code::ResourceExhausted, "ELECTION_FULL"),
                Reject::SubjectFull { .. } => (Code::ResourceExhausted, "SUBJECT_FULL"),
                Reject::NotLeading { .. } => (Code::FailedPrecondition, "NOT_LEADING"),
                Reject::Ended { .. } => (Code::FailedPrecondition, "ENDED"),
                Reject::NoLeader { .. } => (Code::FailedPrecondition, "NO_LEADER"),
                Reject::OtherLeader { .. } => (Code::FailedPrecondition, "OTHER_LEADER"),
                Reject::Superseded => (Code::Aborted, "SUPERSEDED"),
            },
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let pairs: Vec<(&str, String)> = match self {
            Refusal::ActiveUnreachable { address, .. } => vec![("address", address.clone())],
            Refusal::TooManyObservers { limit }
            | Refusal::TooManyObserversOfSubject { limit }
            | Refusal::TooFast { limit }
            | Refusal::TooManyCalls { limit, .. } => {
                vec![("limit", limit.to_string())]
            }
            Refusal::Denied(denial) => vec![
                ("subject", denial.subject.clone()),
                ("verb", denial.verb.to_string()),
                ("election", denial.election.clone()),
            ],
            Refusal::OtherSubject { subject, election } => {
                vec![("subject", subject.clone()), ("election", election.clone())]
            }
            Refusal::CallTimedOut { limit } => vec![("limit_ms", limit.as_millis().to_string())],
            Refusal::Core(reject) => match reject {
                Reject::TtlOutOfRange { ttl, min, max } => {
                    vec![("ttl_ms", ttl.0.to_string()), ("min_ms", min.0.to_string()), ("max_ms", max.0.to_string())]
                }
                Reject::HoldTooLong { hold, max } => {
                    vec![("hold_ms", hold.0.to_string()), ("max_ms", max.0.to_string())]
                }
                Reject::TooManyElections { limit }
                | Reject::TooManyCandidacies { limit }
                | Reject::OutOfMemoryBudget { limit }
                | Reject::SubjectFull { limit } => vec![("limit", limit.to_string())],
                Reject::ElectionFull { election, limit } => {
                    vec![("election", election.to_string()), ("limit", limit.to_string())]
                }
                Reject::NotLeading { election } | Reject::NoLeader { election } => {
                    vec![("election", election.to_string())]
                }
                Reject::Ended { election, reason } => {
                    vec![("election", election.to_string()), ("end_reason", reason.name().to_owned())]
                }
                Reject::OtherLeader { election, given, current } => vec![
                    ("election", election.to_string()),
                    ("given", given.to_string()),
                    ("current", current.to_string()),
                ],
                Reject::Settling { election, settling } => {
                    vec![("election", election.to_string()), ("settling_ms", settling.0.to_string())]
                }
                Reject::NotActive
                | Reject::OtherTenure
                | Reject::ShuttingDown
                | Reject::NumbersLow
                | Reject::Superseded => Vec::new(),
            },
            _ => Vec::new(),
        };
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// What a caller has sent, as a message may show it. An error travels in headers: clients that find
/// them too long never see it.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let (code, reason) = refusal.code_and_reason();
        let details = ErrorDetails::with_error_info(reason, DOMAIN, refusal.metadata());
        Status::with_error_details(code, refusal.to_string(), details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::{ElectionName, Millis};

    #[test]
    fn a_refusal_carries_its_reason_and_values() {
        let election = ElectionName::new("billing").unwrap();
        let status: Status = Refusal::from(Reject::Settling { election, settling: Millis(1500) }).into();
        assert_eq!(status.code(), Code::Unavailable);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("SETTLING", "leasehold"));
        assert_eq!(info.metadata["settling_ms"], "1500");
        assert!(status.message().contains("ask again in 1500 ms"), "{}", status.message());
    }
}
