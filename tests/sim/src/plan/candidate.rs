//! The workers of a world, and their manners.

use crate::rng::Rng;
use leasehold_core::{CandidateName, ElectionName, Millis};

/// What a worker makes of what it hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It drops what comes from lower tenures, and of its candidacy what has a lower version.
    Everything,
    /// It drops what comes from lower tenures. Of the rest the last word to arrive counts, and the
    /// last ticket.
    LastWord,
    /// It has read an older contract: WAITING is a sign of life as well, and says nothing of a
    /// lead. It knows no versions. Once it has a leader's ticket it keeps that one, and drops what
    /// is said to a waiter's.
    OldContract,
}

/// How a worker behaves. All are honest: they differ in what the rules leave open.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// `None`: stream-bound.
    pub(crate) ttl: Option<Millis>,
    /// Its clock counts so many microseconds a second: within 5 % of the server's.
    pub(crate) rate: u64,
    /// Between two looks at its candidacy.
    pub(crate) interval: Millis,
    /// How long it waits for an answer.
    pub(crate) patience: Millis,
    pub(crate) reads: Reads,
    /// It names its entries: a Campaign whose stream breaks before Enrolled has come is sent once
    /// more.
    pub(crate) attempts: bool,
    /// For how long from its grant its election isn't granted again.
    pub(crate) hold: Millis,
    /// Gives up a lead whose deadline has passed, rather than ask whether it still leads.
    pub(crate) gives_up: bool,
    /// Never keeps a stream open: polls with KeepAlive.
    pub(crate) polls: bool,
    /// Resigns when it is told to hand over, rather than use its time up.
    pub(crate) obliging: bool,
    /// Says that its former self is dead when it starts again after a crash.
    pub(crate) replaces: bool,
    /// How often it leaves by itself, in a thousand looks.
    pub(crate) leaves: u64,
    /// How often it is only a try, in a thousand.
    pub(crate) tries: u64,
    /// How often it turns to another replica, in a thousand looks.
    pub(crate) roams: u64,
}

/// No worker puts its election on hold for longer.
const LONGEST_HOLD: Millis = Millis(20_000);

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: CandidateName,
    pub(crate) election: ElectionName,
    pub(crate) manners: Manners,
}

impl Candidate {
    pub(crate) fn new(
        rng: &mut Rng,
        number: u64,
        elections: &[ElectionName],
        max_ttl: Millis,
        (slowest, fastest): (u64, u64),
    ) -> Self {
        let ttl = rng.chance(850).then(|| if rng.chance(500) { max_ttl } else { rng.millis(1000, max_ttl.0) });
        let base = ttl.unwrap_or(Millis(4000)).0;
        let reads = match rng.between(0, 99) {
            0..=39 => Reads::Everything,
            40..=79 => Reads::LastWord,
            _ => Reads::OldContract,
        };
        Candidate {
            name: CandidateName::new(&format!("w{number}")).expect("the name is fair"),
            election: elections[rng.index(elections.len())].clone(),
            manners: Manners {
                ttl,
                rate: if rng.chance(400) { rng.pick(&[slowest, fastest]) } else { rng.between(slowest, fastest) },
                interval: Millis(if rng.chance(800) { base / 3 } else { rng.between(base / 6, base * 5 / 6) }),
                patience: Millis(rng.between(base / 3, base * 2)),
                reads,
                attempts: rng.chance(500),
                hold: if rng.chance(700) { Millis(0) } else { rng.millis(1, LONGEST_HOLD.0) },
                gives_up: reads == Reads::Everything && rng.chance(500),
                polls: rng.chance(200),
                obliging: rng.chance(500),
                replaces: rng.chance(500),
                leaves: if rng.chance(400) { 0 } else { rng.between(1, 300) },
                tries: if rng.chance(700) { 0 } else { rng.between(1, 500) },
                roams: if rng.chance(500) { 0 } else { rng.between(1, 300) },
            },
        }
    }
}
