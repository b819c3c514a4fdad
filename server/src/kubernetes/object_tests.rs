//! The Lease as an object: what is written is read, and half of it is worth nothing.

use super::*;
use leasehold_core::{ChangeNumber, RecordParts, Revision};

fn signature() -> Signature {
    let me = Holder("a_1".to_owned());
    Signature { me, address: Address::new("10.0.0.1:7400").unwrap(), keys: "k".to_owned(), duration: Millis(8000) }
}

fn record() -> Record {
    Record::from_parts(parts()).unwrap()
}

fn parts() -> RecordParts {
    RecordParts {
        tenure: Tenure(NUMBER_LIMIT - 100),
        ceiling: Ceiling(NUMBER_LIMIT),
        duration: Millis(7500),
        margin: Millis(1000),
        renewed_at: Millis(123_456),
        ended_at: None,
        longest_ttl: Millis(15_000),
        last_change: None,
        handover: None,
        last_revision: None,
    }
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let held = sign(LeaseObject::default(), &signature(), &record(), time(1));
    let content = seen(&held).content;
    assert_eq!(content.held().unwrap().record, record());
    assert_eq!((content.held().unwrap().address.as_str(), content.duration), ("10.0.0.1:7400", Some(Millis(8000))));

    let (ended_at, last_change, last_revision) = (Some(Millis(5)), Some(ChangeNumber(9)), Some(Revision(8)));
    let end = Record::from_parts(RecordParts { ended_at, last_change, last_revision, ..parts() }).unwrap();
    let released = sign(held, &signature(), &end, time(2));
    let content = seen(&released).content;
    assert_eq!((content.holder.as_ref(), content.released()), (None, Some(&end)));
    // Nothing of the end stays for the next tenure.
    let again = sign(released, &signature(), &record(), time(3));
    assert_eq!(seen(&again).content.held().unwrap().record, record());
}

/// What the runbook does with the ceiling of a Lease that is lost or restored.
#[test]
fn an_operator_may_say_below_which_number_no_tenure_begins() {
    let with = |floor: &str| {
        let mut object = LeaseObject::default();
        object.metadata.annotations.get_or_insert_default().insert(FLOOR.to_owned(), floor.to_owned());
        object
    };
    let high = ClockFloor(NUMBER_LIMIT - 5);
    assert_eq!(vouched(Some(&with(&high.to_string()))), high);
    assert_eq!(vouched(Some(&strip(with(&high.to_string())))), high, "it is there until a tenure begins");
    let begun = sign(with(&high.to_string()), &signature(), &record(), time(1));
    for below in [None, Some(&begun), Some(&with("7")), Some(&with("many")), Some(&with(&NUMBER_LIMIT.to_string()))] {
        assert!(vouched(below) < high, "only the clock vouches");
    }
    assert_eq!(seen(&with("7")).content.signed, None, "it isn't a replica's word");
}

#[test]
fn the_spec_is_as_other_tools_expect() {
    let mut object = LeaseObject::default();
    object.metadata.labels = Some(BTreeMap::from([("app".to_owned(), "x".to_owned())]));
    object.metadata.annotations = Some(BTreeMap::from([("theirs".to_owned(), "kept".to_owned())]));
    object.metadata.resource_version = Some("7".to_owned());
    let object = sign(object, &signature(), &record(), time(1));
    let spec = object.spec.clone().unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("a_1"), Some(1)));
    assert_eq!((spec.acquire_time.clone(), spec.renew_time), (Some(MicroTime(time(1))), Some(MicroTime(time(1)))));
    assert_eq!(object.metadata.annotations.as_ref().unwrap()["theirs"], "kept");
    assert!(object.metadata.labels.is_some() && object.metadata.resource_version.is_some());
    let spec = sign(object, &signature(), &record(), time(9)).spec.unwrap();
    assert_eq!((spec.acquire_time, spec.lease_transitions), (Some(MicroTime(time(1))), Some(1)), "a renewal isn't one");
}

#[test]
fn half_a_record_is_none() {
    let object = sign(LeaseObject::default(), &signature(), &record(), time(1));
    let needed = |name: &&str| !["format", "keys", "ended-at-ms", "last-change", "last-revision"].contains(name);
    for name in WORDS.into_iter().chain(record::NAMES).filter(needed) {
        let mut less = object.clone();
        less.metadata.annotations.as_mut().unwrap().remove(&key(name));
        assert_eq!(seen(&less).content.signed, None, "without {name}");
    }
    for (name, bad) in [
        ("tenure", "x"),
        ("tenure", "9007199254740993"),
        ("ceiling", "1"),
        ("ended-at-ms", ""),
        ("last-change", "-1"),
        ("margin-ms", "8000"),
        ("renewed-at-ms", "99999999999999999999"),
        ("replica", ""),
        ("format", "0"),
        ("format", "one"),
    ] {
        let mut other = object.clone();
        other.metadata.annotations.as_mut().unwrap().insert(key(name), bad.to_owned());
        assert_eq!(seen(&other).content.signed, None, "{name} is {bad}");
    }
}

#[test]
fn annotations_without_a_format_have_the_first() {
    let mut object = sign(LeaseObject::default(), &signature(), &record(), time(1));
    object.metadata.annotations.as_mut().unwrap().remove(&key("format"));
    assert_eq!(seen(&object).content.held().unwrap().record, record());
}

/// Another version may take for an address what this one refuses.
#[test]
fn a_record_counts_whatever_the_address_beside_it() {
    let ended_at = Some(Millis(5));
    let end = Record::from_parts(RecordParts { ended_at, ..parts() }).unwrap();
    for bad in ["", "10.0.0.1", "0:7400", "0.0.0.0:7400", "http://h:1"] {
        let with = |record: &Record| {
            let mut object = sign(LeaseObject::default(), &signature(), record, time(1));
            object.metadata.annotations.as_mut().unwrap().insert(key("address"), bad.to_owned());
            object
        };
        let held = seen(&with(&record())).content;
        let signed = held.held().unwrap();
        assert_eq!((&signed.record, &signed.address), (&record(), &Address::unusable()), "{bad}");
        assert_eq!(seen(&with(&end)).content.released(), Some(&end), "{bad}");
    }
}

#[test]
fn a_manifest_that_empties_the_holder_releases_nothing() {
    let mut object = sign(LeaseObject::default(), &signature(), &record(), time(1));
    object.spec.as_mut().unwrap().holder_identity = Some(String::new());
    let content = seen(&object).content;
    assert!(content.held().is_none() && content.released().is_none() && content.signed.is_some());
}

/// A replica of a later version has written it: this one learns who is active, how high numbers
/// have got and how long to wait, and no more.
#[test]
fn a_later_format_tells_of_its_author_and_its_times() {
    let with = |changes: &[(&str, &str)]| {
        let mut object = sign(LeaseObject::default(), &signature(), &record(), time(1));
        let annotations = object.metadata.annotations.as_mut().unwrap();
        annotations.extend(changes.iter().map(|(name, text)| (key(name), (*text).to_owned())));
        seen(&object).content
    };
    let Signature { me: by, address, .. } = signature();
    let (record, duration) = (record(), Millis(60_000));
    let (tenure, ceiling, longest_ttl) = (record.tenure, record.ceiling, record.longest_ttl);
    let newer = Newer { by, address, tenure, ceiling, duration, longest_ttl };
    let content = with(&[("format", "2"), ("duration-ms", "60000"), ("margin-ms", "none")]);
    assert_eq!((content.held(), &content.newer), (None, &Some(newer.clone())));
    let content = with(&[("format", "2"), ("duration-ms", "a minute")]);
    assert_eq!(content.newer, Some(Newer { duration: Millis(0), ..newer }));
    assert_eq!(with(&[("format", "2"), ("ceiling", "many")]).newer, None);
    assert_eq!(with(&[("format", "1")]).newer, None);
}
