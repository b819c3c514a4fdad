//! The line of numbers: tenures, enrolments, fencing tokens and revisions are all drawn from it.
//!
//! It works like the timestamp oracle of Percolator: a ceiling above all numbers that were handed
//! out is stored ahead of use. The next tenure starts at that ceiling, so no number comes twice,
//! and no number costs a write of its own.

use crate::Time;
use std::fmt;

/// Numbers stay below this, so that a JSON number, a JavaScript number and an SQL BIGINT all hold
/// them exactly.
pub const NUMBER_LIMIT: u64 = 1 << 53;
/// How far the ceiling is raised above the next number by each write.
pub const HEADROOM: u64 = 1 << 20;
/// A tenure whose record was lost starts so much above what the clock vouches for. Each start of
/// the last minute may have taken a ceiling of its own, all within one second.
/// Rule `floor`.
pub const AHEAD_WHEN_LOST: u64 = 64 * HEADROOM;
/// New candidacies and values are refused when fewer numbers than this are left. So what must
/// follow from the old ones (grants, vacancies, drains, restorations: at most four for each
/// candidacy) always has its number.
pub(crate) const RESERVE: u64 = HEADROOM / 2;
/// The clock vouches for so many more numbers with each millisecond, rounded down.
const NUMBERS_PER_MS: u64 = (1 << 20) / 1000;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// One unbroken stretch of a replica being active, named by the first number of its range.
    Tenure
}
number! {
    /// Names a candidacy. Also its place in the queue, unless it took that of its former self.
    Enrolment
}
number! {
    /// Handed out with each grant, strictly increasing over the whole life of the service.
    FencingToken
}
number! {
    /// The number of a candidacy's last change: of two words about one candidacy the one with the
    /// higher version is newer. Workers see it; tickets don't carry it.
    StateVersion
}
number! {
    /// The number of a change that observers see. A grant's revision is its fencing token.
    Revision
}
number! {
    /// All numbers that were handed out lie below it. It is stored ahead of use.
    Ceiling
}
number! {
    /// Counts the changes of state of a tenure's leased candidacies, for mirrors.
    ChangeNumber
}
number! {
    /// What the wall clock vouches for, where a record was lost: seconds since 2025-01-01T00:00:00Z
    /// times 2^20, to the millisecond. Numbers are handed out more slowly than it rises.
    ClockFloor
}

/// What the wall clock vouched for, and when it did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vouched {
    pub(crate) floor: ClockFloor,
    pub(crate) at: Time,
}

impl Vouched {
    /// What it vouches for now: the wall clock is read by the shell only, so time goes on from
    /// there.
    pub(crate) fn now(self, now: Time) -> ClockFloor {
        ClockFloor(self.floor.0.saturating_add(now.since(self.at).0.saturating_mul(NUMBERS_PER_MS)))
    }
}

/// The numbers that this tenure may hand out.
/// Rule `ceiling`.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    next: u64,
    ceiling: Ceiling,
}

impl Line {
    /// Starts at `tenure`, which is the first number, below a `ceiling` that is stored.
    pub(crate) fn new(tenure: Tenure, ceiling: Ceiling) -> Self {
        Self { next: tenure.0 + 1, ceiling }
    }

    /// The next number.
    ///
    /// # Panics
    /// When the ceiling is reached: [`RESERVE`] and the limit on candidacies make sure that it
    /// isn't.
    pub(crate) fn take(&mut self) -> u64 {
        assert!(self.next < self.ceiling.0, "the line of numbers ran out at its ceiling {}", self.ceiling);
        self.next += 1;
        self.next - 1
    }

    /// Whether something new may begin that will need numbers.
    pub(crate) fn has_room(&self) -> bool {
        self.next + RESERVE < self.ceiling.0
    }

    /// Whether the ceiling should be raised before the next renewal is due. At the end of all
    /// numbers there is nothing to raise it to, and nothing is tried again and again.
    pub(crate) fn runs_low(&self) -> bool {
        self.next + RESERVE + RESERVE / 2 > self.ceiling.0 && self.wanted_ceiling() > self.ceiling
    }

    /// The last number that was handed out.
    pub(crate) fn last(&self) -> u64 {
        self.next - 1
    }

    /// The ceiling that the next write should store.
    pub(crate) fn wanted_ceiling(&self) -> Ceiling {
        Ceiling((self.next + HEADROOM).min(NUMBER_LIMIT)).max(self.ceiling)
    }

    /// A write stored this ceiling.
    pub(crate) fn raise(&mut self, ceiling: Ceiling) {
        self.ceiling = self.ceiling.max(ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_the_ceiling() {
        let mut line = Line::new(Tenure(10), Ceiling(10 + HEADROOM));
        assert_eq!(line.take(), 11);
        assert!(line.has_room() && !line.runs_low());
        while line.has_room() {
            line.take();
        }
        assert!(line.runs_low());
        let ceiling = line.wanted_ceiling();
        assert_eq!(ceiling, Ceiling(line.last() + 1 + HEADROOM));
        line.raise(ceiling);
        assert!(line.has_room() && !line.runs_low());
    }

    #[test]
    fn the_ceiling_never_passes_two_to_the_53() {
        let line = Line::new(Tenure(NUMBER_LIMIT - 5), Ceiling(NUMBER_LIMIT - 1));
        assert_eq!(line.wanted_ceiling(), Ceiling(NUMBER_LIMIT));
        assert!(!line.has_room() && line.runs_low());
        let line = Line::new(Tenure(NUMBER_LIMIT - 5), Ceiling(NUMBER_LIMIT));
        assert!(!line.has_room() && !line.runs_low(), "there is nothing to be had");
    }
}
