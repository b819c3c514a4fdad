//! Tests of sealed tickets.

use super::*;
use leasehold_core::{MAX_NAME_BYTES, MAX_VALUE_BYTES};
use proptest::prelude::*;
use std::collections::HashSet;

const MASTER: [u8; TICKET_KEY_BYTES] = [7; TICKET_KEY_BYTES];

fn ticket() -> Ticket {
    Ticket {
        election: ElectionName::new("billing/nightly-report").unwrap(),
        candidate: CandidateName::new("worker-1").unwrap(),
        subject: Subject::anonymous(),
        value: Value::new("10.0.0.1:80").unwrap(),
        ttl: Millis(15_000),
        enrolment: Enrolment(1_000_007),
        place: Enrolment(1_000_003),
        token: Some(FencingToken(1_000_009)),
        tenure: Tenure(1_000_000),
        accepted_at: Millis(4321),
        hold: Millis(60_000),
        issued: Tenure(1_000_000),
    }
}

prop_compose! {
    fn any_ticket()(
        election in "[a-zA-Z0-9._-]{1,100}(/[a-zA-Z0-9._-]{1,100})?",
        candidate in "\\PC{1,64}",
        subject in "\\PC{1,64}",
        value in "(?s).{0,1024}",
        ttl in 1..=MAX_MAX_TTL.0,
        numbers in prop::array::uniform3(1..NUMBER_LIMIT),
        token in prop::option::of(1..NUMBER_LIMIT),
        accepted_at in 0..NUMBER_LIMIT,
        hold in 0..NUMBER_LIMIT,
        issued in prop::option::of(1..NUMBER_LIMIT),
    ) -> Ticket {
        Ticket {
            election: ElectionName::new(&election).unwrap(),
            candidate: CandidateName::new(&candidate).unwrap(),
            subject: Subject::new(&subject).unwrap(),
            value: Value::new(&value).unwrap(),
            ttl: Millis(ttl),
            enrolment: Enrolment(numbers[0]),
            place: Enrolment(numbers[0].min(numbers[1])),
            token: token.map(FencingToken),
            tenure: Tenure(numbers[2]),
            accepted_at: Millis(accepted_at),
            hold: Millis(hold),
            issued: Tenure(issued.map_or(numbers[2], |issued| issued.max(numbers[2]))),
        }
    }
}

proptest! {
    #[test]
    fn what_was_sealed_can_be_opened(ticket in any_ticket()) {
        let sealer = Sealer::from_master(&MASTER);
        let sealed = sealer.seal(&ticket);
        prop_assert_eq!(sealer.open(&sealed), Ok(ticket.clone()));
        // Another process with the same key, which never saw that tenure.
        prop_assert_eq!(Sealer::from_master(&MASTER).open(&sealed), Ok(ticket));
    }

    #[test]
    fn other_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 1..200), version in any::<bool>()) {
        let mut bytes = bytes;
        if version {
            bytes[0] = VERSION;
        }
        prop_assert_eq!(Sealer::from_master(&MASTER).open(&bytes), Err(TicketError::Damaged));
    }
}

#[test]
fn any_flipped_bit_and_any_cut_is_refused() {
    let sealer = Sealer::from_master(&MASTER);
    let sealed = sealer.seal(&ticket());
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(sealer.open(&changed), Err(TicketError::Damaged), "bit {bit}");
    }
    for length in 1..sealed.len() {
        assert_eq!(sealer.open(&sealed[..length]), Err(TicketError::Damaged), "{length} bytes");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert_eq!(sealer.open(&longer), Err(TicketError::Damaged));
}

#[test]
fn another_key_is_refused() {
    let sealed = Sealer::new(&Keys::generate()).seal(&ticket());
    let error = Sealer::new(&Keys::generate()).open(&sealed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the ticket is damaged, or was sealed with a key that this service doesn't have; enter the election again with \
         Campaign"
    );
}

#[test]
fn lengths_are_checked_first() {
    let sealer = Sealer::from_master(&MASTER);
    assert_eq!(sealer.open(&[]), Err(TicketError::Empty));
    let long = sealer.open(&vec![VERSION; MAX_TICKET_BYTES + 1]).unwrap_err();
    assert_eq!(long.to_string(), "the ticket has 8193 bytes; none is longer than 8192");
    assert_eq!(sealer.open(&vec![VERSION; MAX_TICKET_BYTES]), Err(TicketError::Damaged));
}

#[test]
fn the_largest_ticket_fits() {
    let largest = Ticket {
        election: ElectionName::new(&"e".repeat(MAX_NAME_BYTES)).unwrap(),
        candidate: CandidateName::new(&"c".repeat(MAX_NAME_BYTES)).unwrap(),
        subject: Subject::new(&"s".repeat(MAX_NAME_BYTES)).unwrap(),
        value: Value::new(&"v".repeat(MAX_VALUE_BYTES)).unwrap(),
        ttl: MAX_MAX_TTL,
        enrolment: Enrolment(NUMBER_LIMIT - 1),
        place: Enrolment(NUMBER_LIMIT - 1),
        token: Some(FencingToken(NUMBER_LIMIT - 1)),
        tenure: Tenure(NUMBER_LIMIT - 2),
        accepted_at: Millis(NUMBER_LIMIT - 1),
        hold: Millis(NUMBER_LIMIT - 1),
        issued: Tenure(NUMBER_LIMIT - 1),
    };
    let sealer = Sealer::from_master(&MASTER);
    let sealed = sealer.seal(&largest);
    assert!(sealed.len() <= MAX_TICKET_BYTES, "{} bytes", sealed.len());
    assert_eq!(sealer.open(&sealed), Ok(largest));
}

#[test]
fn fields_that_no_ticket_has_are_refused_though_they_were_sealed() {
    let sealer = Sealer::from_master(&MASTER);
    for bad in [
        Ticket { ttl: Millis(0), ..ticket() },
        Ticket { ttl: Millis(MAX_MAX_TTL.0 + 1), ..ticket() },
        Ticket { enrolment: Enrolment(0), ..ticket() },
        Ticket { place: Enrolment(NUMBER_LIMIT), ..ticket() },
        Ticket { place: Enrolment(1_000_008), ..ticket() },
        Ticket { token: Some(FencingToken(NUMBER_LIMIT)), ..ticket() },
        Ticket { tenure: Tenure(NUMBER_LIMIT), ..ticket() },
        Ticket { accepted_at: Millis(NUMBER_LIMIT), ..ticket() },
        Ticket { hold: Millis(NUMBER_LIMIT), ..ticket() },
        Ticket { issued: Tenure(NUMBER_LIMIT), ..ticket() },
        Ticket { issued: Tenure(999_999), ..ticket() },
    ] {
        assert_eq!(sealer.open(&sealer.seal(&bad)), Err(TicketError::Damaged), "{bad:?}");
    }
    let name = Plain { election: "a b".into(), ..Plain::from(&ticket()) };
    assert_eq!(name.into_ticket(Tenure(1)), None);
}

#[test]
fn nonces_never_repeat_over_clones_and_threads() {
    let sealer = Sealer::from_master(&MASTER);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let sealer = sealer.clone();
            let seal = move || sealer.seal(&ticket())[NONCE_AT..HEADER_BYTES].to_vec();
            std::thread::spawn(move || (0..500).map(|_| seal()).collect::<Vec<_>>())
        })
        .collect();
    let nonces: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(nonces.len(), 2000);
}

#[test]
fn each_tenure_has_its_own_key_and_only_sealing_changes_the_kept_one() {
    let sealer = Sealer::from_master(&MASTER);
    let old = sealer.seal(&ticket());
    let _ = sealer.seal(&Ticket { tenure: Tenure(2_000_000), ..ticket() });
    assert_eq!(sealer.shared.newest().tenure, Tenure(2_000_000));
    assert_eq!(sealer.open(&old), Ok(ticket()));
    let _ = sealer.seal(&ticket());
    let mut forged = old.clone();
    forged[TENURE_AT..NONCE_AT].copy_from_slice(&(NUMBER_LIMIT - 1).to_be_bytes());
    assert_eq!(sealer.open(&forged), Err(TicketError::Damaged));
    assert_eq!(sealer.shared.newest().tenure, Tenure(2_000_000));
}
