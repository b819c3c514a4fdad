//! What mirrors are told of the candidacies and the holds.

use super::{Candidacy, Elections, State};
use crate::tenure::ActiveTenure;
use crate::{BatchParts, Carried, ChangeNumber, MirrorBatch};

impl Elections {
    /// The number of the last change.
    pub(crate) fn last_change(&self) -> ChangeNumber {
        self.changes.number()
    }

    /// Whether mirrors haven't been told of everything.
    pub(crate) fn has_news(&self) -> bool {
        self.changes.has_news()
    }

    /// Nobody mirrors: what has changed needn't be told.
    pub(crate) fn forget_news(&mut self) {
        self.changes.take();
    }

    /// What mirrors haven't been told yet.
    pub(crate) fn take_news(&mut self, active: &ActiveTenure) -> MirrorBatch {
        let untold = self.changes.take();
        let holds = untold.holds.iter().map(|name| self.carried_hold(active, name)).collect();
        let (after, number) = (untold.after, self.last_change());
        let mut batch = BatchParts { tenure: active.tenure, after, number, there: Vec::new(), gone: Vec::new(), holds };
        for id in untold.candidacies {
            match self.candidacies.get(&id).and_then(|candidacy| candidacy.carried(active)) {
                Some(carried) => batch.there.push(carried),
                None => batch.gone.push(id),
            }
        }
        MirrorBatch::made(batch)
    }

    /// All that there is, for a new mirror. The others must have been told all news before.
    pub(crate) fn snapshot(&self, active: &ActiveTenure) -> MirrorBatch {
        let number = self.last_change();
        let there = self.candidacies.values().filter_map(|candidacy| candidacy.carried(active)).collect();
        let holds = self.carried_holds(active);
        MirrorBatch::made(BatchParts { tenure: active.tenure, after: number, number, there, gone: Vec::new(), holds })
    }
}

impl Candidacy {
    /// What others are told of it. `None`: it is bound to its stream.
    pub(super) fn carried(&self, active: &ActiveTenure) -> Option<Carried> {
        let ticket = self.ticket(active)?;
        let drains_until = match self.state {
            State::Draining { until, .. } => Some(until.since(active.began)),
            State::Waiting { .. } | State::Leading { .. } => None,
        };
        Some(Carried { ticket, drains_until, attempt: self.attempt.clone() })
    }
}
