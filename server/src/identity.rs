//! Who calls: tokens and certificates, and the subjects that they stand for.
//!
//! Each kind of proof has subjects of its own kind, so that no two kinds can make the same one:
//! `system:serviceaccount:...` from Kubernetes, `oidc:...`, and `spiffe://...`, `dns:...` or
//! `cn:...` from a certificate. Nothing here asks anybody else while a call waits, but for the keys
//! of an issuer when a token names one that isn't known yet.

mod authenticators;
mod cache;
mod certificate;
mod claims;
mod issuer;
mod jwks;
mod jwt;
mod passport;
mod provider;
mod source;

#[cfg(feature = "fuzzing")]
pub(crate) use authenticators::bearer;
pub(crate) use authenticators::{Authenticators, Shown, Unauthenticated};
pub(crate) use cache::LastShown;
pub(crate) use certificate::subject_of_certificate;
#[cfg(feature = "fuzzing")]
pub(crate) use claims::{IssuerKind, IssuerRules};
#[cfg(feature = "fuzzing")]
pub(crate) use jwks::Jwks;
pub(crate) use passport::{CALLER, Passports};

use leasehold_core::{PodUid, Subject};
use std::net::IpAddr;
use std::sync::Arc;

/// How far the clocks of this server and of an issuer may differ, in seconds.
pub(crate) const LEEWAY_SECONDS: u64 = 10;
/// The longest token, in bytes. Headers of a call have 16 KiB in all.
pub(crate) const MAX_TOKEN_BYTES: usize = 12 * 1024;

/// Who calls, and until when that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// In whose name it calls.
    pub(crate) subject: Subject,
    /// The pod that it runs in, if its token is bound to one.
    pub(crate) pod: Option<Pod>,
    /// From then on the proof is worth nothing: seconds since 1970-01-01T00:00:00Z.
    pub(crate) until: u64,
}

/// A caller whose identity was found out, and where its call came from first. It stands beside the
/// request.
#[derive(Clone, Debug)]
pub(crate) struct Identified {
    pub(crate) identity: Arc<Identity>,
    pub(crate) from: Option<IpAddr>,
}

/// The pod that a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Its name.
    pub(crate) name: String,
    /// Its uid: no other pod ever has it, not even one of the same name.
    pub(crate) uid: PodUid,
}

/// Why a token isn't accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    /// It is worth nothing.
    #[error("the token isn't accepted: {0}")]
    Invalid(String),
    /// It was good once.
    #[error("the token expired {} s ago, at {exp} (seconds since 1970); read it anew from its file or its issuer", now.saturating_sub(*exp))]
    Expired {
        /// Its `exp`.
        exp: u64,
        /// The moment of asking.
        now: u64,
    },
    /// It may be good: the keys of its issuer aren't known here.
    #[error("the token can't be checked now: {0}; try again")]
    KeysUnknown(String),
}

impl BadToken {
    fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }
}

#[cfg(test)]
mod tests;
