//! A tenure: the right to be active with its deadline, the line of numbers, and the wait before the first grant.

use crate::number::{AHEAD_WHEN_LOST, HEADROOM, Line, NUMBER_LIMIT};
use crate::record::Former;
use crate::{Carried, Config, Found, Millis, Record, Tenure, Time, WriteId};

/// A write that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) write: WriteId,
    /// The moment before it was sent: what it grants counts from here.
    pub(crate) sent: Time,
    pub(crate) ceiling: u64,
}

/// What was read and decided before the first write of a tenure.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) tenure: Tenure,
    pub(crate) pending: Pending,
    settle_for: Millis,
    former: Option<Former>,
    longest_ttl: Millis,
    pub(crate) carried: Vec<Carried>,
}

impl Claim {
    /// Decides what the next tenure starts from. `longest` is the longest TTL that this process knows of, by its setting or by any
    /// record; `seen` is the highest number that it has seen.
    pub(crate) fn new(longest: Millis, found: Found, floor: u64, seen: u64, write: WriteId, now: Time) -> Self {
        let (found, floor) = match found {
            Found::Record(record) => (Ok(record), floor),
            Found::Fresh => (Err(Millis(0)), floor),
            Found::Lost => (Err(longest.with_drift()), floor.saturating_add(AHEAD_WHEN_LOST)),
        };
        let ceiling = found.as_ref().map_or(0, |record| record.ceiling);
        let tenure = Tenure(ceiling.max(floor).max(seen).clamp(1, NUMBER_LIMIT - 1));
        let pending = Pending { write, sent: now, ceiling: (tenure.0 + HEADROOM).min(NUMBER_LIMIT) };
        match found {
            // An older record than one that this process has seen was put in its place: it says nothing of the tenure
            // before this one.
            Ok(record) if record.ceiling < seen => Self {
                tenure,
                pending,
                settle_for: record.longest_ttl.max(longest).with_drift(),
                former: None,
                longest_ttl: record.longest_ttl.max(longest),
                carried: Vec::new(),
            },
            Ok(record) => Self {
                tenure,
                pending,
                settle_for: if record.handover.is_some() { Millis(0) } else { record.longest_ttl.with_drift() },
                former: Some(record.former()),
                longest_ttl: record.longest_ttl.max(longest),
                carried: record.handover.unwrap_or_default(),
            },
            Err(settle_for) => {
                Self { tenure, pending, settle_for, former: None, longest_ttl: longest, carried: Vec::new() }
            }
        }
    }

    /// The first record of the tenure.
    pub(crate) fn record(&self, config: &Config) -> Record {
        Record {
            tenure: self.tenure,
            ceiling: self.pending.ceiling,
            duration: config.duration,
            margin: config.margin,
            renewed_at: Millis(0),
            ended_at: None,
            longest_ttl: self.longest_ttl,
            handover: None,
        }
    }
}

/// A tenure that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) tenure: Tenure,
    /// The moment before the claim was sent.
    pub(crate) began: Time,
    /// From here on nothing is answered any more.
    pub(crate) right_until: Time,
    pub(crate) renew_at: Time,
    pub(crate) pending: Option<Pending>,
    /// The last renewal failed: the next one waits for its time.
    pub(crate) failing: bool,
    pub(crate) line: Line,
    /// Until then nothing is granted; `None` once it has passed.
    pub(crate) settles_at: Option<Time>,
    pub(crate) former: Option<Former>,
    longest_ttl: Millis,
}

impl Active {
    /// The claim is stored.
    pub(crate) fn new(config: &Config, claim: &Claim) -> Self {
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
        }
    }

    /// Until the wait is over.
    pub(crate) fn settling(&self, now: Time) -> Millis {
        self.settles_at.map_or(Millis(0), |at| at.since(now))
    }

    /// Starts a renewal.
    pub(crate) fn renew(&mut self, config: &Config, write: WriteId, now: Time) -> Record {
        let ceiling = self.line.wanted_ceiling();
        self.pending = Some(Pending { write, sent: now, ceiling });
        self.renew_at = now + config.renew_interval;
        self.record(config, ceiling, now)
    }

    /// A renewal came back. A right that has ended stays ended: the caller has checked that it hasn't.
    pub(crate) fn renewed(&mut self, config: &Config, pending: Pending, ok: bool, now: Time) {
        self.pending = None;
        self.failing = !ok;
        if ok {
            self.right_until = self.right_until.max(right(config, pending.sent));
            self.line.raise(pending.ceiling);
        } else {
            // Soon, but not at once: a store that fails fast shouldn't be asked in a tight loop.
            self.renew_at = now + Millis(config.renew_interval.0 / 5);
        }
    }

    /// The last record of the tenure.
    pub(crate) fn release(&self, config: &Config, handover: Option<Vec<Carried>>, now: Time) -> Record {
        let ended_at = Some(now.since(self.began));
        Record { ended_at, handover, ..self.record(config, self.line.wanted_ceiling(), now) }
    }

    fn record(&self, config: &Config, ceiling: u64, now: Time) -> Record {
        Record {
            tenure: self.tenure,
            ceiling,
            duration: config.duration,
            margin: config.margin,
            renewed_at: now.since(self.began),
            ended_at: None,
            longest_ttl: self.longest_ttl,
            handover: None,
        }
    }

    /// When something has to be done next, candidacies aside.
    pub(crate) fn next_deadline(&self) -> Time {
        let mut next = self.right_until;
        if self.pending.is_none() {
            next = next.min(self.renew_at);
        }
        self.settles_at.map_or(next, |at| next.min(at))
    }
}

/// What a write that was sent then is good for.
pub(crate) fn right(config: &Config, sent: Time) -> Time {
    sent + (config.duration - config.margin)
}
