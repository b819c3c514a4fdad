//! Counts the changes of state of leased candidacies, and remembers those that mirrors haven't been
//! told.

use crate::{ChangeNumber, ElectionName, Enrolment};
use std::collections::BTreeSet;

/// What has changed since mirrors were told.
#[derive(Debug, Default)]
pub(super) struct Changes {
    number: ChangeNumber,
    told: ChangeNumber,
    changed: BTreeSet<Enrolment>,
    holds: BTreeSet<ElectionName>,
}

/// What mirrors haven't been told yet.
#[derive(Debug)]
pub(super) struct Untold {
    /// The last change that they were told.
    pub(super) after: ChangeNumber,
    pub(super) candidacies: BTreeSet<Enrolment>,
    pub(super) holds: BTreeSet<ElectionName>,
}

impl Changes {
    /// A candidacy came, changed or ended. Its KeepAlives aren't changes, as a handover gives
    /// everybody a full TTL.
    pub(super) fn note(&mut self, id: Enrolment) {
        self.number.0 += 1;
        self.changed.insert(id);
    }

    /// A hold began or ended.
    pub(super) fn note_hold(&mut self, name: &ElectionName) {
        self.number.0 += 1;
        self.holds.insert(name.clone());
    }

    /// The last change.
    pub(super) fn number(&self) -> ChangeNumber {
        self.number
    }

    /// Whether mirrors haven't been told of everything.
    pub(super) fn has_news(&self) -> bool {
        self.told < self.number
    }

    /// Mirrors are told, or there are none.
    pub(super) fn take(&mut self) -> Untold {
        let Self { number, told, changed, holds } = self;
        let after = std::mem::replace(told, *number);
        Untold { after, candidacies: std::mem::take(changed), holds: std::mem::take(holds) }
    }
}
