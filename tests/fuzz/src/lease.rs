//! The Lease: whoever may write it can write anything into it.

use crate::script::{Script, fixed};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use leasehold_core::{Address, ChangeNumber, Holder, Record, RecordParts};
use leasehold_server::fuzzing::{keys_in_use, seen, sign, strip};

/// The names of the annotations, and one that isn't ours.
const NAMES: [&str; 13] = [
    "format",
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
    "keys",
    "other",
];

/// A Lease as JSON, one that is written by us, and one whose annotations are changed.
///
/// # Panics
/// If what is written isn't what is read.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 3 {
        0 => {
            if let Ok(object) = serde_json::from_slice(script.rest()) {
                read(object);
            }
        }
        1 => {
            let (object, record) = (Lease::default(), record(&mut script));
            let object = written(object, &record, &mut script);
            let again = record_of(&mut script);
            written(object, &again, &mut script);
        }
        _ => {
            let record = record(&mut script);
            let object = written(Lease::default(), &record, &mut script);
            read(changed(object, &mut script));
        }
    }
}

fn record(script: &mut Script<'_>) -> Record {
    let last_change = script.flag().then(|| ChangeNumber(script.number()));
    fixed(Record::from_parts(RecordParts { last_change, ..script.record() }))
}

fn record_of(script: &mut Script<'_>) -> Record {
    record(script)
}

/// Nothing in it panics, and what is said of it survives being written.
fn read(object: Lease) {
    let lease = seen(&object);
    let _ = keys_in_use(&object);
    if let Some(signed) = &lease.content.signed {
        assert!(!signed.by.0.is_empty());
        let object = sign(object.clone(), &signed.by, &signed.address, &signed.record, Timestamp::UNIX_EPOCH);
        assert_eq!(seen(&object).content.signed.as_ref(), Some(signed));
    }
    assert!(lease.content.signed.is_none() || lease.content.newer.is_none(), "two formats at once");
    let bare = strip(object);
    assert!(seen(&bare).content.signed.is_none() && seen(&bare).content.newer.is_none(), "words of ours are left");
    assert_eq!(seen(&bare).content.holder, lease.content.holder);
}

/// What is written is read, also after it was JSON.
fn written(object: Lease, record: &Record, script: &mut Script<'_>) -> Lease {
    let me = Holder(format!("r{}", script.byte() % 3));
    // Until the year 2262, which no machine's clock has got past.
    let now = Timestamp::from_microsecond((script.number() >> 11) as i64).expect("these are years of four digits");
    let address = fixed(Address::new("10.0.0.1:7400"));
    let object = sign(object, &me, &address, record, now);
    let content = seen(&object).content;
    let signed = content.signed.as_ref().expect("it was signed just now");
    assert_eq!((&signed.record, &signed.by, &signed.address), (record, &me, &address));
    assert_eq!(content.held().is_some(), record.ended_at.is_none());
    assert_eq!(content.released().is_some(), record.ended_at.is_some());
    let json = serde_json::to_vec(&object).expect("a Lease has a JSON form");
    let back: Lease = serde_json::from_slice(&json).expect("it was a Lease");
    assert_eq!(seen(&back).content.signed, content.signed);
    assert_eq!(seen(&back).content.holder, content.holder);
    back
}

/// Somebody edits it.
fn changed(mut object: Lease, script: &mut Script<'_>) -> Lease {
    let annotations = object.metadata.annotations.get_or_insert_default();
    for _ in 0..script.byte() % 4 {
        let name = format!("leasehold.dev/{}", NAMES[usize::from(script.byte()) % NAMES.len()]);
        match script.byte() % 3 {
            0 => drop(annotations.remove(&name)),
            1 => drop(annotations.insert(name, script.number().to_string())),
            _ => drop(annotations.insert(name, script.text())),
        }
    }
    let spec = object.spec.get_or_insert_default();
    match script.byte() % 4 {
        0 => {}
        1 => spec.holder_identity = None,
        2 => spec.holder_identity = Some(script.text()),
        _ => spec.lease_duration_seconds = Some(script.number() as i32),
    }
    object
}

/// A Lease that is held, one that was released, and one that is only half there.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let held = r#"{"metadata":{"annotations":{"leasehold.dev/format":"1","leasehold.dev/replica":"a_1","leasehold.dev/address":"10.0.0.1:7400","leasehold.dev/tenure":"61363748564992","leasehold.dev/ceiling":"61363749613568","leasehold.dev/duration-ms":"8000","leasehold.dev/margin-ms":"1000","leasehold.dev/renewed-at-ms":"2000","leasehold.dev/longest-ttl-ms":"15000","leasehold.dev/keys":"0123456789abcdef"},"resourceVersion":"7"},"spec":{"holderIdentity":"a_1","leaseDurationSeconds":8,"leaseTransitions":1,"renewTime":"2026-11-01T00:00:00.000000Z"}}"#;
    let released = held
        .replace(
            r#""leasehold.dev/keys""#,
            r#""leasehold.dev/ended-at-ms":"2500","leasehold.dev/last-change":"9","leasehold.dev/keys""#,
        )
        .replace(r#""holderIdentity":"a_1","#, "");
    let half = held.replace("leasehold.dev/margin-ms", "leasehold.dev/other");
    let newer = held.replace(r#"format":"1""#, r#"format":"2""#);
    let json = [held.to_owned(), released, half, newer].map(|json| [b"\x00".as_slice(), json.as_bytes()].concat());
    let mut seeds = json.to_vec();
    seeds.push(b"\x01\x01\x09\xa0\x01\x00\x00\x00\x40\x41\x20\x30\x01\x35\x40\x01\x65\x00".to_vec());
    seeds.push(
        b"\x02\x00\xa0\x01\x00\x00\x00\x40\x41\x20\x30\x01\x35\x40\x01\x65\x02\x02\x01\x6c\x06\x02\x00\x00\x03+05\x01"
            .to_vec(),
    );
    seeds
}
