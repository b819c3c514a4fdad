//! The service's secrets: the key that seals tickets, and the key that signs task tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Length of the key that seals tickets.
pub const TICKET_KEY_BYTES: usize = 32;

/// Both secrets, known to be usable. As JSON: two base64 strings.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Encoded", into = "Encoded")]
pub struct Keys {
    ticket: [u8; TICKET_KEY_BYTES],
    signing: Vec<u8>,
}

/// Keys that can't be used, and why. Never contains key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// The key that seals tickets has another length.
    #[error("the ticket key has {bytes} bytes; it must have {TICKET_KEY_BYTES}")]
    TicketLength {
        /// What was found.
        bytes: usize,
    },
    /// The key that signs task tokens isn't one.
    #[error("the signing key isn't an Ed25519 key in PKCS#8: {why}")]
    Signing {
        /// What is wrong with it.
        why: String,
    },
    /// Not base64.
    #[error("the {key} key isn't base64")]
    Base64 {
        /// Which one.
        key: &'static str,
    },
}

impl Keys {
    /// New secrets from the system's random source.
    ///
    /// # Panics
    /// If the system has no random source.
    #[must_use]
    pub fn generate() -> Self {
        let random = SystemRandom::new();
        let mut ticket = [0; TICKET_KEY_BYTES];
        random.fill(&mut ticket).expect("the system has a random source");
        let signing = Ed25519KeyPair::generate_pkcs8(&random).expect("the system has a random source");
        Self { ticket, signing: signing.as_ref().to_vec() }
    }

    /// Checks secrets that come from elsewhere: a ticket key of [`TICKET_KEY_BYTES`], and an
    /// Ed25519 key pair in PKCS#8 version 2.
    ///
    /// # Errors
    /// [`BadKeys`] that says which one is unusable.
    pub fn new(ticket: &[u8], signing: Vec<u8>) -> Result<Self, BadKeys> {
        let ticket = ticket.try_into().map_err(|_| BadKeys::TicketLength { bytes: ticket.len() })?;
        Ed25519KeyPair::from_pkcs8(&signing).map_err(|why| BadKeys::Signing { why: why.to_string() })?;
        Ok(Self { ticket, signing })
    }

    /// Names the keys without telling anything of them: 16 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut context = Context::new(&SHA256);
        context.update(b"leasehold keys v1");
        context.update(&self.ticket);
        context.update(&self.signing);
        context.finish().as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key that seals tickets.
    #[must_use]
    pub fn ticket(&self) -> &[u8; TICKET_KEY_BYTES] {
        &self.ticket
    }

    /// The key pair that signs task tokens. Parsing takes tens of microseconds: keep it.
    #[must_use]
    pub fn signing(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_pkcs8(&self.signing).expect("every way to make Keys checks this")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(secret)")
    }
}

/// As in the state file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    ticket: String,
    signing: String,
}

impl From<Keys> for Encoded {
    fn from(keys: Keys) -> Self {
        Self { ticket: STANDARD.encode(keys.ticket), signing: STANDARD.encode(keys.signing) }
    }
}

impl TryFrom<Encoded> for Keys {
    type Error = BadKeys;

    fn try_from(encoded: Encoded) -> Result<Self, BadKeys> {
        let bytes = |key, text: String| STANDARD.decode(text).map_err(|_| BadKeys::Base64 { key });
        Self::new(&bytes("ticket", encoded.ticket)?, bytes("signing", encoded.signing)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::KeyPair;

    #[test]
    fn survives_json_and_keeps_its_identity() {
        let keys = Keys::generate();
        let json = serde_json::to_string(&keys).unwrap();
        let back: Keys = serde_json::from_str(&json).unwrap();
        assert_eq!(back, keys);
        assert_eq!(back.signing().public_key().as_ref(), keys.signing().public_key().as_ref());
        assert_ne!(keys, Keys::generate());
    }

    #[test]
    fn debug_hides_the_secrets() {
        assert_eq!(format!("{:?}", Keys::generate()), "Keys(secret)");
    }

    #[test]
    fn unusable_keys_are_refused_without_showing_them() {
        let good = serde_json::to_value(Keys::generate()).unwrap();
        for (field, text, says) in [
            ("ticket", "c2hvcnQ=", "the ticket key has 5 bytes; it must have 32"),
            ("ticket", "c2hvcnQ", "the ticket key isn't base64"),
            ("signing", "c2hvcnQ=", "the signing key isn't an Ed25519 key in PKCS#8"),
        ] {
            let mut bad = good.clone();
            bad[field] = text.into();
            let error = serde_json::from_value::<Keys>(bad).unwrap_err().to_string();
            assert!(error.starts_with(says) && !error.contains(text), "{error}");
        }
    }
}
