//! What mirrors are told of the candidacies and the holds.

use super::{Elections, State};
use crate::tenure::ActiveTenure;
use crate::{ChangeNumber, Enrolment, MirrorBatch, Mirrored};

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
        let holds = untold.holds.iter().map(|name| self.mirrored_hold(active, name)).collect();
        let (after, number) = (untold.after.0, self.last_change().0);
        let mut batch =
            MirrorBatch { tenure: active.tenure, after, number, there: Vec::new(), gone: Vec::new(), holds };
        for id in untold.candidacies {
            match self.mirrored(active, id) {
                Some(mirrored) => batch.there.push(mirrored),
                None => batch.gone.push(id),
            }
        }
        batch
    }

    /// All that there is, for a new mirror. The others must have been told all news before.
    pub(crate) fn snapshot(&self, active: &ActiveTenure) -> MirrorBatch {
        let number = self.last_change().0;
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
