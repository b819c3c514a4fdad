//! Remembers why candidacies ended, so that a late KeepAlive is told.

use crate::{EndReason, Enrolment, Tenure};
use std::collections::{BTreeMap, VecDeque};

/// The reasons of the last so many ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    limit: usize,
    reasons: BTreeMap<Enrolment, EndReason>,
    order: VecDeque<Enrolment>,
    /// Whether the end of a candidacy that an earlier tenure enrolled had to be forgotten.
    forgot: bool,
}

impl Ends {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Remembers an end. `tenure` is the one that is under way.
    pub(super) fn remember(&mut self, id: Enrolment, reason: EndReason, tenure: Tenure) {
        if self.reasons.insert(id, reason).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.reasons.remove(&oldest);
            // A candidacy that this tenure has enrolled can't come back: all its tickets name this
            // tenure, and are over when they are unknown.
            self.forgot |= oldest.0 < tenure.0;
        }
    }

    pub(super) fn reason(&self, id: Enrolment) -> Option<EndReason> {
        self.reasons.get(&id).copied()
    }

    /// Rule `ends-remembered`: whether a candidacy that isn't known here may have ended in this
    /// tenure. Once such an end was forgotten, it may be that of any candidacy.
    pub(super) fn forgot(&self) -> bool {
        self.forgot
    }

    pub(super) fn check(&self) {
        assert_eq!(self.reasons.len(), self.order.len());
        assert!(self.order.len() <= self.limit);
    }
}
