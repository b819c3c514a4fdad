//! The public keys of an issuer, as a JWK set (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::value::RawValue;

/// No set of keys is longer.
pub(super) const MAX_JWKS_BYTES: usize = 1 << 20;
/// No set has more keys that can be used.
const MAX_KEYS: usize = 100;
/// A shorter RSA key is no key.
const LEAST_RSA_BYTES: usize = 256;

/// Keys that check signatures. Two sets are the same if they were written the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jwks {
    keys: Vec<Key>,
    written: String,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// What this key may check: the header of a token chooses among these, and never beside them.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadJwks {
    /// Nobody has so many.
    #[error("the key set has {0} bytes; at most {MAX_JWKS_BYTES} are read")]
    TooLong(usize),
    /// Not a set of keys.
    #[error("that isn't a JWK set ({{\"keys\": [...]}}): {0}")]
    NotASet(String),
    /// Nothing in it can be used.
    #[error(
        "none of the {0} keys in the set can check a signature; it must have public keys for RS, PS, ES256, ES384 or EdDSA"
    )]
    Unusable(usize),
}

impl Jwks {
    /// Reads a set. Keys of other kinds, for other uses, or too short, are left out; so is whatever
    /// isn't public.
    ///
    /// # Errors
    /// [`BadJwks`].
    pub(crate) fn parse(text: &str) -> Result<Self, BadJwks> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        if text.len() > MAX_JWKS_BYTES {
            return Err(BadJwks::TooLong(text.len()));
        }
        let set: Set<'_> = serde_json::from_str(text).map_err(|error| BadJwks::NotASet(error.to_string()))?;
        let keys = set.keys.iter().filter_map(|key| Key::read(serde_json::from_str(key.get()).ok()?));
        let keys: Vec<_> = keys.take(MAX_KEYS).collect();
        if keys.is_empty() {
            return Err(BadJwks::Unusable(set.keys.len()));
        }
        Ok(Self { keys, written: text.to_owned() })
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.keys.len()
    }

    /// The key for a token that names this one. A token without a name fits only where there is no
    /// choice.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&Key> {
        match (id, &self.keys[..]) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [key]) => Some(key),
            (None, _) => None,
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        let can: &[(KeyAlgorithm, Algorithm)] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                (KeyAlgorithm::RS256, Algorithm::RS256),
                (KeyAlgorithm::RS384, Algorithm::RS384),
                (KeyAlgorithm::RS512, Algorithm::RS512),
                (KeyAlgorithm::PS256, Algorithm::PS256),
                (KeyAlgorithm::PS384, Algorithm::PS384),
                (KeyAlgorithm::PS512, Algorithm::PS512),
            ],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[(KeyAlgorithm::ES256, Algorithm::ES256)],
                EllipticCurve::P384 => &[(KeyAlgorithm::ES384, Algorithm::ES384)],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[(KeyAlgorithm::EdDSA, Algorithm::EdDSA)]
            }
            _ => return None,
        };
        let named = jwk.common.key_algorithm;
        let algorithms = can.iter().filter(|(name, _)| named.is_none_or(|named| named == *name)).map(|(_, can)| *can);
        let algorithms: Vec<_> = algorithms.collect();
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        if let jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } = decoding.kind()
            && n.iter().skip_while(|byte| **byte == 0).count() < LEAST_RSA_BYTES
        {
            return None;
        }
        (!algorithms.is_empty()).then_some(Self { id: jwk.common.key_id, algorithms, decoding })
    }
}
