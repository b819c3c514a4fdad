//! Proofs of who calls, without the issuers and the connections that they come from.

use crate::identity::{IssuerKind, IssuerRules, Jwks, Passports, bearer, subject_of_certificate};
use crate::keys::Keys;
use leasehold_core::Tenure;
use tonic::codegen::http::HeaderValue;

/// Who a token says that calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// In whose name.
    pub subject: String,
    /// The pod that it is bound to.
    pub pod: Option<String>,
    /// When it ends, with what clocks may differ: seconds since 1970.
    pub until: u64,
}

/// What a server that accepts this issuer makes of a token: a cluster, or a provider whose claim
/// `sub` is the subject. The audience is `leasehold`.
#[must_use]
pub fn check_token(jwks: &str, issuer: &str, is_cluster: bool, token: &str, now: u64) -> Option<Checked> {
    let kind = if is_cluster { IssuerKind::Kubernetes } else { IssuerKind::Oidc { claim: "sub".to_owned() } };
    let rules = IssuerRules { issuer: issuer.to_owned(), audience: "leasehold".to_owned(), kind };
    let identity = rules.check(token, &Jwks::parse(jwks).ok()?, now)?;
    let pod = identity.pod.map(|pod| pod.uid.to_string());
    Some(Checked { subject: identity.subject.to_string(), pod, until: identity.until })
}

/// The token in the metadata `authorization` of a call.
#[must_use]
pub fn bearer_token(authorization: &[u8]) -> Option<&str> {
    bearer(authorization).ok()
}

/// Whether these are keys that can check a token.
#[must_use]
pub fn is_key_set(text: &str) -> bool {
    Jwks::parse(text).is_ok()
}

/// Whom a certificate names.
#[must_use]
pub fn certificate_subject(der: &[u8]) -> Option<String> {
    subject_of_certificate(der).ok().map(|subject| subject.to_string())
}

/// Whether a replica with these keys has said that, of a call to the method `/a/B` in tenure 7.
#[must_use]
pub fn is_passport(keys: &Keys, passport: &[u8], now: u64) -> bool {
    let Ok(passport) = HeaderValue::from_bytes(passport) else { return false };
    Passports::new(keys).open(&passport, Some(Tenure(7)), "/a/B", now).is_some()
}
