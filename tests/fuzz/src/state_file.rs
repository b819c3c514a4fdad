//! The state file: half of one, one that was edited, one of another program.

use crate::script::{Script, fixed};
use leasehold_core::{Record, RecordParts};
use leasehold_server::fuzzing::{Stored, decode_state, encode_state};
use leasehold_server::keys::Keys;
use ring::digest::{SHA256, digest};
use std::fmt::Write;
use std::sync::LazyLock;

/// Secrets of nothing: the same in every run, so that an input means the same.
const KEYS: &str = r#"{"ticket":"LRq1LBB2rdaaFkuaKTPKejsjnegUXG+c8ytWIY5LROc=","signing":"MFECAQEwBQYDK2VwBCIEIBpqVERZYtoyJnLJ+7chaPFOrP3ny5IN/NqLqXNLrCetgSEAq0YDSh1BZW9g3lCC1eiHSovJ/cEYWhKftdmoN8/TBcI="}"#;

static FIXED_KEYS: LazyLock<Keys> = LazyLock::new(|| serde_json::from_str(KEYS).expect("keys were made once"));

/// Bytes as a file, a state of any content under its right sum, and a real file that is damaged.
///
/// # Panics
/// If a record changes on its way; if a file that was damaged is another one; if an error says
/// nothing.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 3 {
        0 => drop(read(script.rest())),
        1 => {
            if let Ok(text) = str::from_utf8(script.rest()) {
                read(&summed(text));
            }
        }
        _ => {
            let stored = stored(&mut script);
            let text = encode_state(&stored);
            assert_eq!(read(&text).as_ref(), Some(&stored));
            damaged(&mut script, text, &stored);
        }
    }
}

/// What these bytes say survives being written; or the error has words.
fn read(text: &[u8]) -> Option<Stored> {
    match decode_state(text) {
        Ok(stored) => {
            assert_eq!(decode_state(&encode_state(&stored)).as_ref(), Ok(&stored));
            Some(stored)
        }
        Err(why) => {
            assert!(!why.is_empty());
            None
        }
    }
}

/// The file with this text as its state.
fn summed(state: &str) -> Vec<u8> {
    let sum = digest(&SHA256, state.as_bytes());
    let sum = sum.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!(r#"{{"format":2,"sha256":"{sum}","state":{state}}}"#).into_bytes()
}

fn stored(script: &mut Script<'_>) -> Stored {
    let record = script.flag().then(|| {
        let parts = script.record();
        let handover = script.flag().then(|| script.handover(parts.ceiling));
        fixed(Record::from_parts(RecordParts { handover, ..parts }))
    });
    let began = script.flag().then(|| (script.text(), script.number()));
    Stored { keys: FIXED_KEYS.clone(), lost: script.flag(), record, began }
}

/// A disk that returns something else is noticed, or it makes no difference.
fn damaged(script: &mut Script<'_>, mut text: Vec<u8>, stored: &Stored) {
    for _ in 0..=script.byte() % 4 {
        let at = script.number() as usize % text.len().max(1);
        match script.byte() % 3 {
            0 => text.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= script.byte().max(1)),
            1 => text.truncate(at),
            _ => text.insert(at.min(text.len()), script.byte()),
        }
    }
    if let Some(other) = read(&text) {
        assert_eq!(other, *stored, "a damaged file is taken for another one");
    }
}

/// A file with a handover, the same behind its sum, and what makes files.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    // e1, c1, anonymous, v, 15 s, 101, 101, 102, tenure 100, accepted at 5
    let carried = "CgJlMRICYzEaCWFub255bW91cyIBdiiYdTBlOGVAZkhkUAU=";
    let record = |handover: &str| {
        format!(
            r#"{{"keys":{KEYS},"lost":false,"record":{{"tenure":100,"ceiling":1048676,"duration-ms":3000,"margin-ms":300,"renewed-at-ms":4000,"ended-at-ms":4500,"longest-ttl-ms":15000}},"handover":{handover},"began":{{"boot":"b","at_ms":7}}}}"#
        )
    };
    let empty = format!(r#"{{"keys":{KEYS},"lost":true,"record":null,"handover":null,"began":null}}"#);
    let whole = record(&format!(r#"{{"candidacies":["{carried}"],"holds":[]}}"#));
    vec![
        [b"\x00".as_slice(), &summed(&whole)].concat(),
        [b"\x01".as_slice(), whole.as_bytes()].concat(),
        [b"\x01".as_slice(), record("null").as_bytes()].concat(),
        [b"\x01".as_slice(), empty.as_bytes()].concat(),
        b"\x02\x01\xa0\x10\x00\x00\x00\x40\x41\x20\x30\x01\x35\x40\x01\x02\x01\x02\x03\x00\x64\x40\x41\x01\x42\x43\x20\x01\x20\x01\x00\x00\x01b\x05\x00\x00\x50\x00\x01"
            .to_vec(),
    ]
}
