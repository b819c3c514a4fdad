//! Counts the changes of state of leased candidacies, and tells mirrors of them.

use super::{Elections, State};
use crate::tenure::ActiveTenure;
use crate::{ElectionName, Enrolment, MirrorBatch, Mirrored};
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
    pub(crate) fn take_news(&mut self, active: &ActiveTenure) -> MirrorBatch {
        let (after, number) = (self.changes.told, self.changes.number);
        self.changes.told = number;
        let holds = std::mem::take(&mut self.changes.holds);
        let holds = holds.iter().map(|name| self.mirrored_hold(active, name)).collect();
        let mut batch =
            MirrorBatch { tenure: active.tenure, after, number, there: Vec::new(), gone: Vec::new(), holds };
        for id in std::mem::take(&mut self.changes.changed) {
            match self.mirrored(active, id) {
                Some(mirrored) => batch.there.push(mirrored),
                None => batch.gone.push(id),
            }
        }
        batch
    }

    /// All that there is, for a new mirror. The others must have been told all news before.
    pub(crate) fn snapshot(&self, active: &ActiveTenure) -> MirrorBatch {
        let number = self.changes.number;
        let there = self.candidacies.keys().filter_map(|id| self.mirrored(active, *id)).collect();
        let holds = self.mirrored_holds(active);
        MirrorBatch { tenure: active.tenure, after: number, number, there, gone: Vec::new(), holds }
    }

    fn mirrored(&self, active: &ActiveTenure, id: Enrolment) -> Option<Mirrored> {
        let candidacy = self.candidacies.get(&id)?;
        let ticket = candidacy.ticket(active)?;
        let drains_until = match candidacy.state {
            State::Draining { until, .. } => Some(until.since(active.began)),
            State::Waiting { .. } | State::Leading { .. } => None,
        };
        Some(Mirrored { ticket, drains_until, attempt: candidacy.attempt.clone() })
    }
}
