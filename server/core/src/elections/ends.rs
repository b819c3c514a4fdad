//! Remembers why candidacies ended, so that a late KeepAlive is told.

use crate::{EndReason, Enrolment};
use std::collections::{BTreeMap, VecDeque};

/// The reasons of the last so many ends.
#[derive(Debug)]
pub(super) struct Ends {
    limit: usize,
    reasons: BTreeMap<Enrolment, EndReason>,
    order: VecDeque<Enrolment>,
    /// A reason was forgotten for a newer one.
    forgot: bool,
}

impl Ends {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, reasons: BTreeMap::new(), order: VecDeque::new(), forgot: false }
    }

    pub(super) fn remember(&mut self, id: Enrolment, reason: EndReason) {
        if self.reasons.insert(id, reason).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.reasons.remove(&oldest);
            self.forgot = true;
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
