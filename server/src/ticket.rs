//! Sealed tickets: the opaque bytes that workers hold, and echo.
//!
//! ```text
//! format 1 | tenure 8 | random 4 | counter 8 | ciphertext | tag 16
//! └──────────── authenticated ─────────────┘
//! ```
//!
//! The ciphertext is a [`Candidacy`]. A ticket of another format is refused like a damaged one, and
//! its worker enters again.
//!
//! AES-256-GCM breaks when one key is used twice with the same nonce. Random nonces of 96 bits are
//! good for some 2^32 tickets a key, and a server that seals ten thousand tickets a second has made
//! so many after five days. So each tenure has a key of its own, which HKDF-SHA256 derives from the
//! master key, and the nonce counts the tickets of that key. A tenure belongs to one process. A
//! restored record and a clock that was set back can break that: then the four random bytes, which
//! each process draws once, still make nonces differ.

use crate::candidacy::{Candidacy, Packed};
use crate::keys::{Keys, TICKET_KEY_BYTES};
use leasehold_core::{Tenure, Ticket};
use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The longest sealed ticket, in bytes. The largest that can come about is below it.
pub const MAX_TICKET_BYTES: usize = 8192;

/// The format that is written, and the only one that is read.
const FORMAT: u8 = 2;
const TENURE_AT: usize = 1;
const NONCE_AT: usize = TENURE_AT + 8;
const RANDOM_BYTES: usize = 4;
const HEADER_BYTES: usize = NONCE_AT + NONCE_LEN;
/// Makes the derived keys useless for any other purpose, and any other format of tickets.
const SALT: &[u8] = b"leasehold ticket v2";

/// Why a ticket can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// There is none.
    #[error("the ticket is empty; send the latest one that this candidacy was given")]
    Empty,
    /// No ticket is that long.
    #[error("the ticket has {bytes} bytes; none is longer than {MAX_TICKET_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It was sealed by another version, or its first byte is damaged.
    #[error(
        "the ticket has the format {found}, and leasehold-server {} knows the format {FORMAT} only: another version of it sealed \
         the ticket, or the ticket is damaged; enter the election again with Campaign", env!("CARGO_PKG_VERSION")
    )]
    OtherFormat {
        /// Its format.
        found: u8,
    },
    /// Cut, changed, made up, or sealed with another key: these can't be told apart.
    #[error(
        "the ticket is damaged, or was sealed with a key that this service doesn't have; enter the election again with \
         Campaign"
    )]
    Damaged,
}

/// Seals and opens tickets: about a microsecond each. Clones share their counter.
#[derive(Clone, Debug)]
pub struct Sealer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    master: Prk,
    random: [u8; RANDOM_BYTES],
    counter: AtomicU64,
    /// The key of the newest tenure whose tickets were sealed. Opening a ticket never replaces the
    /// key, since anybody can write any tenure into a header.
    newest: RwLock<Arc<TenureKey>>,
}

#[derive(Debug)]
struct TenureKey {
    tenure: Tenure,
    key: LessSafeKey,
}

impl Sealer {
    /// Seals with this key.
    ///
    /// # Panics
    /// If the system has no random source.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        Self::from_master(keys.ticket())
    }

    fn from_master(master: &[u8; TICKET_KEY_BYTES]) -> Self {
        let master = Salt::new(HKDF_SHA256, SALT).extract(master);
        let mut random = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut random).expect("the system has a random source");
        let newest = RwLock::new(Arc::new(TenureKey::derive(&master, Tenure(0))));
        Self { shared: Arc::new(Shared { master, random, counter: AtomicU64::new(0), newest }) }
    }

    /// Makes bytes of a ticket that nobody else can read, make or change. Sealed twice, a ticket
    /// makes different bytes.
    #[must_use]
    pub fn seal(&self, ticket: &Ticket) -> Vec<u8> {
        // The header has the tenure.
        let plain = ticket.pack().in_tenure(0);
        self.seal_plain(ticket.tenure, plain.encoded_len(), |sealed| {
            plain.encode(sealed).expect("a Vec grows as needed");
        })
    }

    /// Seals what `write` appends: some `length` bytes.
    pub(crate) fn seal_plain(&self, tenure: Tenure, length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let key = self.shared.key_to_seal(tenure);
        let count = self.shared.counter.fetch_add(1, Ordering::Relaxed);
        let mut header = [FORMAT; HEADER_BYTES];
        header[TENURE_AT..NONCE_AT].copy_from_slice(&tenure.0.to_be_bytes());
        header[NONCE_AT..NONCE_AT + RANDOM_BYTES].copy_from_slice(&self.shared.random);
        header[NONCE_AT + RANDOM_BYTES..].copy_from_slice(&count.to_be_bytes());

        let mut sealed = Vec::with_capacity(HEADER_BYTES + length + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&header);
        write(&mut sealed);
        let tag = key
            .key
            .seal_in_place_separate_tag(nonce(&header), Aad::from(&header), &mut sealed[HEADER_BYTES..])
            .expect("a ticket is far shorter than the 64 GiB that AES-GCM takes");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// The ticket in these bytes, if a [`Sealer`] with the same key sealed them.
    ///
    /// # Errors
    /// [`TicketError`]; which byte is wrong is never said.
    pub fn open(&self, sealed: &[u8]) -> Result<Ticket, TicketError> {
        match sealed.len() {
            0 => return Err(TicketError::Empty),
            1..=MAX_TICKET_BYTES => {}
            bytes => return Err(TicketError::TooLong { bytes }),
        }
        if sealed[0] != FORMAT {
            return Err(TicketError::OtherFormat { found: sealed[0] });
        }
        let (header, ciphertext) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(TicketError::Damaged)?;
        let tenure = Tenure(header[TENURE_AT..NONCE_AT].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        let key = self.shared.key_to_open(tenure);
        let mut plain = ciphertext.to_vec();
        let plain =
            key.key.open_in_place(nonce(header), Aad::from(header), &mut plain).map_err(|_| TicketError::Damaged)?;
        // An unlawful ticket behind the right seal is a bug of this service.
        let plain = Candidacy::decode(&*plain).map_err(|_| TicketError::Damaged)?;
        Ticket::unpack(&plain.in_tenure(tenure.0)).map_err(|_| TicketError::Damaged)
    }
}

impl Shared {
    fn newest(&self) -> Arc<TenureKey> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn key_to_seal(&self, tenure: Tenure) -> Arc<TenureKey> {
        let newest = self.newest();
        if newest.tenure == tenure {
            return newest;
        }
        let key = Arc::new(TenureKey::derive(&self.master, tenure));
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if tenure > newest.tenure {
            *newest = Arc::clone(&key);
        }
        key
    }

    fn key_to_open(&self, tenure: Tenure) -> Arc<TenureKey> {
        let newest = self.newest();
        if newest.tenure == tenure { newest } else { Arc::new(TenureKey::derive(&self.master, tenure)) }
    }
}

impl TenureKey {
    fn derive(master: &Prk, tenure: Tenure) -> Self {
        let info = tenure.0.to_be_bytes();
        let info = [info.as_slice()];
        let okm = master.expand(&info, &AES_256_GCM).expect("HKDF-SHA256 gives up to 8160 bytes, an AES key takes 32");
        Self { tenure, key: LessSafeKey::new(UnboundKey::from(okm)) }
    }
}

fn nonce(header: &[u8; HEADER_BYTES]) -> Nonce {
    let nonce = header.last_chunk::<NONCE_LEN>().expect("a header ends with a nonce");
    Nonce::assume_unique_for_key(*nonce)
}

#[cfg(test)]
mod tests;
