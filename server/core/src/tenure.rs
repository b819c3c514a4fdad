//! A tenure: what it starts from, its line of numbers, and the wait before its first grant.

use crate::number::{AHEAD_WHEN_LOST, Ceiling, HEADROOM, Line, NUMBER_LIMIT, Vouched};
use crate::record::Former;
use crate::{Config, Found, Handover, Millis, Record, RecordParts, Revision, Tenure, Time};

/// What this process knows, whatever stands in the store by now. It all only rises.
#[derive(Debug)]
pub(crate) struct Known {
    /// The longest TTL, by the own setting or by any record: a leader with it may be out there.
    pub(crate) longest_ttl: Millis,
    /// The highest ceiling that was seen stored, by this process or by another.
    pub(crate) ceiling: Ceiling,
    /// With a Lease, all tenures that this process has claimed lie below: a claim without an answer
    /// may still be on its way there, and the next claim must not look like it.
    pub(crate) unclaimed: Tenure,
    /// What the clock vouches for.
    pub(crate) clock: Vouched,
}

impl Known {
    pub(crate) fn new(config: &Config) -> Self {
        let (ceiling, unclaimed, clock) = (Ceiling(0), Tenure(0), Vouched::default());
        Self { longest_ttl: config.max_ttl, ceiling, unclaimed, clock }
    }

    /// A record was seen.
    pub(crate) fn learn(&mut self, record: &Record) {
        self.learn_of(record.ceiling, record.longest_ttl);
    }

    /// As much of a record as can be read in every format.
    pub(crate) fn learn_of(&mut self, ceiling: Ceiling, longest_ttl: Millis) {
        self.stored(ceiling);
        self.longest_ttl = self.longest_ttl.max(longest_ttl);
    }

    /// A record with this ceiling is stored.
    pub(crate) fn stored(&mut self, ceiling: Ceiling) {
        self.ceiling = self.ceiling.max(ceiling);
    }

    /// Somebody has shown a number that no record tells of: the next tenure begins above it. The
    /// same number may be shown again after another restore, and that tenure must not have the
    /// number of this one. So the distance depends on the clock.
    pub(crate) fn step_above(&mut self, number: u64, now: Time) {
        let odd = self.clock.now(now).0 % AHEAD_WHEN_LOST;
        self.stored(Ceiling(number.saturating_add(AHEAD_WHEN_LOST + odd).min(NUMBER_LIMIT)));
    }
}

/// A write that is under way, or whose answer was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// The moment before it was sent: what it grants counts from here.
    pub(crate) sent: Time,
    pub(crate) ceiling: Ceiling,
    /// How far into the tenure it says that it was sent. No two writes of a tenure say the same, so
    /// that a write whose answer was lost is recognised when it is found.
    pub(crate) renewed_at: Millis,
}

impl Pending {
    /// Until when its replica may be active, if it is stored.
    pub(crate) fn right_until(&self, config: &Config) -> Time {
        self.sent + (config.duration - config.margin)
    }
}

/// What was read and decided before the first write of a tenure.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) tenure: Tenure,
    pub(crate) pending: Pending,
    settle_for: Millis,
    former: Option<Former>,
    longest_ttl: Millis,
    pub(crate) handover: Handover,
    /// Whoever has seen this change of the former tenure can resume in this one.
    pub(crate) resumes_after: Option<Revision>,
}

impl Claim {
    /// Decides what the next tenure starts from.
    pub(crate) fn new(known: &Known, found: Found, now: Time) -> Self {
        let floor = known.clock.now(now).0;
        let above = match &found {
            Found::Record(record) => floor.max(record.ceiling.0),
            Found::Fresh => floor,
            Found::Lost => floor.saturating_add(AHEAD_WHEN_LOST),
        };
        let tenure = Tenure(above.max(known.ceiling.0).max(known.unclaimed.0).clamp(1, NUMBER_LIMIT - 1));
        let ceiling = Ceiling((tenure.0 + HEADROOM).min(NUMBER_LIMIT));
        let fresh = Self {
            tenure,
            pending: Pending { sent: now, ceiling, renewed_at: Millis(0) },
            settle_for: Millis(0),
            former: None,
            longest_ttl: known.longest_ttl,
            handover: Handover::default(),
            resumes_after: None,
        };
        match found {
            Found::Fresh => fresh,
            Found::Lost => Self { settle_for: known.longest_ttl.with_drift(), ..fresh },
            // This process has seen a later record, and somebody has put this one in its place. It
            // says nothing of the tenure before this one.
            Found::Record(record) if record.ceiling < known.ceiling => {
                let longest_ttl = record.longest_ttl.max(known.longest_ttl);
                Self { settle_for: longest_ttl.with_drift(), longest_ttl, ..fresh }
            }
            Found::Record(record) => Self {
                settle_for: if record.handover.is_some() { Millis(0) } else { record.longest_ttl.with_drift() },
                former: Some(record.former()),
                longest_ttl: record.longest_ttl.max(known.longest_ttl),
                // A replica that doesn't know this annotation leaves that of an earlier tenure
                // there.
                resumes_after: record
                    .last_revision
                    .filter(|last| record.handover.is_some() && last.0 >= record.tenure.0),
                handover: record.into_handover().unwrap_or_default(),
                ..fresh
            },
        }
    }

    /// Whether what it replaces is a record that tells of the tenure right before this one.
    pub(crate) fn knows_its_former(&self) -> bool {
        self.former.is_some()
    }

    /// The first record of the tenure.
    pub(crate) fn record(&self, config: &Config) -> Record {
        Record::made(parts(config, self.tenure, self.pending, self.longest_ttl))
    }
}

/// A tenure that is under way.
#[derive(Clone, Debug)]
pub(crate) struct ActiveTenure {
    pub(crate) tenure: Tenure,
    /// The moment before the claim was sent.
    pub(crate) began: Time,
    pub(crate) line: Line,
    /// Until then nothing is granted; `None` once it has passed.
    /// Rule `wait`.
    pub(crate) settles_at: Option<Time>,
    pub(crate) former: Option<Former>,
    /// Rule `longest-ttl-rises`.
    pub(crate) longest_ttl: Millis,
}

impl ActiveTenure {
    /// The claim is stored.
    pub(crate) fn new(claim: &Claim) -> Self {
        let began = claim.pending.sent;
        Self {
            tenure: claim.tenure,
            began,
            line: Line::new(claim.tenure, claim.pending.ceiling),
            settles_at: Some(began + claim.settle_for),
            former: claim.former,
            longest_ttl: claim.longest_ttl,
        }
    }

    /// Until the wait is over.
    pub(crate) fn settling(&self, now: Time) -> Millis {
        self.settles_at.map_or(Millis(0), |at| at.since(now))
    }

    /// What a write of this tenure stores.
    pub(crate) fn parts(&self, config: &Config, pending: Pending) -> RecordParts {
        parts(config, self.tenure, pending, self.longest_ttl)
    }
}

fn parts(config: &Config, tenure: Tenure, pending: Pending, longest_ttl: Millis) -> RecordParts {
    RecordParts {
        tenure,
        ceiling: pending.ceiling,
        duration: config.duration,
        margin: config.margin,
        renewed_at: pending.renewed_at,
        ended_at: None,
        longest_ttl,
        last_change: None,
        handover: None,
        last_revision: None,
    }
}
