//! What a token must say, and the identity that it makes. Pure.

use super::jwt::TokenClaims;
use super::{BadToken, Identity, LEEWAY_SECONDS, Pod};
use crate::errors::shown;
use leasehold_core::{PodUid, Subject};
use leasehold_policy::SERVICE_ACCOUNT;
use serde_json::Value;

/// Longer names than Kubernetes has.
const MAX_NAME_BYTES: usize = 253;
/// What lies beyond is no date: 2^53.
const LAST_DATE: f64 = 9_007_199_254_740_992.0;

/// What the tokens of one issuer must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerRules {
    /// Their `iss`.
    pub(crate) issuer: String,
    /// What their `aud` must have in it.
    pub(crate) audience: String,
    /// What makes the subject.
    pub(crate) kind: IssuerKind,
}

/// What an issuer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuerKind {
    /// A Kubernetes cluster. The subject is that of a service account.
    Kubernetes,
    /// An OpenID provider. The subject is `oidc:ISSUER#` and this claim.
    Oidc {
        /// `sub`, or another one whose value is a text.
        claim: String,
    },
}

impl IssuerRules {
    /// The identity in a token that one of these keys has signed.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn check(&self, token: &str, keys: &super::Jwks, now: u64) -> Option<Identity> {
        self.identity(&super::jwt::verify(token, keys).ok()?, now).ok()
    }

    /// The identity in a token whose signature was found right; `now` in seconds since 1970.
    pub(super) fn identity(&self, claims: &TokenClaims, now: u64) -> Result<Identity, BadToken> {
        if text(claims, "iss")? != self.issuer {
            return Err(BadToken::invalid(format!("its issuer isn't {:?}", shown(&self.issuer))));
        }
        self.check_audience(claims)?;
        let exp = date(claims, "exp")?.ok_or_else(|| BadToken::invalid("it has no exp, so it would never end"))?;
        let until = exp.saturating_add(LEEWAY_SECONDS);
        if now >= until {
            return Err(BadToken::Expired { exp, now });
        }
        if let Some(nbf) = date(claims, "nbf")?.filter(|nbf| *nbf > now.saturating_add(LEEWAY_SECONDS)) {
            let why = format!(
                "it isn't good before {nbf} (nbf), and the clock of this server says {now} (seconds since 1970)"
            );
            return Err(BadToken::Invalid(why));
        }
        match &self.kind {
            IssuerKind::Kubernetes => service_account(claims, until),
            IssuerKind::Oidc { claim } => {
                let name = format!("oidc:{}#{}", self.issuer, text(claims, claim)?);
                Ok(Identity { subject: subject(&name)?, pod: None, until })
            }
        }
    }

    fn check_audience(&self, claims: &TokenClaims) -> Result<(), BadToken> {
        let is_meant = match claims.get("aud") {
            Some(Value::String(audience)) => *audience == self.audience,
            Some(Value::Array(audiences)) => audiences.iter().any(|audience| *audience == self.audience.as_str()),
            _ => false,
        };
        if is_meant {
            return Ok(());
        }
        let found = claims
            .get("aud")
            .map_or_else(|| "it has none".to_owned(), |aud| format!("its own is {}", shown(&aud.to_string())));
        let why = format!(
            "it isn't meant for this service: {found}, and {:?} is due; ask for a token with that audience",
            self.audience
        );
        Err(BadToken::Invalid(why))
    }
}

/// The service account of a projected token, and the pod that the token is bound to.
fn service_account(claims: &TokenClaims, until: u64) -> Result<Identity, BadToken> {
    let name = text(claims, "sub")?;
    let parts = name.strip_prefix(SERVICE_ACCOUNT).and_then(|parts| parts.split_once(':'));
    if !parts.is_some_and(|(namespace, name)| is_name(namespace) && is_name(name)) {
        let why = format!("its sub is {:?}, and that of a service account is due", shown(name));
        return Err(BadToken::Invalid(why));
    }
    let pod = match claims.get("kubernetes.io").and_then(|bound| bound.get("pod")) {
        None | Some(Value::Null) => None,
        Some(pod) => {
            let part = |part| pod.get(part).and_then(Value::as_str);
            let bad = |part| BadToken::invalid(format!("the {part} of its pod isn't one"));
            let name = part("name").filter(|name| is_name(name)).ok_or_else(|| bad("name"))?;
            let uid = part("uid").and_then(|uid| PodUid::new(uid).ok()).ok_or_else(|| bad("uid"))?;
            Some(Pod { name: name.to_owned(), uid })
        }
    };
    Ok(Identity { subject: subject(name)?, pod, until })
}

/// As Kubernetes names things: without anything that could be read as another part.
fn is_name(text: &str) -> bool {
    let fair = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.chars().all(fair)
}

fn subject(name: &str) -> Result<Subject, BadToken> {
    Subject::new(name).map_err(|why| BadToken::Invalid(why.to_string()))
}

fn text<'a>(claims: &'a TokenClaims, claim: &str) -> Result<&'a str, BadToken> {
    let text = claims.get(claim).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| BadToken::Invalid(format!("it has no {claim} that is a text")))
}

/// Seconds since 1970, rounded down.
fn date(claims: &TokenClaims, claim: &str) -> Result<Option<u64>, BadToken> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let bad = || BadToken::Invalid(format!("its {claim} is {}, which isn't a date", shown(&value.to_string())));
    let seconds = value.as_f64().filter(|seconds| (0.0..LAST_DATE).contains(seconds)).ok_or_else(bad)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it lies in the range
    Ok(Some(seconds as u64))
}
