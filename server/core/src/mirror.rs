//! The mirror: what a standby knows of the active replica's candidacies, so that an orderly end
//! costs nobody anything.
//!
//! The active replica counts each change of state of a leased candidacy. A release names the last
//! number of its tenure. A standby whose mirror has reached that number knows everything.

use crate::lawful::{Unlawful, lawful, time};
use crate::{Carried, ChangeNumber, ElectionName, Enrolment, Handover, Held, Millis, Record, Tenure};
use std::collections::BTreeMap;

lawful! {
    /// Some changes of state, taken together. It reads like its [parts](BatchParts), and can't be
    /// changed: each batch is lawful.
    MirrorBatch(BatchParts)
}

/// What a batch says, lawful or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchParts {
    /// Whose.
    pub tenure: Tenure,
    /// The number of the last change before these.
    pub after: ChangeNumber,
    /// The number of the last one of these.
    pub number: ChangeNumber,
    /// What is there, or has changed.
    pub there: Vec<Carried>,
    /// What is over.
    pub gone: Vec<Enrolment>,
    /// Elections whose hold began or ended.
    pub holds: Vec<Held>,
}

impl BatchParts {
    fn check(&self) -> Result<(), Unlawful> {
        self.there.iter().try_for_each(Carried::check)?;
        self.holds.iter().try_for_each(|held| time("hold", held.until))
    }
}

/// What a standby has been told of the active replica's candidacies.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    tenure: Tenure,
    number: ChangeNumber,
    /// A snapshot has come, and each change since.
    whole: bool,
    candidacies: BTreeMap<Enrolment, Carried>,
    holds: BTreeMap<ElectionName, Millis>,
}

impl Mirror {
    /// Begins anew with all that there is.
    pub(crate) fn replace(&mut self, MirrorBatch(snapshot): MirrorBatch) {
        let candidacies = snapshot.there.into_iter().map(|mirrored| (mirrored.ticket.enrolment, mirrored)).collect();
        let holds = snapshot.holds.into_iter().map(|held| (held.election, held.until)).collect();
        *self = Self { tenure: snapshot.tenure, number: snapshot.number, whole: true, candidacies, holds };
    }

    /// Adds changes to what is known. After a gap nothing counts until the next snapshot.
    pub(crate) fn apply(&mut self, MirrorBatch(batch): MirrorBatch) {
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

    /// Whether the mirror has all that the tenure of this record knew at its end.
    /// Rule `mirror-complete`.
    pub(crate) fn knows_the_end_of(&self, record: &Record) -> bool {
        self.whole && record.tenure == self.tenure && record.last_change == Some(self.number)
    }

    /// Everything that the next tenure must know. `None`: the mirror doesn't have it.
    pub(crate) fn handover(&self, record: &Record) -> Option<Handover> {
        if !self.knows_the_end_of(record) {
            return None;
        }
        // A record that tells of no end tells of no last change either.
        record.ended_at?;
        let held = |(election, until): (&ElectionName, &Millis)| Held { election: election.clone(), until: *until };
        let candidacies = self.candidacies.values().cloned().collect();
        Some(Handover { candidacies, holds: self.holds.iter().map(held).collect() })
    }

    /// How many candidacies are known.
    pub(crate) fn len(&self) -> usize {
        self.candidacies.len()
    }
}
