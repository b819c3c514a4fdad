//! What a gRPC status says: a refusal of Leasehold, a connection that broke, or the word of
//! somebody else.

use crate::error::Error;
use crate::proto::EndReason;
use crate::refusal::{Reason, RefusalKind};
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt as _};

/// The domain in the `google.rpc.ErrorInfo` of every refusal of the service.
const DOMAIN: &str = "leasehold";
/// How many characters are shown of what somebody else says.
const SHOWN_CHARS: usize = 200;

/// The error that a status stands for.
pub(super) fn error_of(status: Status) -> Error {
    let Some(info) = info(&status) else { return Error::Unreachable { detail: foreign(&status) } };
    let reason = Reason::from_name(&info.reason);
    let message = status.message().to_owned();
    if reason == Reason::Ended {
        return Error::Ended { reason: end_reason(&info.metadata).into(), detail: message };
    }
    Error::Refused { kind: kind_of(status.code()), reason, message, metadata: info.metadata }
}

fn kind_of(code: Code) -> RefusalKind {
    match code {
        Code::Unavailable => RefusalKind::Unavailable,
        Code::ResourceExhausted => RefusalKind::ResourceExhausted,
        Code::Aborted => RefusalKind::Aborted,
        Code::DeadlineExceeded => RefusalKind::DeadlineExceeded,
        Code::Cancelled => RefusalKind::Cancelled,
        Code::InvalidArgument => RefusalKind::InvalidArgument,
        Code::FailedPrecondition => RefusalKind::FailedPrecondition,
        Code::Unauthenticated => RefusalKind::Unauthenticated,
        Code::PermissionDenied => RefusalKind::PermissionDenied,
        Code::NotFound => RefusalKind::NotFound,
        Code::AlreadyExists => RefusalKind::AlreadyExists,
        Code::OutOfRange => RefusalKind::OutOfRange,
        Code::Unimplemented => RefusalKind::Unimplemented,
        Code::Internal => RefusalKind::Internal,
        Code::DataLoss => RefusalKind::DataLoss,
        Code::Ok | Code::Unknown => RefusalKind::Unknown,
    }
}

/// Why a candidacy ended, as the metadata of a refusal tell it.
fn end_reason(metadata: &HashMap<String, String>) -> EndReason {
    let name = metadata.get("end_reason").map_or("", String::as_str);
    EndReason::from_str_name(&format!("END_REASON_{name}")).unwrap_or(EndReason::Unspecified)
}

/// Whether the connection itself broke: a status that was made here has the error of the connection
/// as its source; a status that was received has none.
pub(super) fn is_of_connection(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// What Leasehold says of a refusal of its own: every one has it.
fn info(status: &Status) -> Option<ErrorInfo> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN)
}

/// Whether somebody else than Leasehold has answered so, for certain: without our details, and with
/// a code that this side of a connection never makes.
pub(super) fn is_of_somebody_else(status: &Status) -> bool {
    let may_be_made_here = matches!(
        status.code(),
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown | Code::Internal
    );
    info(status).is_none() && !may_be_made_here && !is_of_connection(status)
}

/// What an answer says whose headers hold this status, if it isn't Leasehold's. A time that is over
/// and a call that was cancelled say nothing of who has answered.
pub(super) fn said_by_somebody_else(status: &Status) -> Option<String> {
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

/// What tonic calls each error of a connection: its cause says which.
const GENERIC: &str = "transport error";

/// The message of a status and of what caused it, each once.
fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) && message != GENERIC {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fault::Fault;
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_refusal_keeps_its_reason_and_metadata() {
        let metadata = HashMap::from([("limit".to_owned(), "4096".to_owned())]);
        let details = ErrorDetails::with_error_info("VALUE_TOO_LONG", DOMAIN, metadata.clone());
        let status = Status::with_error_details(Code::InvalidArgument, "the value is too long", details);
        let error = error_of(status);
        let Error::Refused { kind, reason, metadata: kept, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*kind, reason, kept), (RefusalKind::InvalidArgument, &Reason::ValueTooLong, &metadata));
        assert!(!error.is_temporary());
        assert_eq!(error.to_string(), "the value is too long (InvalidArgument, VALUE_TOO_LONG)");
    }

    #[test]
    fn every_code_of_a_refusal_has_a_kind_of_its_own() {
        for number in 1..=16 {
            let code = Code::from_i32(number);
            let details = ErrorDetails::with_error_info("NEW_REASON", DOMAIN, HashMap::new());
            let error = error_of(Status::with_error_details(code, "no", details));
            let Error::Refused { kind, .. } = error else { panic!("{error:?}") };
            assert_eq!(format!("{kind:?}"), format!("{code:?}"));
            assert_eq!(kind.as_str().replace('_', ""), format!("{code:?}").to_uppercase());
        }
    }

    #[test]
    fn a_replica_that_stops_is_a_temporary_refusal() {
        let details = ErrorDetails::with_error_info("SHUTTING_DOWN", DOMAIN, HashMap::new());
        let error = error_of(Status::with_error_details(Code::Unavailable, "stopping", details));
        assert!(matches!(&error, Error::Refused { reason: Reason::ShuttingDown, .. }), "{error:?}");
        assert!(error.is_temporary());
    }

    #[test]
    fn a_candidacy_that_is_over_says_why() {
        let metadata = HashMap::from([("end_reason".to_owned(), "EXPIRED".to_owned())]);
        let details = ErrorDetails::with_error_info("ENDED", DOMAIN, metadata);
        let error = error_of(Status::with_error_details(Code::FailedPrecondition, "ran out", details));
        assert_eq!(error, Error::Ended { reason: EndReason::Expired.into(), detail: "ran out".to_owned() });
    }

    #[test]
    fn what_a_proxy_or_a_grpc_layer_says_is_no_answer_and_another_endpoint_may_have_one() {
        for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::DeadlineExceeded] {
            let error = error_of(Status::new(code, "said in between"));
            assert_eq!(error, Error::Unreachable { detail: "said in between".to_owned() }, "{code:?}");
            assert!(error.is_temporary() && Fault::of(&error) == Some(Fault::Broken));
        }
        // Tonic's own sentence.
        let error = error_of(Status::internal("Missing response message."));
        assert_eq!(error, Error::Unreachable { detail: "Missing response message".to_owned() });
    }

    #[test]
    fn a_refusal_without_our_details_is_not_leaseholds_whatever_the_code() {
        for number in 1..=16 {
            let status = Status::new(Code::from_i32(number), "no.\n");
            let error = error_of(status.clone());
            assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
            assert!(error.is_temporary() && Fault::of(&error) == Some(Fault::Broken));
            let is_of_time = [Code::Cancelled, Code::DeadlineExceeded].contains(&status.code());
            assert_eq!(said_by_somebody_else(&status).is_none(), is_of_time, "{status:?}");
        }
        let said = error_of(Status::permission_denied("no.\n")).to_string();
        assert!(said.ends_with("but not Leasehold's gRPC: gRPC status 7 (PermissionDenied): no"), "{said}");
        assert_eq!(said_by_somebody_else(&Status::data_loss("")).unwrap(), "gRPC status 15 (DataLoss)");
    }

    #[test]
    fn a_broken_connection_is_unreachable_and_foreign_details_are_not_ours() {
        assert!(matches!(error_of(Status::unavailable("tcp connect error")), Error::Unreachable { .. }));
        let details = ErrorDetails::with_error_info("INVALID_NAME", "proxy.example", HashMap::new());
        let error = error_of(Status::with_error_details(Code::PermissionDenied, "no", details));
        assert!(matches!(&error, Error::Unreachable { detail } if detail.ends_with("no")), "{error:?}");
    }
}
