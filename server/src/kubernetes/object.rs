//! The Lease as Kubernetes has it, and as the core sees it.
//!
//! `spec` is used as every Kubernetes tool expects; what the next tenure has to know stands in
//! annotations. Whatever else the object has (labels, other annotations, owners) is kept as it was
//! found.

use crate::clock::clock_floor;
use crate::record::{self, numbers, record};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use leasehold_core::{
    Address, Ceiling, ClockFloor, Content, Holder, LONGEST, Lease, Millis, NUMBER_LIMIT, Newer, Record, Signed, Tenure,
    Version,
};
use std::collections::BTreeMap;

/// Before the name of each annotation.
const PREFIX: &str = "leasehold.dev/";
/// The format that is written, and the only one that is read. Annotations without a format have
/// this one. It rises when a replica of an earlier version would break a promise by taking the
/// Lease over. An annotation that such a replica may leave alone needs no other format.
pub(super) const FORMAT: u64 = 1;
/// Annotations beside the numbers of the record. The first three, and of the record its tenure,
/// ceiling, duration and longest TTL, mean the same in every format.
const WORDS: [&str; 4] = ["format", "replica", "address", "keys"];
/// An operator sets this annotation after the Lease was lost or restored. No tenure begins below
/// its number.
const FLOOR: &str = "leasehold.dev/floor";

/// What a replica writes about itself into the Lease.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) me: Holder,
    pub(crate) address: Address,
    /// The fingerprint of its keys.
    pub(crate) keys: String,
    /// In whole seconds.
    pub(crate) duration: Millis,
}

/// The Lease as the core sees it.
pub(crate) fn seen(object: &LeaseObject) -> Lease {
    let (spec, annotations) = (object.spec.clone().unwrap_or_default(), Annotations::of(object));
    let format = format(object);
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let content = Content {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()).map(Holder),
        duration: seconds.map(Millis::from_secs),
        renew_time: spec.renew_time.map(|time| time.0.to_string()).unwrap_or_default(),
        signed: annotations.signed().filter(|_| format == FORMAT),
        newer: annotations.newer().filter(|_| format > FORMAT),
    };
    Lease { version: version(object), content }
}

/// The format of the annotations; zero if what stands there is no number.
pub(super) fn format(object: &LeaseObject) -> u64 {
    let annotations = Annotations::of(object);
    annotations.text("format").map_or(Some(FORMAT), |_| annotations.number("format")).unwrap_or(0)
}

pub(crate) fn version(object: &LeaseObject) -> Version {
    Version(object.metadata.resource_version.clone().unwrap_or_default())
}

/// A number above all that were handed out. The clock vouches for it, or an operator: see "Backup
/// and restore" in docs/operations.md.
pub(crate) fn vouched(object: Option<&LeaseObject>) -> ClockFloor {
    let annotations = object.and_then(|object| object.metadata.annotations.as_ref());
    let floor = annotations.and_then(|annotations| annotations.get(FLOOR)).map_or(0, |text| {
        text.parse().ok().filter(|floor| *floor < NUMBER_LIMIT).unwrap_or_else(|| {
            tracing::warn!(
                "the annotation {FLOOR} of the Lease is {text:?}, and is ignored: give a number below {NUMBER_LIMIT}"
            );
            0
        })
    });
    clock_floor().max(ClockFloor(floor))
}

/// The keys of the replica that wrote the Lease. `None`: nobody holds the Lease.
pub(crate) fn keys_in_use(object: &LeaseObject) -> Option<&str> {
    let held = object.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).is_some_and(|h| !h.is_empty());
    Annotations::of(object).text("keys").filter(|_| held)
}

/// Writes a record into the object. The object has no holder then if the record tells of an end.
pub(crate) fn sign(object: LeaseObject, signature: &Signature, record: &Record, now: Timestamp) -> LeaseObject {
    let mut object = strip(object);
    let annotations = object.metadata.annotations.get_or_insert_default();
    // The ceiling that is written now lies above it.
    annotations.remove(FLOOR);
    let Signature { me, address, keys, .. } = signature;
    let words = [FORMAT.to_string(), me.0.clone(), address.to_string(), keys.clone()].map(Some);
    let numbers = numbers(record).map(|number| Some(number?.to_string()));
    let set = WORDS.into_iter().chain(record::NAMES).zip(words.into_iter().chain(numbers));
    annotations.extend(set.filter_map(|(name, text)| Some((key(name), text?))));
    object.spec = Some(spec(object.spec.unwrap_or_default(), signature, record, now));
    object
}

/// Removes all annotations of a replica from the object.
pub(crate) fn strip(mut object: LeaseObject) -> LeaseObject {
    if let Some(annotations) = &mut object.metadata.annotations {
        WORDS.iter().chain(&record::NAMES).for_each(|name| drop(annotations.remove(&key(name))));
    }
    object
}

fn spec(before: LeaseSpec, signature: &Signature, record: &Record, now: Timestamp) -> LeaseSpec {
    let holder = record.ended_at.is_none().then(|| signature.me.0.clone());
    let changed = holder.is_some() && before.holder_identity != holder;
    let transitions = before.lease_transitions.unwrap_or(0);
    LeaseSpec {
        lease_duration_seconds: i32::try_from(signature.duration.0 / 1000).ok(),
        renew_time: Some(MicroTime(now)),
        acquire_time: if changed { Some(MicroTime(now)) } else { before.acquire_time },
        lease_transitions: Some(if changed { transitions.saturating_add(1) } else { transitions }),
        holder_identity: holder,
        ..before
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The annotations of an object.
#[derive(Clone, Copy)]
struct Annotations<'a>(Option<&'a BTreeMap<String, String>>);

impl<'a> Annotations<'a> {
    fn of(object: &'a LeaseObject) -> Self {
        Self(object.metadata.annotations.as_ref())
    }

    fn text(self, name: &str) -> Option<&'a str> {
        self.0?.get(&key(name)).map(String::as_str)
    }

    fn number(self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn by(self) -> Option<Holder> {
        self.text("replica").filter(|name| !name.is_empty()).map(|name| Holder(name.to_owned()))
    }

    /// An address that this version refuses leads nowhere, and the rest of the record still counts:
    /// the next tenure must know its numbers and its TTLs. Calls can't be handed on to it.
    fn address(self) -> Option<Address> {
        self.text("address").map(|text| Address::new(text).unwrap_or_else(|_| Address::unusable()))
    }

    /// What a replica has written. Half of it is worth nothing.
    fn signed(self) -> Option<Signed> {
        let record = record(|name| self.text(name).map(str::parse).transpose(), None).ok()?;
        Some(Signed { by: self.by()?, address: self.address()?, record })
    }

    /// What can be read in every format.
    fn newer(self) -> Option<Newer> {
        let (tenure, ceiling) = (Tenure(self.number("tenure")?), Ceiling(self.number("ceiling")?));
        let lawful = tenure.0 < ceiling.0 && ceiling.0 <= NUMBER_LIMIT;
        let time = |name| self.number(name).map(Millis).filter(|time| *time <= LONGEST).unwrap_or_default();
        let (duration, longest_ttl) = (time("duration-ms"), time("longest-ttl-ms"));
        lawful.then_some(Newer { by: self.by()?, address: self.address()?, tenure, ceiling, duration, longest_ttl })
    }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
