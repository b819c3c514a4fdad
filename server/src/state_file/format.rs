//! The state as JSON:
//! `{"format":2,"sha256":"...","state":{"keys":{...},"lost":false,"record":{...},...}}`. The sum is
//! over the text of `state`, so that half a file and one that was edited are noticed. In every
//! format the file is JSON with a number `format`.

use crate::candidacy::Packed;
use crate::keys::Keys;
use crate::record::{NAMES, numbers, record};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{Handover, Record};
use prost::Message;
use ring::digest::{SHA256, digest};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The format that is written, and the only one that is read.
pub(crate) const FORMAT: u64 = 2;
/// Of a SHA-256 in hexadecimal.
const SUM_DIGITS: usize = 64;

/// All that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The service's secrets.
    pub(crate) keys: Keys,
    /// There is no record, though there was one.
    pub(crate) lost: bool,
    /// What the last tenure stored.
    pub(crate) record: Option<Record>,
    /// When that tenure began.
    pub(crate) began: Option<Began>,
}

/// A moment on a clock that starts with the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Began {
    /// Which start of which machine: moments of different ones can't be compared.
    pub(crate) boot: String,
    /// Milliseconds on the clock of [`crate::clock::now`].
    pub(crate) at_ms: u64,
}

/// Why bytes aren't a state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// A half sentence about what is wrong.
    Damaged(String),
    /// Another format.
    OtherFormat(u64),
}

#[derive(Deserialize)]
struct AnyFormat {
    #[serde(alias = "version")]
    format: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    /// It was looked at before.
    #[serde(rename = "format")]
    _format: u64,
    sha256: String,
    state: Box<RawValue>,
}

/// `C` and `H` are how candidacies and holds are written, or read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateJson<C, H> {
    keys: Keys,
    lost: bool,
    record: Option<BTreeMap<Cow<'static, str>, u64>>,
    handover: Option<HandoverJson<C, H>>,
    began: Option<Began>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverJson<C, H> {
    candidacies: Vec<C>,
    holds: Vec<H>,
}

/// A message in base64. A handover may be as long as all that the server holds, so each one is made
/// when it is written, and read as what it stands for.
struct Text<T>(T);

impl<T: Packed> Serialize for Text<&T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(self.0.pack().encode_to_vec()))
    }
}

impl<'de, T: Packed> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = STANDARD.decode(<&str>::deserialize(from)?).map_err(D::Error::custom)?;
        let message = T::Message::decode(&*bytes).map_err(D::Error::custom)?;
        T::unpack(&message).map(Self).map_err(D::Error::custom)
    }
}

/// The text of the file. It is written once, into one buffer: a handover may be as long as all that
/// the server holds.
pub(crate) fn encode(keys: &Keys, lost: bool, record: Option<&Record>, began: Option<Began>) -> Vec<u8> {
    let named = |numbers: [Option<u64>; 9]| NAMES.map(Cow::from).into_iter().zip(numbers);
    let numbers = |record| named(numbers(record)).filter_map(|(name, number)| Some((name, number?))).collect();
    let handover = record.and_then(|record| {
        let Handover { candidacies, holds } = record.handover.as_ref()?;
        let (candidacies, holds) = (candidacies.iter().map(Text).collect(), holds.iter().map(Text).collect());
        Some(HandoverJson { candidacies, holds })
    });
    let json = StateJson { keys: keys.clone(), lost, record: record.map(numbers), handover, began };
    let (before, after) = (format!(r#"{{"format":{FORMAT},"sha256":""#), r#"","state":"#);
    let mut text = format!("{before}{}{after}", "0".repeat(SUM_DIGITS)).into_bytes();
    let begins = text.len();
    serde_json::to_writer(&mut text, &json).expect("strings and numbers have a JSON form");
    let sum = sum(&text[begins..]);
    text[before.len()..before.len() + SUM_DIGITS].copy_from_slice(sum.as_bytes());
    text.extend(b"}\n");
    text
}

/// What the text of a file says.
pub(crate) fn decode(text: &[u8]) -> Result<State, Undecodable> {
    if text.is_empty() {
        return Err(Undecodable::Damaged("it is empty".to_owned()));
    }
    let damaged = |error: serde_json::Error| Undecodable::Damaged(error.to_string());
    let AnyFormat { format } = serde_json::from_slice(text).map_err(damaged)?;
    if format != FORMAT {
        return Err(Undecodable::OtherFormat(format));
    }
    let envelope: Envelope = serde_json::from_slice(text).map_err(damaged)?;
    if sum(envelope.state.get().as_bytes()) != envelope.sha256 {
        return Err(Undecodable::Damaged(
            "its sha256 doesn't match, so it was changed after it was written".to_owned(),
        ));
    }
    let state: StateJson<_, _> = serde_json::from_str(envelope.state.get()).map_err(damaged)?;
    let handover = |all: HandoverJson<_, _>| Handover {
        candidacies: all.candidacies.into_iter().map(|Text(carried)| carried).collect(),
        holds: all.holds.into_iter().map(|Text(held)| held).collect(),
    };
    let handover = state.handover.map(handover);
    let record = state.record.map(|numbers| record(|name| Ok(numbers.get(name).copied()), handover));
    let record = record.transpose().map_err(|error| Undecodable::Damaged(error.to_string()))?;
    Ok(State { keys: state.keys, lost: state.lost, record, began: state.began })
}

pub(super) fn sum(json: &[u8]) -> String {
    let sum = digest(&SHA256, json);
    sum.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}
