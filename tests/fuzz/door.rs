//! What the fuzzers in tests/fuzz reach of this crate's insides: there with the feature `fuzzing`
//! only, and for nobody else.

#[path = "door/identities.rs"]
mod identities;
#[path = "door/services.rs"]
mod services;

pub use identities::{Checked, bearer_token, certificate_subject, check_token, is_key_set, is_passport};
pub use services::{Events, Items, Services};

use crate::keys::Keys;
use crate::kubernetes::object::{self, Signature};
use crate::mirror::{Frame, Seals, batch, frames};
use crate::state_file::format::{self, Began, State, Undecodable};
use crate::ticket::Sealer;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use leasehold_core::{Address, Holder, Millis, MirrorBatch, Record, Tenure};
use leasehold_shell::News;
use prost::Message;
use std::sync::Arc;

/// Seals what needn't be a ticket, so that a fuzzer gets behind the seal.
#[must_use]
pub fn seal_plain(sealer: &Sealer, tenure: Tenure, plain: &[u8]) -> Vec<u8> {
    sealer.seal_plain(tenure, plain.len(), |sealed| sealed.extend_from_slice(plain))
}

/// What the core is told of a Lease.
#[must_use]
pub fn seen(object: &Lease) -> leasehold_core::Lease {
    object::seen(object)
}

/// Which keys are in use, as a Lease says it.
#[must_use]
pub fn keys_in_use(object: &Lease) -> Option<&str> {
    object::keys_in_use(object)
}

/// The Lease with this record, written by `me`.
#[must_use]
pub fn sign(object: Lease, me: &Holder, address: &Address, record: &Record, now: Timestamp) -> Lease {
    let (me, address) = (me.clone(), address.clone());
    let signature = Signature { me, address, keys: "k".to_owned(), duration: Millis(8000) };
    object::sign(object, &signature, record, now)
}

/// The Lease without what replicas have written.
#[must_use]
pub fn strip(object: Lease) -> Lease {
    object::strip(object)
}

/// A state file as its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The service's secrets.
    pub keys: Keys,
    /// There is no record, though there was one.
    pub lost: bool,
    /// What the last tenure stored.
    pub record: Option<Record>,
    /// Which start of the machine that tenure began in, and when.
    pub began: Option<(String, u64)>,
}

/// The text of a state file.
#[must_use]
pub fn encode_state(stored: &Stored) -> Vec<u8> {
    let began = stored.began.clone().map(|(boot, at_ms)| Began { boot, at_ms });
    format::encode(&stored.keys, stored.lost, stored.record.as_ref(), began)
}

/// What a state file says.
///
/// # Errors
/// A half sentence about what is wrong.
pub fn decode_state(text: &[u8]) -> Result<Stored, String> {
    match format::decode(text) {
        Ok(State { keys, lost, record, began }) => {
            Ok(Stored { keys, lost, record, began: began.map(|Began { boot, at_ms }| (boot, at_ms)) })
        }
        Err(Undecodable::Damaged(why)) => Err(why),
        Err(Undecodable::OtherFormat(found)) => Err(format!("format {found}")),
    }
}

/// What an active replica sends of one batch, before it is sealed.
#[must_use]
pub fn mirror_frames(batch: &MirrorBatch, snapshot: bool) -> Vec<Vec<u8>> {
    let batch = Arc::new(batch.clone());
    let news = if snapshot { News::Snapshot(batch) } else { News::Changed(batch) };
    frames(&news).iter().map(Frame::encode_to_vec).collect()
}

/// What travels of these frames.
#[must_use]
pub fn seal_frames(keys: &Keys, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut seal = Seals::new(keys).of_stream(b"nonce", b"random");
    frames.iter().map(|frame| seal.seal(frame.clone())).collect()
}

/// What a standby makes of frames. `None`: one can't be opened, isn't a frame, or is one that no
/// replica sends.
#[must_use]
pub fn open_frames(keys: &Keys, sealed: &[Vec<u8>]) -> Option<(MirrorBatch, bool)> {
    let mut seal = Seals::new(keys).of_stream(b"nonce", b"random");
    let opened = sealed.iter().map(|sealed| Frame::decode(&*seal.open(sealed.clone())?).ok());
    batch(&opened.collect::<Option<Vec<_>>>()?).ok()
}
