//! The audit log: who did, or wanted to do, what others must be able to look up. One JSON object a
//! line whatever the form of the rest of the log, with the target `audit`.

use crate::caller::Caller;
use crate::errors::shown;
use leasehold_core::{ElectionName, FencingToken, Replace};
use std::path::Path;

/// The target of all its lines.
pub(crate) const TARGET: &str = "audit";

/// A caller may not do that.
pub(crate) fn denied(caller: &Caller, verb: &str, election: &str) {
    let (subject, from) = (caller.subject(), caller.from());
    tracing::info!(target: TARGET, event = "denied", %subject, from, verb, election = shown(election), pod = caller.pod_name());
}

/// A leadership was ended from outside.
pub(crate) fn stepped_down(caller: &Caller, election: &ElectionName, token: FencingToken) {
    let (subject, from) = (caller.subject(), caller.from());
    tracing::info!(target: TARGET, event = "step-down", %subject, from, %election, token = token.0, pod = caller.pod_name());
}

/// A worker enters, and says that its former self is dead.
pub(crate) fn replaces(caller: &Caller, election: &ElectionName, whose: Replace) {
    let (subject, from) = (caller.subject(), caller.from());
    let by = if whose == Replace::OfItsPod { "pod" } else { "policy" };
    tracing::info!(target: TARGET, event = "replace-former", %subject, from, %election, by, pod = caller.pod_name());
}

/// Another policy is in force.
pub(crate) fn policy_changed(file: &Path) {
    tracing::info!(target: TARGET, event = "policy-changed", file = %file.display());
}

/// The policy file changed, and the new one can't be used.
pub(crate) fn policy_broken(why: &str) {
    tracing::info!(target: TARGET, event = "policy-broken", why, "the policy that was in force before stays");
}
