//! A tenure: the right to be active with its deadline, the line of numbers, and the wait before the first grant.

use crate::number::{AHEAD_WHEN_LOST, HEADROOM, Line, NUMBER_LIMIT};
use crate::record::Former;
use crate::{Config, Found, Handover, Millis, Over, Record, RecordParts, Revision, StreamId, Tenure, Time, WriteId};

/// After so many writes in a row that found somebody else's change, the next one waits a little.
const CONFLICTS_AT_ONCE: u32 = 3;

/// A write that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) write: WriteId,
    /// The moment before it was sent: what it grants counts from here.
    pub(crate) sent: Time,
    pub(crate) ceiling: u64,
    /// How far into the tenure it says that it was sent. No two writes of a tenure say the same, so that a write whose answer was lost
    /// is recognised when it is found.
    pub(crate) renewed_at: Millis,
}

/// What a new tenure starts from, beside what was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// The longest TTL that this process knows of, by its setting or by any record.
    pub(crate) longest_ttl: Millis,
    /// A number that the clock vouches for.
    pub(crate) floor: u64,
    /// The highest ceiling that this process has seen.
    pub(crate) seen: u64,
    /// No tenure that this process has claimed is as high as this.
    pub(crate) unclaimed: u64,
    /// What was found is older than what this process has seen.
    pub(crate) outdated: bool,
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
    pub(crate) fn new(start: Start, found: Found, write: WriteId, now: Time) -> Self {
        let Start { longest_ttl: longest, floor, seen, unclaimed, outdated } = start;
        let (found, floor) = match found {
            Found::Record(record) => (Ok(record), floor),
            Found::Fresh => (Err(Millis(0)), floor),
            Found::Lost | Found::Lease(_) => (Err(longest.with_drift()), floor.saturating_add(AHEAD_WHEN_LOST)),
        };
        let ceiling = found.as_ref().map_or(0, |record| record.ceiling);
        let tenure = Tenure(ceiling.max(floor).max(seen).max(unclaimed).clamp(1, NUMBER_LIMIT - 1));
        let ceiling = (tenure.0 + HEADROOM).min(NUMBER_LIMIT);
        let pending = Pending { write, sent: now, ceiling, renewed_at: Millis(0) };
        match found {
            // An older record than one that this process has seen was put in its place: it says nothing of the tenure
            // before this one.
            Ok(record) if outdated || record.ceiling < seen => Self {
                tenure,
                pending,
                settle_for: record.longest_ttl.max(longest).with_drift(),
                former: None,
                longest_ttl: record.longest_ttl.max(longest),
                handover: Handover::default(),
                resumes_after: None,
            },
            Ok(record) => Self {
                tenure,
                pending,
                settle_for: if record.handover.is_some() { Millis(0) } else { record.longest_ttl.with_drift() },
                former: Some(record.former()),
                longest_ttl: record.longest_ttl.max(longest),
                // One of an earlier tenure can be left over in the Lease, from a replica that doesn't know it.
                resumes_after: record
                    .last_revision
                    .filter(|last| record.handover.is_some() && last.0 >= record.tenure.0),
                handover: record.into_handover().unwrap_or_default(),
            },
            Err(settle_for) => Self {
                tenure,
                pending,
                settle_for,
                former: None,
                longest_ttl: longest,
                handover: Handover::default(),
                resumes_after: None,
            },
        }
    }

    /// The first record of the tenure.
    pub(crate) fn record(&self, config: &Config) -> Record {
        Record::made(RecordParts {
            tenure: self.tenure,
            ceiling: self.pending.ceiling,
            duration: config.duration,
            margin: config.margin,
            renewed_at: Millis(0),
            ended_at: None,
            longest_ttl: self.longest_ttl,
            last_change: None,
            handover: None,
            last_revision: None,
        })
    }
}

/// What the last record of a tenure tells the next one. Nothing, if it ended inside its wait: what it
/// knew isn't all there is.
#[derive(Debug, Default)]
pub(crate) struct Last {
    pub(crate) handover: Option<Handover>,
    pub(crate) last_change: Option<u64>,
    pub(crate) last_revision: Option<Revision>,
}

/// A tenure that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) tenure: Tenure,
    /// The moment before the claim was sent.
    pub(crate) began: Time,
    /// From here on nothing is answered any more; with a file: until another write is confirmed.
    pub(crate) right_until: Time,
    pub(crate) renew_at: Time,
    pub(crate) pending: Option<Pending>,
    /// The last renewal failed: the next one waits for its time.
    pub(crate) failing: bool,
    pub(crate) line: Line,
    /// Until then nothing is granted; `None` once it has passed.
    pub(crate) settles_at: Option<Time>,
    pub(crate) former: Option<Former>,
    pub(crate) longest_ttl: Millis,
    /// What the next write replaces.
    pub(crate) over: Over,
    /// Writes without an answer, which may be found to be stored.
    pub(crate) unconfirmed: Vec<Pending>,
    /// The Lease is being read.
    pub(crate) reading: bool,
    /// What a watch has told doesn't look like what this replica wrote: read the Lease.
    pub(crate) doubt: bool,
    /// So many writes in a row have found that somebody else had written.
    pub(crate) conflicts: u32,
    /// Streams that were closed while the right had lapsed.
    pub(crate) closed: Vec<StreamId>,
    renewed_at: Millis,
}

impl Active {
    /// The claim is stored.
    pub(crate) fn new(config: &Config, claim: &Claim, over: Over) -> Self {
        let began = claim.pending.sent;
        Self {
            tenure: claim.tenure,
            began,
            right_until: right(config, began),
            renew_at: began + config.renew_interval,
            pending: None,
            failing: false,
            line: Line::new(claim.tenure, claim.pending.ceiling),
            settles_at: Some(began + claim.settle_for),
            former: claim.former,
            longest_ttl: claim.longest_ttl,
            over,
            unconfirmed: Vec::new(),
            reading: false,
            doubt: false,
            conflicts: 0,
            closed: Vec::new(),
            renewed_at: claim.pending.renewed_at,
        }
    }

    /// Until the wait is over.
    pub(crate) fn settling(&self, now: Time) -> Millis {
        self.settles_at.map_or(Millis(0), |at| at.since(now))
    }

    /// Starts a renewal.
    pub(crate) fn renew(&mut self, config: &Config, write: WriteId, now: Time) -> Record {
        let ceiling = self.line.wanted_ceiling();
        let renewed_at = self.next_renewed_at(now);
        self.pending = Some(Pending { write, sent: now, ceiling, renewed_at });
        self.renew_at = now + config.renew_interval;
        Record::made(self.parts(config, ceiling, renewed_at))
    }

    /// Two writes of one millisecond still differ. Later than the truth by as much, which costs nobody anything.
    fn next_renewed_at(&mut self, now: Time) -> Millis {
        let next = now.since(self.began);
        // A file has one writer, who needs no such mark.
        let alone = self.over == Over::Anything;
        self.renewed_at = if alone || next > self.renewed_at { next } else { self.renewed_at + Millis(1) };
        self.renewed_at
    }

    /// A renewal is stored. With a Lease, a right that has ended stays ended: the caller has
    /// checked that it hasn't.
    pub(crate) fn renewed(&mut self, config: &Config, pending: Pending) {
        self.failing = false;
        self.right_until = self.right_until.max(right(config, pending.sent));
        self.line.raise(pending.ceiling);
        let right_until = self.right_until;
        self.unconfirmed.retain(|pending| right(config, pending.sent) > right_until);
    }

    /// A renewal isn't stored, but nobody else can be active: only the numbers aren't more than
    /// before.
    pub(crate) fn held(&mut self, config: &Config, pending: Pending) {
        self.failing = true;
        self.right_until = self.right_until.max(right(config, pending.sent));
    }

    /// Whether the right has lapsed. With a file it may come back: while this process has the lock,
    /// nobody else can have begun.
    pub(crate) fn lapsed(&self, now: Time) -> bool {
        self.right_until <= now
    }

    /// A renewal failed. Soon again, but not at once: a store that fails fast shouldn't be asked in a tight loop.
    pub(crate) fn retry_soon(&mut self, config: &Config, now: Time) {
        self.failing = true;
        self.renew_at = now + config.retry_interval();
    }

    /// Somebody else writes all the time: the next write waits a little.
    pub(crate) fn raced(&self) -> bool {
        self.conflicts > CONFLICTS_AT_ONCE
    }

    /// Nothing is under way.
    pub(crate) fn idle(&self) -> bool {
        self.pending.is_none() && !self.reading
    }

    /// The last record of the tenure. `last` is what is known of its last change, if it had settled.
    pub(crate) fn release(&mut self, config: &Config, last: Last, now: Time) -> Record {
        let ended_at = Some(now.since(self.began));
        let Last { handover, last_change, last_revision } = last;
        let (ceiling, renewed_at) = (self.line.wanted_ceiling(), self.next_renewed_at(now));
        let parts = self.parts(config, ceiling, renewed_at);
        Record::made(RecordParts { ended_at, last_change, handover, last_revision, ..parts })
    }

    fn parts(&self, config: &Config, ceiling: u64, renewed_at: Millis) -> RecordParts {
        RecordParts {
            tenure: self.tenure,
            ceiling,
            duration: config.duration,
            margin: config.margin,
            renewed_at,
            ended_at: None,
            longest_ttl: self.longest_ttl,
            last_change: None,
            handover: None,
            last_revision: None,
        }
    }

    /// When something has to be done next, candidacies aside.
    pub(crate) fn next_deadline(&self, now: Time, may_lapse: bool) -> Option<Time> {
        let renewal = self.idle().then_some(self.renew_at);
        if self.lapsed(now) {
            return renewal;
        }
        let end = (!may_lapse).then_some(self.right_until);
        renewal.into_iter().chain(end).chain(self.settles_at).min()
    }
}

/// What a write that was sent then is good for.
pub(crate) fn right(config: &Config, sent: Time) -> Time {
    sent + (config.duration - config.margin)
}
