//! The Lease as Kubernetes has it, and as the core sees it.
//!
//! `spec` is used as every Kubernetes tool expects; what the next tenure has to know stands in annotations. Whatever else the object
//! has (labels, other annotations, owners) is kept as it was found.

use crate::clock::clock_floor;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use leasehold_core::{Content, Holder, Millis, NUMBER_LIMIT, Record, Revision, Signed, Tenure, Version};
use std::collections::BTreeMap;

/// Before the name of each annotation.
const PREFIX: &str = "leasehold.dev/";
/// The names of all of them: a write removes those that it doesn't set.
const NAMES: [&str; 12] = [
    "replica",
    "address",
    "tenure",
    "ceiling",
    "duration-ms",
    "margin-ms",
    "renewed-at-ms",
    "ended-at-ms",
    "longest-ttl-ms",
    "last-change",
    "last-revision",
    "keys",
];
/// Below which no tenure may begin: set by an operator who knows it, when the Lease was lost or restored.
const FLOOR: &str = "leasehold.dev/floor";
/// Longer than a day nothing is counted from the beginning of a write's right; a tenure may last for years.
const MOST_MS: u64 = 1 << 50;

/// What a replica writes of itself.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) me: Holder,
    pub(crate) address: String,
    /// Names the keys that it has.
    pub(crate) keys: String,
    /// In whole seconds.
    pub(crate) duration: Millis,
}

/// What the core is told of a Lease.
pub(crate) fn seen(object: &Lease) -> leasehold_core::Lease {
    let spec = object.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let content = Content {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()).map(Holder),
        duration: seconds.map(Millis::from_secs),
        renew_time: spec.renew_time.map(|time| time.0.to_string()).unwrap_or_default(),
        signed: object.metadata.annotations.as_ref().and_then(signed),
    };
    leasehold_core::Lease { version: version(object), content }
}

pub(crate) fn version(object: &Lease) -> Version {
    Version(object.metadata.resource_version.clone().unwrap_or_default())
}

/// A number above all that were handed out, as far as the clock knows, or an operator: see "Backup and restore" in
/// docs/operations.md.
pub(crate) fn vouched(object: Option<&Lease>) -> u64 {
    let annotations = object.and_then(|object| object.metadata.annotations.as_ref());
    let floor = annotations.and_then(|annotations| annotations.get(FLOOR)).map_or(0, |text| {
        text.parse().ok().filter(|floor| *floor < NUMBER_LIMIT).unwrap_or_else(|| {
            tracing::warn!(
                "the annotation {FLOOR} of the Lease is {text:?}, and is ignored: give a number below {NUMBER_LIMIT}"
            );
            0
        })
    });
    clock_floor().max(floor)
}

/// Which keys the replica has that wrote this, and whether it seems to run.
pub(crate) fn keys_in_use(object: &Lease) -> Option<&str> {
    let held = object.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).is_some_and(|h| !h.is_empty());
    let keys = object.metadata.annotations.as_ref()?.get(&key("keys"))?;
    held.then_some(keys.as_str())
}

/// The object that says what the record says, in place of what this one says. A record that tells of an end leaves no holder.
pub(crate) fn sign(object: Lease, signature: &Signature, record: &Record, now: Timestamp) -> Lease {
    let mut object = strip(object);
    let annotations = object.metadata.annotations.get_or_insert_default();
    // The ceiling that is written now lies above it.
    annotations.remove(FLOOR);
    let millis = |millis: Millis| millis.0.to_string();
    let set = [
        ("replica", Some(signature.me.0.clone())),
        ("address", Some(signature.address.clone())),
        ("keys", Some(signature.keys.clone())),
        ("tenure", Some(record.tenure.to_string())),
        ("ceiling", Some(record.ceiling.to_string())),
        ("duration-ms", Some(millis(record.duration))),
        ("margin-ms", Some(millis(record.margin))),
        ("renewed-at-ms", Some(millis(record.renewed_at))),
        ("ended-at-ms", record.ended_at.map(millis)),
        ("longest-ttl-ms", Some(millis(record.longest_ttl))),
        ("last-change", record.last_change.map(|number| number.to_string())),
        ("last-revision", record.last_revision.map(|revision| revision.to_string())),
    ];
    annotations.extend(set.into_iter().filter_map(|(name, value)| Some((key(name), value?))));
    object.spec = Some(spec(object.spec.unwrap_or_default(), signature, record, now));
    object
}

/// The object without anything that a replica has written into its annotations.
pub(crate) fn strip(mut object: Lease) -> Lease {
    if let Some(annotations) = &mut object.metadata.annotations {
        NAMES.iter().for_each(|name| drop(annotations.remove(&key(name))));
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

/// What a replica has written. Half of it is worth nothing.
fn signed(annotations: &BTreeMap<String, String>) -> Option<Signed> {
    let text = |name: &str| annotations.get(&key(name)).map(String::as_str);
    let below = |most: u64| move |number: &u64| *number <= most;
    let number = |name: &str, most: u64| text(name)?.parse().ok().filter(below(most));
    // Absent is an answer, unreadable isn't.
    let optional = |name: &str, most: u64| match text(name) {
        None => Some(None),
        Some(_) => number(name, most).map(Some),
    };
    let record = Record {
        tenure: Tenure(number("tenure", NUMBER_LIMIT)?),
        ceiling: number("ceiling", NUMBER_LIMIT)?,
        duration: Millis(number("duration-ms", MOST_MS)?),
        margin: Millis(number("margin-ms", MOST_MS)?),
        renewed_at: Millis(number("renewed-at-ms", MOST_MS)?),
        ended_at: optional("ended-at-ms", MOST_MS)?.map(Millis),
        longest_ttl: Millis(number("longest-ttl-ms", MOST_MS)?),
        last_change: optional("last-change", MOST_MS)?,
        handover: None,
        last_revision: optional("last-revision", NUMBER_LIMIT)?.map(Revision),
    };
    let (by, address) = (Holder(text("replica")?.to_owned()), text("address")?.to_owned());
    let whole = record.tenure.0 < record.ceiling && record.margin <= record.duration && !by.0.is_empty();
    whole.then_some(Signed { by, address, record })
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
