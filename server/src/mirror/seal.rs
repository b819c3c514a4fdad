//! Seals what replicas say to each other. Each stream has keys of its own, derived from the key
//! that replicas share and from random bytes of both sides; within it the nonce counts, so a frame
//! is valid in its place only.

use crate::keys::Keys;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// Length of the random bytes of one side.
pub(crate) const RANDOM_BYTES: usize = 32;
/// Makes the derived keys useless for any other purpose.
const SALT: &[u8] = b"leasehold mirror v1";

/// Derives the keys of streams.
#[derive(Clone, Debug)]
pub(crate) struct Seals {
    master: Prk,
}

/// The key of one direction of one stream.
#[derive(Debug)]
pub(crate) struct Seal {
    key: LessSafeKey,
    count: u64,
}

impl Seals {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self { master: Salt::new(HKDF_SHA256, SALT).extract(keys.ticket()) }
    }

    /// The key of the request that carries this nonce.
    pub(crate) fn of_request(&self, nonce: &[u8]) -> Seal {
        self.derive(&[b"request", nonce])
    }

    /// The key of the stream that answers it, which begins with the random bytes of the other side.
    pub(crate) fn of_stream(&self, nonce: &[u8], random: &[u8]) -> Seal {
        self.derive(&[b"stream", nonce, random])
    }

    fn derive(&self, info: &[&[u8]]) -> Seal {
        let okm =
            self.master.expand(info, &AES_256_GCM).expect("HKDF-SHA256 gives up to 8160 bytes, an AES key takes 32");
        Seal { key: LessSafeKey::new(UnboundKey::from(okm)), count: 0 }
    }
}

impl Seal {
    /// Seals the next frame.
    pub(crate) fn seal(&mut self, mut plain: Vec<u8>) -> Vec<u8> {
        let nonce = self.nonce();
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut plain)
            .expect("a frame is far shorter than the 64 GiB that AES-GCM takes");
        plain
    }

    /// Opens the next frame. `None`: it isn't that.
    pub(crate) fn open(&mut self, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self.nonce();
        let length = self.key.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&self.count.to_be_bytes());
        self.count += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Random bytes of one side.
pub(crate) fn random() -> Vec<u8> {
    let mut random = vec![0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut random).expect("the system has a random source");
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_valid_in_their_place_only() {
        let seals = Seals::new(&Keys::generate());
        let (nonce, other) = (random(), random());
        let mut sender = seals.of_stream(&nonce, &other);
        let (one, two) = (sender.seal(b"one".to_vec()), sender.seal(b"two".to_vec()));
        let mut reader = seals.of_stream(&nonce, &other);
        assert_eq!(reader.open(one.clone()).as_deref(), Some(b"one".as_slice()));
        assert_eq!(reader.open(one.clone()), None, "sent again");
        assert_eq!(seals.of_stream(&nonce, &other).open(two), None, "out of order");
        assert_eq!(seals.of_stream(&other, &nonce).open(one.clone()), None, "of another stream");
        assert_eq!(seals.of_request(&nonce).open(one.clone()), None, "of another kind");
        assert_eq!(Seals::new(&Keys::generate()).of_stream(&nonce, &other).open(one), None, "of another service");
    }
}
