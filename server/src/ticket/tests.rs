//! Tests of sealed tickets.

use super::*;
use crate::candidacy::tests::{any_carried, parts};
use leasehold_core::{
    CandidateName, Carried, ElectionName, Enrolment, FencingToken, LONGEST, MAX_MAX_TTL, MAX_NAME_BYTES,
    MAX_VALUE_BYTES, NUMBER_LIMIT, PodUid, Subject, TicketParts, Value,
};
use proptest::prelude::*;
use std::collections::HashSet;

const MASTER: [u8; TICKET_KEY_BYTES] = [7; TICKET_KEY_BYTES];

fn ticket() -> Ticket {
    Ticket::from_parts(parts()).unwrap()
}

proptest! {
    #[test]
    fn what_was_sealed_can_be_opened(Carried { ticket, .. } in any_carried(NUMBER_LIMIT)) {
        let sealer = Sealer::from_master(&MASTER);
        let sealed = sealer.seal(&ticket);
        prop_assert_eq!(sealer.open(&sealed), Ok(ticket.clone()));
        // Another process with the same key, which never saw that tenure.
        prop_assert_eq!(Sealer::from_master(&MASTER).open(&sealed), Ok(ticket));
    }

    #[test]
    fn other_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut bytes = bytes;
        bytes[0] = FORMAT;
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
        let format = TicketError::OtherFormat { found: changed[0] };
        assert_eq!(sealer.open(&changed), Err(if bit < 8 { format } else { TicketError::Damaged }), "bit {bit}");
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
    let long = sealer.open(&vec![FORMAT; MAX_TICKET_BYTES + 1]).unwrap_err();
    assert_eq!(long.to_string(), "the ticket has 8193 bytes; none is longer than 8192");
    assert_eq!(sealer.open(&vec![FORMAT; MAX_TICKET_BYTES]), Err(TicketError::Damaged));
}

#[test]
fn the_largest_ticket_fits() {
    let largest = TicketParts {
        election: ElectionName::new(&"e".repeat(MAX_NAME_BYTES)).unwrap(),
        candidate: CandidateName::new(&"c".repeat(MAX_NAME_BYTES)).unwrap(),
        subject: Subject::new(&"s".repeat(MAX_NAME_BYTES)).unwrap(),
        pod: Some(PodUid::new(&"p".repeat(64)).unwrap()),
        value: Value::new(&"v".repeat(MAX_VALUE_BYTES)).unwrap(),
        ttl: MAX_MAX_TTL,
        enrolment: Enrolment(NUMBER_LIMIT - 1),
        place: Enrolment(NUMBER_LIMIT - 1),
        token: Some(FencingToken(NUMBER_LIMIT - 1)),
        tenure: Tenure(NUMBER_LIMIT - 2),
        accepted_at: LONGEST,
        hold: LONGEST,
        issued: Tenure(NUMBER_LIMIT - 1),
    };
    let largest = Ticket::from_parts(largest).unwrap();
    let sealer = Sealer::from_master(&MASTER);
    let sealed = sealer.seal(&largest);
    assert!(sealed.len() <= MAX_TICKET_BYTES, "{} bytes", sealed.len());
    assert_eq!(sealer.open(&sealed), Ok(largest));
}

#[test]
fn what_is_unlawful_is_refused_though_it_was_sealed() {
    let sealer = Sealer::from_master(&MASTER);
    let seal = |tenure: u64, plain: &[u8]| sealer.seal_plain(Tenure(tenure), plain.len(), |to| to.extend(plain));
    let plain = ticket().pack().in_tenure(0).encode_to_vec();
    assert_eq!(sealer.open(&seal(1_000_000, &plain)), Ok(ticket()));
    for (tenure, plain) in [(0, &plain[..]), (NUMBER_LIMIT, &plain), (1_000_000, &plain[1..]), (1_000_000, &[])] {
        assert_eq!(sealer.open(&seal(tenure, plain)), Err(TicketError::Damaged));
    }
}

#[test]
fn another_format_is_named() {
    let mut sealed = Sealer::from_master(&MASTER).seal(&ticket());
    sealed[0] = FORMAT + 1;
    let error = Sealer::from_master(&MASTER).open(&sealed).unwrap_err().to_string();
    assert!(error.starts_with("the ticket has the format 3, and leasehold-server "), "{error}");
    assert!(error.ends_with("enter the election again with Campaign"), "{error}");
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
    let later = TicketParts { tenure: Tenure(2_000_000), issued: Tenure(2_000_000), ..parts() };
    let _ = sealer.seal(&Ticket::from_parts(later).unwrap());
    assert_eq!(sealer.shared.newest().tenure, Tenure(2_000_000));
    assert_eq!(sealer.open(&old), Ok(ticket()));
    let _ = sealer.seal(&ticket());
    let mut forged = old.clone();
    forged[TENURE_AT..NONCE_AT].copy_from_slice(&(NUMBER_LIMIT - 1).to_be_bytes());
    assert_eq!(sealer.open(&forged), Err(TicketError::Damaged));
    assert_eq!(sealer.shared.newest().tenure, Tenure(2_000_000));
}
