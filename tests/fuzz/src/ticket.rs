//! Tickets: whatever a worker sends as one.

use crate::script::Script;
use leasehold_core::{Tenure, Ticket};
use leasehold_server::fuzzing::seal_plain;
use leasehold_server::keys::Keys;
use leasehold_server::ticket::{MAX_TICKET_BYTES, Sealer};
use std::sync::LazyLock;

static SEALER: LazyLock<Sealer> = LazyLock::new(|| Sealer::new(&Keys::generate()));

/// Bytes as a ticket, bytes behind the right seal, and real tickets that are damaged.
///
/// # Panics
/// If a forgery is opened, or if a ticket changes on its way.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.byte() % 3 {
        0 => assert!(SEALER.open(script.rest()).is_err(), "bytes that nobody sealed are opened"),
        1 => {
            let tenure = Tenure(script.number());
            if let Ok(ticket) = SEALER.open(&seal_plain(&SEALER, tenure, script.rest())) {
                assert_eq!(ticket.tenure, tenure);
                survives(&ticket);
            }
        }
        _ => {
            let ticket = script.ticket();
            let sealed = survives(&ticket);
            damaged(&mut script, sealed);
        }
    }
}

fn survives(ticket: &Ticket) -> Vec<u8> {
    let sealed = SEALER.seal(ticket);
    assert!(sealed.len() <= MAX_TICKET_BYTES, "{} bytes", sealed.len());
    assert_eq!(SEALER.open(&sealed).as_ref(), Ok(ticket));
    sealed
}

/// Any byte that is changed, added or missing is noticed.
fn damaged(script: &mut Script<'_>, mut sealed: Vec<u8>) {
    let at = script.number() as usize % sealed.len();
    match script.byte() % 3 {
        0 => sealed[at] ^= script.byte().max(1),
        1 => sealed.truncate(at),
        _ => sealed.insert(at, script.byte()),
    }
    assert!(SEALER.open(&sealed).is_err(), "a damaged ticket is opened");
}

/// Real tickets, and what lies behind the seal of one.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    // election, candidate, subject, value, ttl 15 s, enrolment, place, token, accepted_at
    let plain = b"\x0a\x02e1\x12\x02c1\x1a\x09anonymous\x22\x01v\x28\x98\x75\x30\x64\x38\x64\x40\x65\x50\xe8\x07";
    vec![
        b"\x00no ticket".to_vec(),
        [b"\x01\x63".as_slice(), plain].concat(),
        b"\x02\x01\x01\x01\x00\x64\x40\x41\x01\x42\x43\x20\x10\x00\x01".to_vec(),
        b"\x02\xf1\x00\x00\x03a/b\xf0\x00\x00\x04\xc3\xbc12\x01\xf2\xff\x00\x20vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\x64\x40\x41\x01\x42\x43\x20"
            .to_vec(),
    ]
}
