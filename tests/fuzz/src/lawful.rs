//! What decoders promise to the core: whatever they let through is lawful, and whatever is lawful the core takes without a panic.
//! Written down once, so that the targets of both sides can't drift apart; and written anew here, not taken from the code that is
//! fuzzed.

use leasehold_core::{Attempt, MAX_MAX_TTL, MirrorBatch, NUMBER_LIMIT, Record, Ticket};
use std::collections::BTreeSet;

/// Durations that outlive a tenure are below this many milliseconds: 285,000 years.
const LONGEST_MS: u64 = NUMBER_LIMIT;

/// Whether the contract allows this as the name of an election.
#[must_use]
pub fn is_election(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    (1..=256).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('/')
        && !name.ends_with('/')
        && !name.contains("//")
}

/// Whether the contract allows this as the label of a candidate.
#[must_use]
pub fn is_candidate(name: &str) -> bool {
    (1..=256).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Whether the contract allows this as a value.
#[must_use]
pub fn is_value(value: &str) -> bool {
    value.len() <= 4096
}

fn is_attempt(attempt: &Attempt) -> bool {
    let text = attempt.as_str();
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| (0x21..0x7f).contains(&byte))
}

fn words(ticket: &Ticket) {
    assert!(is_election(ticket.election.as_str()), "{ticket:?}");
    assert!(is_candidate(ticket.candidate.as_str()), "{ticket:?}");
    assert!(is_candidate(ticket.subject.as_str()), "{ticket:?}");
    assert!(is_value(ticket.value.as_str()), "{ticket:?}");
    assert!(ticket.hold.0 < LONGEST_MS, "{ticket:?}");
    assert!(ticket.tenure <= ticket.issued, "{ticket:?}");
    assert!(ticket.place <= ticket.enrolment, "nobody's place is behind its own enrolment: {ticket:?}");
}

fn numbers(ticket: &Ticket) -> [u64; 5] {
    let token = ticket.token.map_or(ticket.enrolment.0, |token| token.0);
    [ticket.enrolment.0, ticket.place.0, ticket.tenure.0, ticket.issued.0, token]
}

/// A ticket that was opened.
///
/// # Panics
/// If it isn't lawful.
pub fn ticket(ticket: &Ticket) {
    words(ticket);
    assert!(numbers(ticket).iter().all(|number| (1..NUMBER_LIMIT).contains(number)), "{ticket:?}");
    assert!((1..=MAX_MAX_TTL.0).contains(&ticket.ttl.0), "{ticket:?}");
    assert!(ticket.accepted_at.0 < NUMBER_LIMIT, "{ticket:?}");
}

/// A record from a file or a Lease.
///
/// # Panics
/// If it isn't lawful.
pub fn record(record: &Record) {
    assert!(record.tenure.0 < record.ceiling && record.ceiling <= NUMBER_LIMIT, "{record:?}");
    assert!(record.margin <= record.duration, "{record:?}");
    for time in [record.duration, record.renewed_at, record.longest_ttl, record.ended_at.unwrap_or_default()] {
        assert!(time.0 < LONGEST_MS, "{record:?}");
    }
    let mut enrolments = BTreeSet::new();
    assert!(record.last_revision.unwrap_or_default().0 <= NUMBER_LIMIT, "{record:?}");
    for held in record.handover.iter().flat_map(|handover| &handover.holds) {
        assert!(is_election(held.election.as_str()) && held.left.0 < LONGEST_MS, "{held:?}");
    }
    for carried in record.handover.iter().flat_map(|handover| &handover.candidacies) {
        let ticket = &carried.ticket;
        words(ticket);
        assert!(enrolments.insert(ticket.enrolment), "twice in one handover: {ticket:?}");
        assert!(numbers(ticket).iter().all(|number| *number < record.ceiling), "{ticket:?} below {}", record.ceiling);
        assert!(ticket.ttl <= MAX_MAX_TTL, "{ticket:?}");
        assert!(carried.drain_left.unwrap_or_default().0 < LONGEST_MS, "{carried:?}");
        assert!(carried.attempt.iter().all(is_attempt), "{carried:?}");
    }
}

/// What a mirror was told.
///
/// # Panics
/// If it isn't lawful.
pub fn batch(batch: &MirrorBatch) {
    for mirrored in &batch.there {
        words(&mirrored.ticket);
        assert!(numbers(&mirrored.ticket).iter().all(|number| *number < NUMBER_LIMIT), "{mirrored:?}");
        assert!(mirrored.ticket.ttl <= MAX_MAX_TTL, "{mirrored:?}");
        assert!(mirrored.attempt.iter().all(is_attempt), "{mirrored:?}");
    }
    for held in &batch.holds {
        assert!(is_election(held.election.as_str()) && held.until.0 < LONGEST_MS, "{held:?}");
    }
}
