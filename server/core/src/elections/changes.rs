//! Counts the changes of state of leased candidacies, and tells mirrors of them.

use super::{Candidacy, Elections, State};
use crate::tenure::Active;
use crate::{BatchParts, Carried, ElectionName, Enrolment, MirrorBatch};
use std::collections::BTreeSet;

/// What has changed since mirrors were told.
#[derive(Debug, Default)]
pub(super) struct Changes {
    number: u64,
    told: u64,
    changed: BTreeSet<Enrolment>,
    holds: BTreeSet<ElectionName>,
}

impl Changes {
    /// A candidacy came, changed or ended. Its KeepAlives aren't changes: a handover gives everybody a full TTL.
    pub(super) fn note(&mut self, id: Enrolment) {
        self.number += 1;
        self.changed.insert(id);
    }

    /// A hold began or ended.
    pub(super) fn note_hold(&mut self, name: &ElectionName) {
        self.number += 1;
        self.holds.insert(name.clone());
    }
}

impl Elections {
    /// The number of the last change.
    pub(crate) fn last_change(&self) -> u64 {
        self.changes.number
    }

    /// Whether mirrors haven't been told of everything.
    pub(crate) fn has_news(&self) -> bool {
        self.changes.told < self.changes.number
    }

    /// Nobody mirrors: what has changed needn't be told.
    pub(crate) fn forget_news(&mut self) {
        self.changes.told = self.changes.number;
        self.changes.changed.clear();
        self.changes.holds.clear();
    }

    /// What mirrors haven't been told yet.
    pub(crate) fn take_news(&mut self, active: &Active) -> MirrorBatch {
        let (after, number) = (self.changes.told, self.changes.number);
        self.changes.told = number;
        let holds = std::mem::take(&mut self.changes.holds);
        let holds = holds.iter().map(|name| self.carried_hold(active, name)).collect();
        let mut batch = BatchParts { tenure: active.tenure, after, number, there: Vec::new(), gone: Vec::new(), holds };
        for id in std::mem::take(&mut self.changes.changed) {
            match self.candidacies.get(&id).and_then(|candidacy| candidacy.carried(active)) {
                Some(carried) => batch.there.push(carried),
                None => batch.gone.push(id),
            }
        }
        MirrorBatch::made(batch)
    }

    /// All that there is, for a new mirror. The others must have been told all news before.
    pub(crate) fn snapshot(&self, active: &Active) -> MirrorBatch {
        let number = self.changes.number;
        let there = self.candidacies.values().filter_map(|candidacy| candidacy.carried(active)).collect();
        let holds = self.carried_holds(active);
        MirrorBatch::made(BatchParts { tenure: active.tenure, after: number, number, there, gone: Vec::new(), holds })
    }
}

impl Candidacy {
    /// What others are told of it. `None`: it is bound to its stream.
    pub(super) fn carried(&self, active: &Active) -> Option<Carried> {
        let ticket = self.ticket(active)?;
        let drains_until = match self.state {
            State::Draining { until, .. } => Some(until.since(active.began)),
            State::Waiting { .. } | State::Leading { .. } => None,
        };
        Some(Carried { ticket, drains_until, attempt: self.attempt.clone() })
    }
}
