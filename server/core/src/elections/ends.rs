//! Remembers why candidacies ended, so that a late KeepAlive is told.

use crate::{EndReason, Enrolment, Tenure};
use std::collections::{BTreeMap, VecDeque};

/// The reasons of the last so many ends.
#[derive(Debug)]
pub(super) struct Ends {
    limit: usize,
    reasons: BTreeMap<Enrolment, EndReason>,
    order: VecDeque<Enrolment>,
    /// The reason of a candidacy of an earlier tenure was forgotten for a newer one.
    forgot: bool,
}

impl Ends {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, reasons: BTreeMap::new(), order: VecDeque::new(), forgot: false }
    }

    /// `tenure` is the one that is under way.
    pub(super) fn remember(&mut self, id: Enrolment, reason: EndReason, tenure: Tenure) {
        if self.reasons.insert(id, reason).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.reasons.remove(&oldest);
            // One of this tenure's own can't come back: its tickets name this tenure.
            self.forgot |= oldest.0 < tenure.0;
        }
    }

    pub(super) fn reason(&self, id: Enrolment) -> Option<EndReason> {
        self.reasons.get(&id).copied()
    }

    /// Whether a candidacy that isn't known here may have ended in this tenure: if one was forgotten, any may be the one.
    pub(super) fn forgot(&self) -> bool {
        self.forgot
    }

    pub(super) fn check(&self) {
        assert_eq!(self.reasons.len(), self.order.len());
        assert!(self.order.len() <= self.limit);
    }
}
