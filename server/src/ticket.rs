//! Sealed tickets: the opaque bytes that workers hold, and echo.
//!
//! ```text
//! version 1 | tenure 8 | random 4 | counter 8 | ciphertext | tag 16
//! └──────────── authenticated ──────────────┘
//! ```
//!
//! AES-256-GCM breaks when one key is used twice with the same nonce. Random nonces of 96 bits are good for some 2^32 tickets a
//! key, and a server that seals ten thousand a second is there after five days. So each tenure has a key of its own, derived from
//! the master key by HKDF-SHA256, and within it the nonce is a counter. A tenure belongs to one process; the four random bytes,
//! drawn once a process, are there for the day when that is broken (a record restored and a clock set back).

use crate::keys::{Keys, TICKET_KEY_BYTES};
use leasehold_core::{
    CandidateName, ElectionName, Enrolment, FencingToken, MAX_MAX_TTL, Millis, NUMBER_LIMIT, Subject, Tenure, Ticket,
    Value,
};
use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The longest sealed ticket, in bytes. The largest that can come about is below it.
pub const MAX_TICKET_BYTES: usize = 8192;

const VERSION: u8 = 1;
const TENURE_AT: usize = 1;
const NONCE_AT: usize = TENURE_AT + 8;
const RANDOM_BYTES: usize = 4;
const HEADER_BYTES: usize = NONCE_AT + NONCE_LEN;
/// Makes the derived keys useless for any other purpose, and any other format of tickets.
const SALT: &[u8] = b"leasehold ticket v1";

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
    /// The key of the newest tenure that was sealed for. Opening never replaces it: anybody can write any tenure into a header.
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

    /// The ticket as bytes that nobody else can read, make or change. Two of the same ticket differ.
    #[must_use]
    pub fn seal(&self, ticket: &Ticket) -> Vec<u8> {
        let plain = Plain::from(ticket);
        self.seal_plain(ticket.tenure, plain.encoded_len(), |sealed| {
            plain.encode(sealed).expect("a Vec grows as needed");
        })
    }

    /// Seals what `write` appends: some `length` bytes.
    pub(crate) fn seal_plain(&self, tenure: Tenure, length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let key = self.shared.key_to_seal(tenure);
        let count = self.shared.counter.fetch_add(1, Ordering::Relaxed);
        let mut header = [VERSION; HEADER_BYTES];
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
        let (header, ciphertext) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(TicketError::Damaged)?;
        if header[0] != VERSION {
            return Err(TicketError::Damaged);
        }
        let tenure = Tenure(header[TENURE_AT..NONCE_AT].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        let key = self.shared.key_to_open(tenure);
        let mut plain = ciphertext.to_vec();
        let plain =
            key.key.open_in_place(nonce(header), Aad::from(header), &mut plain).map_err(|_| TicketError::Damaged)?;
        Plain::decode(&*plain).ok().and_then(|plain| plain.into_ticket(tenure)).ok_or(TicketError::Damaged)
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

/// What is sealed. The tenure stands in the header.
#[derive(Clone, PartialEq, Message)]
struct Plain {
    /// Name of the election.
    #[prost(string, tag = "1")]
    election: String,
    /// The candidate's label.
    #[prost(string, tag = "2")]
    candidate: String,
    /// Who enrolled it.
    #[prost(string, tag = "3")]
    subject: String,
    /// What observers see when it leads.
    #[prost(string, tag = "4")]
    value: String,
    /// In milliseconds.
    #[prost(uint64, tag = "5")]
    ttl: u64,
    /// Names the candidacy.
    #[prost(uint64, tag = "6")]
    enrolment: u64,
    /// Place in the queue.
    #[prost(uint64, tag = "7")]
    place: u64,
    /// The fencing token, if it leads.
    #[prost(uint64, optional, tag = "8")]
    token: Option<u64>,
    /// Milliseconds from the beginning of the tenure to the last accepted KeepAlive.
    #[prost(uint64, tag = "9")]
    accepted_at: u64,
    /// Milliseconds for which the election is on hold.
    #[prost(uint64, tag = "10")]
    hold: u64,
    /// The tenure that issued it, if that isn't the one of the header.
    #[prost(uint64, tag = "11")]
    issued: u64,
}

impl From<&Ticket> for Plain {
    fn from(ticket: &Ticket) -> Self {
        Self {
            election: ticket.election.as_str().to_owned(),
            candidate: ticket.candidate.as_str().to_owned(),
            subject: ticket.subject.as_str().to_owned(),
            value: ticket.value.as_str().to_owned(),
            ttl: ticket.ttl.0,
            enrolment: ticket.enrolment.0,
            place: ticket.place.0,
            token: ticket.token.map(|token| token.0),
            accepted_at: ticket.accepted_at.0,
            hold: ticket.hold.0,
            issued: if ticket.issued == ticket.tenure { 0 } else { ticket.issued.0 },
        }
    }
}

impl Plain {
    /// `None` if a field has a value that no ticket has. Only this service's keys can seal such a thing, so it would be a bug or a
    /// limit that was lowered; either way it must not reach the core.
    fn into_ticket(self, tenure: Tenure) -> Option<Ticket> {
        let number = |number: u64| (number > 0 && number < NUMBER_LIMIT).then_some(number);
        if self.place > self.enrolment {
            return None;
        }
        Some(Ticket {
            election: ElectionName::new(&self.election).ok()?,
            candidate: CandidateName::new(&self.candidate).ok()?,
            subject: Subject::new(&self.subject).ok()?,
            value: Value::new(&self.value).ok()?,
            ttl: (1..=MAX_MAX_TTL.0).contains(&self.ttl).then_some(Millis(self.ttl))?,
            enrolment: Enrolment(number(self.enrolment)?),
            place: Enrolment(number(self.place)?),
            token: match self.token {
                Some(token) => Some(FencingToken(number(token)?)),
                None => None,
            },
            tenure: Tenure(number(tenure.0)?),
            accepted_at: (self.accepted_at < NUMBER_LIMIT).then_some(Millis(self.accepted_at))?,
            hold: (self.hold < NUMBER_LIMIT).then_some(Millis(self.hold))?,
            issued: match self.issued {
                0 => tenure,
                later => Tenure(number(later).filter(|later| *later > tenure.0)?),
            },
        })
    }
}

#[cfg(test)]
mod tests;
