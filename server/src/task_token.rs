//! Task tokens: signed JWTs (EdDSA) with which a leader shows to others that it leads.

mod signer;

pub(crate) use signer::Signer;

use crate::keys::Keys;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;

/// The longest task token, in bytes. The largest that can come about is below it.
pub const MAX_TASK_TOKEN_BYTES: usize = 8192;

/// What a task token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Which service says so: [`TaskTokens::issuer`].
    pub iss: String,
    /// The candidate's label.
    pub sub: String,
    /// In whose name the candidate entered, if this service asks who calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The election that it leads.
    pub election: String,
    /// Its fencing token, below 2^53.
    pub fence: u64,
    /// When this was signed: seconds since 1970-01-01T00:00:00Z.
    pub iat: u64,
    /// From when on this is worth nothing: the end of the lease, in seconds since
    /// 1970-01-01T00:00:00Z.
    pub exp: u64,
}

/// Why a task token isn't accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskTokenError {
    /// It isn't one of this service.
    #[error("the task token isn't valid: {0}")]
    Invalid(String),
    /// It was good once.
    #[error("the task token expired {} s ago, at {exp} (seconds since 1970); ask its holder for a newer one", now - exp)]
    Expired {
        /// Its `exp`.
        exp: u64,
        /// The moment of asking.
        now: u64,
        /// What it said.
        claims: Box<Claims>,
    },
}

/// Signs task tokens and checks them: some 20 and 40 us each, so never in the loop. [`Signer`]
/// signs many.
pub struct TaskTokens {
    pair: Ed25519KeyPair,
    issuer: String,
    kid: String,
    /// The one header that is ever written or accepted, in base64url. The algorithm is never taken
    /// from a token.
    header: String,
}

impl TaskTokens {
    /// Signs with this key, in the name of `issuer`.
    #[must_use]
    pub fn new(keys: &Keys, issuer: String) -> Self {
        let pair = keys.signing();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        // RFC 7638: the required members in the order of their names, without white space.
        let thumbprint = digest(&SHA256, format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#));
        Self { pair, issuer, kid, header }
    }

    /// What belongs into [`Claims::iss`].
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The claims as a compact JWT. Only one with [`TaskTokens::issuer`] as `iss` will be accepted
    /// here.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        let claims = serde_json::to_vec(claims).expect("strings and numbers have a JSON form");
        let mut token = format!("{}.", self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// What a token says, if this service signed it and `now_unix` (seconds since 1970) is before
    /// its end. Nothing in it is looked at before its signature was found right. Whether its
    /// fencing token is still the leader's is another question.
    ///
    /// # Errors
    /// [`TaskTokenError`].
    pub fn verify(&self, token: &str, now_unix: u64) -> Result<Claims, TaskTokenError> {
        let invalid = |why: &str| TaskTokenError::Invalid(why.to_owned());
        if token.len() > MAX_TASK_TOKEN_BYTES {
            let why = format!("it has {} bytes; none is longer than {MAX_TASK_TOKEN_BYTES}", token.len());
            return Err(TaskTokenError::Invalid(why));
        }
        let three = || invalid("it isn't a JWT: three parts with dots between them");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(three)?;
        let (header, claims) = signed.split_once('.').ok_or_else(three)?;
        if header != self.header {
            return Err(invalid("it was signed with a key or an algorithm that this service doesn't use"));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid("its signature isn't base64url"))?;
        UnparsedPublicKey::new(&ED25519, self.pair.public_key())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| invalid("its signature is wrong"))?;

        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| invalid("its claims aren't base64url"))?;
        let claims: Claims =
            serde_json::from_slice(&claims).map_err(|_| invalid("its claims aren't those of a task token"))?;
        if claims.iss != self.issuer {
            let why = format!("its issuer is {:?}, and this service is {:?}", claims.iss, self.issuer);
            return Err(TaskTokenError::Invalid(why));
        }
        if now_unix >= claims.exp {
            return Err(TaskTokenError::Expired { exp: claims.exp, now: now_unix, claims: Box::new(claims) });
        }
        Ok(claims)
    }

    /// The public key as a JWK set (RFC 7517, RFC 8037).
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x}]})
    }
}

impl fmt::Debug for TaskTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskTokens").field("issuer", &self.issuer).field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
