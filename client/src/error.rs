//! What can go wrong, and the mirror of the server's error table.

use crate::Lost;
use crate::proto::EndReason;
use crate::route::Fault;
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt as _};

/// The domain in the `google.rpc.ErrorInfo` of every refusal of the service.
const DOMAIN: &str = "leasehold";
/// How much is shown of what somebody else says.
const SHOWN_CHARS: usize = 200;

/// What a call of this crate can fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service couldn't be reached, didn't answer in time, or the connection broke. Whether the call was carried out
    /// isn't known.
    #[error("the leasehold service can't be reached: {detail}")]
    Unreachable {
        /// What happened, for people.
        detail: String,
    },

    /// The service answered with an error.
    #[error("{message} ({code:?}, {reason})")]
    Refused {
        /// The gRPC code.
        code: Code,
        /// Why, for programs.
        reason: Reason,
        /// Why, for people, and what to do about it.
        message: String,
        /// What else the service says about it: names of limits, values.
        metadata: HashMap<String, String>,
    },

    /// The candidacy was a try ([`no_wait`](crate::Campaign::no_wait), [`max_wait`](crate::Campaign::max_wait)), and somebody
    /// else leads.
    #[error("not granted: {detail}")]
    NotGranted {
        /// What the service says about it.
        detail: String,
    },

    /// The candidacy is over.
    #[error("the candidacy is over ({}): {detail}", reason_name(*.reason))]
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

    /// A try ([`no_wait`](crate::Campaign::no_wait), [`max_wait`](crate::Campaign::max_wait)) that its own health check kept out of
    /// the election.
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
            Self::Refused { code, .. } => matches!(
                code,
                Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::DeadlineExceeded | Code::Cancelled
            ),
            Self::NotGranted { .. } | Self::Ended { .. } | Self::Unhealthy { .. } | Self::Invalid { .. } => false,
        }
    }

    /// What it says of the connection, if it comes from there or from the replica at its other end. None: any replica would
    /// have answered so.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Unreachable { .. } => Some(Fault::Broken),
            Self::Outdated { .. }
            | Self::Refused { reason: Reason::NotActive | Reason::ShuttingDown | Reason::CallTimedOut, .. } => {
                Some(Fault::Refused)
            }
            _ => None,
        }
    }

    pub(crate) fn silent(what: &str) -> Self {
        Self::Unreachable { detail: format!("no answer to {what} in time") }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let Some(info) = info(&status) else { return Self::Unreachable { detail: foreign(&status) } };
        let reason = Reason::from_wire(&info.reason);
        if reason == Reason::Ended {
            return Self::Ended { reason: end_reason(&info.metadata), detail: status.message().to_owned() };
        }
        Self::Refused { code: status.code(), reason, message: status.message().to_owned(), metadata: info.metadata }
    }
}

/// Why a candidacy ended, as the metadata of a refusal tell it.
fn end_reason(metadata: &HashMap<String, String>) -> EndReason {
    let name = metadata.get("end_reason").map_or("", String::as_str);
    EndReason::from_str_name(&format!("END_REASON_{name}")).unwrap_or(EndReason::Unspecified)
}

/// Whether the connection itself broke: a status that was made here has the error of the connection
/// as its source; one that was received has none.
pub(crate) fn is_of_connection(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// What Leasehold says of a refusal of its own: every one has it.
fn info(status: &Status) -> Option<ErrorInfo> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN)
}

/// Whether somebody else than Leasehold has answered so, for certain: without our details, and with
/// a code that this side of a connection never makes.
pub(crate) fn is_of_somebody_else(status: &Status) -> bool {
    let may_be_made_here = matches!(
        status.code(),
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown | Code::Internal
    );
    info(status).is_none() && !may_be_made_here && !is_of_connection(status)
}

/// What an answer says whose headers hold this status, if it isn't Leasehold's. A time that is over
/// and a call that was cancelled say nothing of who has answered.
pub(crate) fn said_by_somebody_else(status: &Status) -> Option<String> {
    let says_nothing = matches!(status.code(), Code::Ok | Code::DeadlineExceeded | Code::Cancelled);
    (!says_nothing && info(status).is_none()).then(|| quoted(status))
}

/// A status without our details: made by this side of the connection, by a proxy, or by another
/// program. What Leasehold itself refuses has details, so Leasehold hasn't answered: it may do so
/// later, or elsewhere.
fn foreign(status: &Status) -> String {
    if is_of_somebody_else(status) {
        return format!("something answers, but not Leasehold's gRPC: {}", quoted(status));
    }
    chain(status)
}

/// A status of somebody else, as far as it fits into a line.
fn quoted(status: &Status) -> String {
    let mut text = format!("gRPC status {} ({:?})", status.code() as i32, status.code());
    let message = status.message().trim().trim_end_matches('.');
    if !message.is_empty() {
        text.push_str(": ");
        text.extend(message.chars().take(SHOWN_CHARS).map(|char| if char.is_control() { ' ' } else { char }));
    }
    text
}

/// The message of a status and of what caused it, each once.
fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&message);
        }
        cause = error.source();
    }
    // It becomes a part of a sentence.
    text.truncate(text.trim_end_matches('.').len());
    text
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
                code: Code::InvalidArgument,
                reason: Reason::InvalidTicket,
                message: detail,
                metadata: HashMap::new(),
            },
        }
    }
}

/// The name of an end reason without its prefix: `EXPIRED`.
pub(crate) fn reason_name(reason: EndReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("END_REASON_").unwrap_or(name)
}

/// Declares the reasons once, with their names on the wire.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $wire:literal,)*) => {
        /// Why the service refused a call: the reason of its `google.rpc.ErrorInfo`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
            /// A reason that this version of the crate doesn't know; empty if none was given.
            Other(String),
        }

        impl Reason {
            /// The name on the wire, e.g. `NOT_LEADING`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)*
                    Self::Other(name) => name,
                }
            }

            fn from_wire(name: &str) -> Self {
                match name {
                    $($wire => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

reasons! {
    /// This replica doesn't run the elections now. Temporary.
    NotActive = "NOT_ACTIVE",
    /// This replica stops. Temporary.
    ShuttingDown = "SHUTTING_DOWN",
    /// More calls arrive than this replica can take. Temporary.
    InboxFull = "INBOX_FULL",
    /// The numbers that may be handed out are used up until the service has stored a higher limit. Temporary.
    NumbersLow = "NUMBERS_LOW",
    /// The service settles after a start, and can't say yet who leads. Temporary.
    Settling = "SETTLING",
    /// The standby that was asked can't reach the active replica. Temporary.
    ActiveUnreachable = "ACTIVE_UNREACHABLE",
    /// The service gave the call up: nothing answered it in time. Temporary.
    CallTimedOut = "CALL_TIMED_OUT",
    /// The call's own gRPC deadline passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The candidacy's stream was opened once more elsewhere: it has one at a time.
    Superseded = "SUPERSEDED",
    /// This side read its stream too slowly.
    SlowReader = "SLOW_READER",
    /// A bug of the service.
    Internal = "INTERNAL",
    /// A field of the request is wrong.
    InvalidRequest = "INVALID_REQUEST",
    /// The request is longer than the service takes.
    RequestTooLong = "REQUEST_TOO_LONG",
    /// The request is compressed, and the service takes none that are.
    CompressedRequest = "COMPRESSED_REQUEST",
    /// The service doesn't have this method: it is of another version.
    UnknownMethod = "UNKNOWN_METHOD",
    /// The name of an election or a candidate, or a prefix.
    InvalidName = "INVALID_NAME",
    /// The ttl is shorter than a second or longer than the service's `max_ttl`.
    InvalidTtl = "INVALID_TTL",
    /// The hold is longer than a day.
    InvalidHold = "INVALID_HOLD",
    /// The ticket can't be read.
    InvalidTicket = "INVALID_TICKET",
    /// The value is too long.
    ValueTooLong = "VALUE_TOO_LONG",
    /// The service holds as many elections as it may.
    TooManyElections = "TOO_MANY_ELECTIONS",
    /// The service holds as many candidacies as it may.
    TooManyCandidacies = "TOO_MANY_CANDIDACIES",
    /// This election has as many candidacies as it may.
    ElectionFull = "ELECTION_FULL",
    /// This caller has as many candidacies as it may.
    SubjectFull = "SUBJECT_FULL",
    /// The candidacies take as much memory as the service has for them.
    OutOfMemoryBudget = "OUT_OF_MEMORY_BUDGET",
    /// The service has as many observers as it may.
    TooManyObservers = "TOO_MANY_OBSERVERS",
    /// The service has as many open calls or streams of this kind as it may, in all or from this address.
    TooManyCalls = "TOO_MANY_CALLS",
    /// Only the leader may do that.
    NotLeading = "NOT_LEADING",
    /// The candidacy is over; the metadata `end_reason` says why.
    Ended = "ENDED",
    /// The election has no leader.
    NoLeader = "NO_LEADER",
    /// The election is led with another fencing token.
    OtherLeader = "OTHER_LEADER",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.as_str();
        f.write_str(if name.is_empty() { "no reason given" } else { name })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_refusal_keeps_its_reason_and_metadata() {
        let metadata = HashMap::from([("limit".to_owned(), "4096".to_owned())]);
        let details = ErrorDetails::with_error_info("VALUE_TOO_LONG", DOMAIN, metadata.clone());
        let status = Status::with_error_details(Code::InvalidArgument, "the value is too long", details);
        let error = Error::from(status);
        let Error::Refused { code, reason, metadata: kept, .. } = &error else { panic!("{error:?}") };
        assert_eq!((code, reason, kept), (&Code::InvalidArgument, &Reason::ValueTooLong, &metadata));
        assert!(!error.is_temporary());
        assert_eq!(error.to_string(), "the value is too long (InvalidArgument, VALUE_TOO_LONG)");
    }

    #[test]
    fn a_replica_that_stops_is_a_temporary_refusal() {
        let details = ErrorDetails::with_error_info("SHUTTING_DOWN", DOMAIN, HashMap::new());
        let error = Error::from(Status::with_error_details(Code::Unavailable, "stopping", details));
        assert!(matches!(&error, Error::Refused { reason: Reason::ShuttingDown, .. }), "{error:?}");
        assert!(error.is_temporary());
    }

    #[test]
    fn a_candidacy_that_is_over_says_why() {
        let metadata = HashMap::from([("end_reason".to_owned(), "EXPIRED".to_owned())]);
        let details = ErrorDetails::with_error_info("ENDED", DOMAIN, metadata);
        let error = Error::from(Status::with_error_details(Code::FailedPrecondition, "ran out", details));
        assert_eq!(error, Error::Ended { reason: EndReason::Expired, detail: "ran out".to_owned() });
    }

    #[test]
    fn what_a_proxy_or_a_grpc_layer_says_is_no_answer_and_another_endpoint_may_have_one() {
        for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::DeadlineExceeded] {
            let error = Error::from(Status::new(code, "said in between"));
            assert_eq!(error, Error::Unreachable { detail: "said in between".to_owned() }, "{code:?}");
            assert!(error.is_temporary() && error.fault() == Some(Fault::Broken));
        }
        // Tonic's own sentence.
        let error = Error::from(Status::internal("Missing response message."));
        assert_eq!(error, Error::Unreachable { detail: "Missing response message".to_owned() });
    }

    #[test]
    fn whoever_refuses_without_our_details_is_no_leasehold_whatever_the_code() {
        for number in 1..=16 {
            let status = Status::new(Code::from_i32(number), "no.\n");
            let error = Error::from(status.clone());
            assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
            assert!(error.is_temporary() && error.fault() == Some(Fault::Broken));
            let is_of_time = [Code::Cancelled, Code::DeadlineExceeded].contains(&status.code());
            assert_eq!(said_by_somebody_else(&status).is_none(), is_of_time, "{status:?}");
        }
        let said = Error::from(Status::permission_denied("no.\n")).to_string();
        assert!(said.ends_with("but not Leasehold's gRPC: gRPC status 7 (PermissionDenied): no"), "{said}");
        assert_eq!(said_by_somebody_else(&Status::data_loss("")).unwrap(), "gRPC status 15 (DataLoss)");
    }

    #[test]
    fn a_broken_connection_is_unreachable_and_foreign_details_are_not_ours() {
        assert!(matches!(Error::from(Status::unavailable("tcp connect error")), Error::Unreachable { .. }));
        let details = ErrorDetails::with_error_info("INVALID_NAME", "proxy.example", HashMap::new());
        let error = Error::from(Status::with_error_details(Code::PermissionDenied, "no", details));
        assert!(matches!(&error, Error::Unreachable { detail } if detail.ends_with("no")), "{error:?}");
    }
}
