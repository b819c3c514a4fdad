//! What a refused call says: its code, its reason for programs and its text for people.

use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A refused call.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// `google.rpc.ErrorInfo.reason`.
    pub reason: String,
    /// `google.rpc.ErrorInfo.metadata`.
    pub metadata: HashMap<String, String>,
    /// The text for people.
    pub text: String,
}

/// What `status` says.
///
/// # Panics
///
/// When it carries no `ErrorInfo` of the domain `leasehold`: each refusal must.
#[must_use]
pub fn refusal(status: &Status) -> Refusal {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "leasehold", "{status:?}");
    Refusal { code: status.code(), reason: info.reason, metadata: info.metadata, text: status.message().to_owned() }
}

/// Asserts code and reason, and that the text has each of these parts in it.
///
/// # Panics
///
/// When it hasn't.
#[track_caller]
pub fn assert_refused(status: &Status, code: Code, reason: &str, parts: &[&str]) {
    let refusal = refusal(status);
    assert_eq!((refusal.code, refusal.reason.as_str()), (code, reason), "{status:?}");
    for part in parts {
        assert!(refusal.text.contains(part), "the text ought to say {part:?}: {:?}", refusal.text);
    }
}
