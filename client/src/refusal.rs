//! Why the service refuses calls: the mirror of the server's table of errors.

use std::fmt;

/// What kind of refusal it is: all that a program needs to know that doesn't know the [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// A replica can't do it now. Temporary.
    Unavailable,
    /// A limit is reached. Temporary.
    ResourceExhausted,
    /// It collided with something else. Temporary.
    Aborted,
    /// The time for it was over. Temporary.
    DeadlineExceeded,
    /// It was cut off. Temporary.
    Cancelled,
    /// A value in it is wrong.
    InvalidArgument,
    /// It isn't possible in the present state.
    FailedPrecondition,
    /// The caller doesn't say who it is, or can't prove it.
    Unauthenticated,
    /// The caller may not do it.
    PermissionDenied,
    /// What it names isn't there.
    NotFound,
    /// What it would make is there already.
    AlreadyExists,
    /// A value in it lies beyond what there is.
    OutOfRange,
    /// The service can't do that at all.
    Unimplemented,
    /// A bug of the service.
    Internal,
    /// The service has lost data.
    DataLoss,
    /// A kind that this version of the crate doesn't know.
    Unknown,
}

impl RefusalKind {
    /// The code of gRPC, by its name in the specification, e.g. `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "UNAVAILABLE",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Aborted => "ABORTED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Cancelled => "CANCELLED",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::DataLoss => "DATA_LOSS",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether the same call may succeed a little later, with nothing changed.
    pub(crate) fn is_temporary(self) -> bool {
        use RefusalKind::{Aborted, Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable};
        matches!(self, Unavailable | ResourceExhausted | Aborted | DeadlineExceeded | Cancelled)
    }
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
            /// The name in the service's answers and in docs/errors.md, e.g. `NOT_LEADING`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)*
                    Self::Other(name) => name,
                }
            }

            pub(crate) fn from_name(name: &str) -> Self {
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
    /// The numbers that may be handed out are used up until the service has stored a higher limit.
    /// Temporary.
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
    /// The connection of the stream was as old as one gets: the stream is to be opened again.
    ConnectionAged = "CONNECTION_AGED",
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
    /// The service has as many open calls or streams of this kind as it may, in all or from this
    /// address.
    TooManyCalls = "TOO_MANY_CALLS",
    /// This caller makes more calls a second than one may.
    TooFast = "TOO_FAST",
    /// The replica doesn't know the keys with which the token can be checked. Temporary.
    IssuerKeysUnknown = "ISSUER_KEYS_UNKNOWN",
    /// The active replica doesn't believe what a standby says of who calls. Temporary.
    UnprovenCaller = "UNPROVEN_CALLER",
    /// The service asks who calls, and the call doesn't say.
    NoToken = "NO_TOKEN",
    /// The token isn't accepted.
    InvalidToken = "INVALID_TOKEN",
    /// The token's time is over.
    TokenExpired = "TOKEN_EXPIRED",
    /// The client certificate names nobody, or in a way that can't be used.
    InvalidCertificate = "INVALID_CERTIFICATE",
    /// The policy doesn't allow it; the metadata says whom, what and where.
    Denied = "DENIED",
    /// The ticket was given to another subject.
    OtherSubject = "OTHER_SUBJECT",
    /// Only the leader may do that.
    NotLeading = "NOT_LEADING",
    /// The candidacy is over; the metadata `end_reason` says why.
    Ended = "ENDED",
    /// The election has no leader.
    NoLeader = "NO_LEADER",
    /// The election is led with another fencing token.
    OtherLeader = "OTHER_LEADER",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.as_str();
        f.write_str(if name.is_empty() { "no reason given" } else { name })
    }
}
