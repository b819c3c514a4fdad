//! The mirror: what a standby knows of the active replica's candidacies, so that an orderly end costs nobody anything.
//!
//! The active replica counts every change of state of a leased candidacy. A release names the last number of its tenure; a
//! standby whose mirror has reached it knows everything.

use crate::{Attempt, Carried, ElectionName, Enrolment, Handover, HeldElection, Millis, Record, Tenure, Ticket};
use std::collections::BTreeMap;

/// A leased candidacy of the active replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// What it is.
    pub ticket: Ticket,
    /// When in the tenure its drain ends, if it was told to hand over.
    pub drains_until: Option<Millis>,
    /// The name of the entry that made it.
    pub attempt: Option<Attempt>,
}

/// An election of the active replica that is on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which one.
    pub election: ElectionName,
    /// When in the tenure the hold ends; zero: it isn't on hold any more.
    pub until: Millis,
}

/// Some changes of state, taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorBatch {
    /// Whose.
    pub tenure: Tenure,
    /// The number of the last change before these.
    pub after: u64,
    /// The number of the last one of these.
    pub number: u64,
    /// What is there, or has changed.
    pub there: Vec<Mirrored>,
    /// What is over.
    pub gone: Vec<Enrolment>,
    /// Elections whose hold began or ended.
    pub holds: Vec<Held>,
}

/// What a standby has been told.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    tenure: Tenure,
    number: u64,
    /// A gap would go unnoticed otherwise: nothing counts until a snapshot has come.
    whole: bool,
    candidacies: BTreeMap<Enrolment, Mirrored>,
    holds: BTreeMap<ElectionName, Millis>,
}

impl Mirror {
    /// Begins anew with all that there is.
    pub(crate) fn replace(&mut self, snapshot: MirrorBatch) {
        let candidacies = snapshot.there.into_iter().map(|mirrored| (mirrored.ticket.enrolment, mirrored)).collect();
        let holds = snapshot.holds.into_iter().map(|held| (held.election, held.until)).collect();
        *self = Self { tenure: snapshot.tenure, number: snapshot.number, whole: true, candidacies, holds };
    }

    /// Changes what is known. After a gap nothing is, until the next snapshot.
    pub(crate) fn apply(&mut self, batch: MirrorBatch) {
        if batch.tenure < self.tenure || (batch.tenure == self.tenure && batch.number <= self.number) {
            return;
        }
        self.whole &= batch.tenure == self.tenure && batch.after == self.number;
        if !self.whole {
            return;
        }
        self.number = batch.number;
        for enrolment in batch.gone {
            self.candidacies.remove(&enrolment);
        }
        for mirrored in batch.there {
            self.candidacies.insert(mirrored.ticket.enrolment, mirrored);
        }
        for Held { election, until } in batch.holds {
            if until == Millis(0) {
                self.holds.remove(&election);
            } else {
                self.holds.insert(election, until);
            }
        }
    }

    /// Whether this is all that the tenure knew when it ended like this.
    /// Rule `mirror-complete`.
    pub(crate) fn knows_the_end_of(&self, record: &Record) -> bool {
        self.whole && record.tenure == self.tenure && record.last_change == Some(self.number)
    }

    /// Everything that the next tenure must know, if this is all that the one that ended like this knew.
    pub(crate) fn handover(&self, record: &Record) -> Option<Handover> {
        if !self.knows_the_end_of(record) {
            return None;
        }
        let ended_at = record.ended_at?;
        // What that tenure can't have handed out comes from a replica that is broken: whatever else it told isn't believed either.
        let handed_out = |Mirrored { ticket, .. }: &Mirrored| ticket.highest() < record.ceiling;
        if !self.candidacies.values().all(handed_out) {
            return None;
        }
        let carried = |mirrored: &Mirrored| Carried {
            ticket: mirrored.ticket.clone(),
            drain_left: mirrored.drains_until.map(|until| until - ended_at),
            attempt: mirrored.attempt.clone(),
        };
        let held = |(election, until): (&ElectionName, &Millis)| {
            let (election, left) = (election.clone(), *until - ended_at);
            (left > Millis(0)).then_some(HeldElection { election, left })
        };
        let candidacies = self.candidacies.values().map(carried).collect();
        Some(Handover { candidacies, holds: self.holds.iter().filter_map(held).collect() })
    }

    /// How many candidacies are known.
    pub(crate) fn len(&self) -> usize {
        self.candidacies.len()
    }
}
