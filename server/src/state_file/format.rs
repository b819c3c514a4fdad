//! The state as JSON: `{"version":1,"sha256":"...","state":{"keys":{...},"lost":false,"record":{...}}}`. The sum is over the text of
//! `state`, so that half a file and one that was edited are noticed.

use crate::keys::Keys;
use leasehold_core::{
    Attempt, CandidateName, Carried, ElectionName, Enrolment, FencingToken, Handover, HeldElection, MAX_MAX_TTL,
    Millis, NUMBER_LIMIT, Record, Revision, Subject, Tenure, Ticket, Value,
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::{Display, Write};

/// The format that is written, and the only one that is read.
pub(crate) const VERSION: u64 = 1;
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
struct AnyVersion {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    /// It was looked at before.
    #[serde(rename = "version")]
    _version: u64,
    sha256: String,
    state: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateJson<'a> {
    keys: Keys,
    lost: bool,
    #[serde(borrow)]
    record: Option<RecordJson<'a>>,
    began: Option<Began>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordJson<'a> {
    tenure: u64,
    ceiling: u64,
    duration_ms: u64,
    margin_ms: u64,
    renewed_at_ms: u64,
    ended_at_ms: Option<u64>,
    longest_ttl_ms: u64,
    #[serde(borrow)]
    handover: Option<Vec<CarriedJson<'a>>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    holds: Vec<HoldJson<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_revision: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldJson<'a> {
    #[serde(borrow)]
    election: Cow<'a, str>,
    left_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CarriedJson<'a> {
    #[serde(borrow)]
    election: Cow<'a, str>,
    #[serde(borrow)]
    candidate: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    ttl_ms: u64,
    enrolment: u64,
    place: u64,
    token: Option<u64>,
    tenure: u64,
    accepted_at_ms: u64,
    drain_left_ms: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    attempt: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    hold_ms: u64,
    /// Zero: as `tenure`.
    #[serde(default, skip_serializing_if = "is_zero")]
    issued: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The text of the file. It is written once, into one buffer: a handover may be as long as all that the server holds.
pub(crate) fn encode(keys: &Keys, lost: bool, record: Option<&Record>, began: Option<Began>) -> Vec<u8> {
    let json = StateJson { keys: keys.clone(), lost, record: record.map(RecordJson::from), began };
    let (before, after) = (format!(r#"{{"version":{VERSION},"sha256":""#), r#"","state":"#);
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
    let AnyVersion { version } = serde_json::from_slice(text).map_err(damaged)?;
    if version != VERSION {
        return Err(Undecodable::OtherFormat(version));
    }
    let envelope: Envelope = serde_json::from_slice(text).map_err(damaged)?;
    if sum(envelope.state.get().as_bytes()) != envelope.sha256 {
        return Err(Undecodable::Damaged(
            "its sha256 doesn't match, so it was changed after it was written".to_owned(),
        ));
    }
    let state: StateJson<'_> = serde_json::from_str(envelope.state.get()).map_err(damaged)?;
    let record = state.record.map(Record::try_from).transpose().map_err(Undecodable::Damaged)?;
    Ok(State { keys: state.keys, lost: state.lost, record, began: state.began })
}

fn sum(json: &[u8]) -> String {
    let sum = digest(&SHA256, json);
    sum.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

impl<'a> From<&'a Record> for RecordJson<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            tenure: record.tenure.0,
            ceiling: record.ceiling,
            duration_ms: record.duration.0,
            margin_ms: record.margin.0,
            renewed_at_ms: record.renewed_at.0,
            ended_at_ms: record.ended_at.map(|at| at.0),
            longest_ttl_ms: record.longest_ttl.0,
            handover: record.handover.as_ref().map(|all| all.candidacies.iter().map(CarriedJson::from).collect()),
            holds: record.handover.iter().flat_map(|all| &all.holds).map(HoldJson::from).collect(),
            last_revision: record.last_revision.map(|revision| revision.0),
        }
    }
}

impl<'a> From<&'a HeldElection> for HoldJson<'a> {
    fn from(HeldElection { election, left }: &'a HeldElection) -> Self {
        Self { election: election.as_str().into(), left_ms: left.0 }
    }
}

impl<'a> From<&'a Carried> for CarriedJson<'a> {
    fn from(Carried { ticket, drain_left, attempt }: &'a Carried) -> Self {
        Self {
            election: ticket.election.as_str().into(),
            candidate: ticket.candidate.as_str().into(),
            subject: ticket.subject.as_str().into(),
            value: ticket.value.as_str().into(),
            ttl_ms: ticket.ttl.0,
            enrolment: ticket.enrolment.0,
            place: ticket.place.0,
            token: ticket.token.map(|token| token.0),
            tenure: ticket.tenure.0,
            accepted_at_ms: ticket.accepted_at.0,
            drain_left_ms: drain_left.map(|left| left.0),
            attempt: attempt.as_ref().map(|attempt| attempt.as_str().into()),
            hold_ms: ticket.hold.0,
            issued: if ticket.issued == ticket.tenure { 0 } else { ticket.issued.0 },
        }
    }
}

impl TryFrom<RecordJson<'_>> for Record {
    type Error = String;

    fn try_from(json: RecordJson<'_>) -> Result<Self, String> {
        if json.ceiling > NUMBER_LIMIT || json.tenure >= json.ceiling {
            let RecordJson { tenure, ceiling, .. } = json;
            return Err(format!("tenure {tenure} and ceiling {ceiling} must be tenure < ceiling <= {NUMBER_LIMIT}"));
        }
        if json.margin_ms > json.duration_ms {
            return Err(format!("margin_ms {} is more than duration_ms {}", json.margin_ms, json.duration_ms));
        }
        let candidacies = match json.handover {
            Some(all) => Some(all.into_iter().map(Carried::try_from).collect::<Result<Vec<_>, _>>()?),
            None => None,
        };
        fits_together(candidacies.as_deref().unwrap_or_default(), json.ceiling)?;
        let holds = json.holds.into_iter().map(HeldElection::try_from).collect::<Result<Vec<_>, _>>()?;
        let last_revision = optional("last_revision", json.last_revision)?.map(Revision);
        Ok(Self {
            tenure: Tenure(json.tenure),
            ceiling: json.ceiling,
            duration: Millis(in_range("duration_ms", json.duration_ms)?),
            margin: Millis(json.margin_ms),
            renewed_at: Millis(in_range("renewed_at_ms", json.renewed_at_ms)?),
            ended_at: optional("ended_at_ms", json.ended_at_ms)?.map(Millis),
            longest_ttl: Millis(in_range("longest_ttl_ms", json.longest_ttl_ms)?),
            // A mirror's business: a file has none.
            last_change: None,
            handover: candidacies.map(|candidacies| Handover { candidacies, holds }),
            last_revision,
        })
    }
}

impl TryFrom<CarriedJson<'_>> for Carried {
    type Error = String;

    fn try_from(json: CarriedJson<'_>) -> Result<Self, String> {
        let ticket = Ticket {
            election: ElectionName::new(&json.election).map_err(text)?,
            candidate: CandidateName::new(&json.candidate).map_err(text)?,
            subject: Subject::new(&json.subject).map_err(text)?,
            value: Value::new(&json.value).map_err(text)?,
            ttl: Millis(in_range("ttl_ms", json.ttl_ms)?),
            enrolment: Enrolment(in_range("enrolment", json.enrolment)?),
            place: Enrolment(in_range("place", json.place)?),
            token: optional("token", json.token)?.map(FencingToken),
            tenure: Tenure(in_range("tenure", json.tenure)?),
            accepted_at: Millis(in_range("accepted_at_ms", json.accepted_at_ms)?),
            hold: Millis(in_range("hold_ms", json.hold_ms)?),
            issued: Tenure(in_range("issued", json.issued.max(json.tenure))?),
        };
        let attempt = json.attempt.map(|attempt| Attempt::new(&attempt)).transpose().map_err(text)?;
        Ok(Self { ticket, drain_left: optional("drain_left_ms", json.drain_left_ms)?.map(Millis), attempt })
    }
}

impl TryFrom<HoldJson<'_>> for HeldElection {
    type Error = String;

    fn try_from(json: HoldJson<'_>) -> Result<Self, String> {
        let election = ElectionName::new(&json.election).map_err(text)?;
        Ok(Self { election, left: Millis(in_range("left_ms", json.left_ms)?) })
    }
}

/// What is handed over can't have come about otherwise, and the next tenure counts on it.
fn fits_together(handover: &[Carried], ceiling: u64) -> Result<(), String> {
    let mut enrolments = BTreeSet::new();
    for Carried { ticket, .. } in handover {
        let (enrolment, place) = (ticket.enrolment, ticket.place);
        let token = ticket.token.map_or(0, |token| token.0);
        let numbers = [enrolment.0, ticket.tenure.0, ticket.issued.0, token];
        if let Some(number) = numbers.into_iter().find(|number| *number >= ceiling) {
            return Err(format!("the handover has the number {number}; it must be below the ceiling {ceiling}"));
        }
        if place > enrolment {
            return Err(format!("place {place} is behind its own enrolment {enrolment}"));
        }
        if !enrolments.insert(enrolment) {
            return Err(format!("enrolment {enrolment} is handed over twice"));
        }
        if ticket.ttl > MAX_MAX_TTL {
            return Err(format!("ttl_ms is {}; it must be at most {}", ticket.ttl.0, MAX_MAX_TTL.0));
        }
    }
    Ok(())
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn in_range(field: &str, number: u64) -> Result<u64, String> {
    if number < NUMBER_LIMIT {
        Ok(number)
    } else {
        Err(format!("{field} is {number}; it must be below {NUMBER_LIMIT}"))
    }
}

fn optional(field: &str, number: Option<u64>) -> Result<Option<u64>, String> {
    number.map(|number| in_range(field, number)).transpose()
}
