//! Remembers which leaders' tickets were refused in the wait: their workers were told that their
//! candidacies are over (rule `refused-remembered`).

use crate::{Enrolment, Tenure, Ticket};
use std::collections::BTreeMap;

/// The candidacies of refused leaders, at most `limit` of them.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    limit: usize,
    /// For each candidacy the tenure of the latest leader's ticket that was refused. No ticket
    /// demotes, so the candidacy's tickets as a waiter in that tenure, or in one before it, are
    /// older than this one.
    latest: BTreeMap<Enrolment, Tenure>,
}

impl Refusals {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(super) fn remember(&mut self, ticket: &Ticket) {
        if ticket.token.is_none() {
            return;
        }
        let latest = self.latest.entry(ticket.enrolment).or_default();
        *latest = ticket.tenure.max(*latest);
        // What is forgotten here can be put back as a waiter. The worst that follows is a grant
        // that nobody hears of, which runs out.
        if self.latest.len() > self.limit {
            self.latest.pop_first();
        }
    }

    /// Whether this is a waiter's ticket that is older than a leader's ticket of the same
    /// candidacy, which was refused. A KeepAlive with it was held up on its way, and its worker has
    /// been told since that the candidacy is over. Two kinds of tickets aren't older for certain: a
    /// waiter's of a later tenure, which may have put the candidacy back as a waiter since, and a
    /// leader's, as the refused one may have been the one that was held up.
    pub(super) fn bar(&self, ticket: &Ticket) -> bool {
        let refused = self.latest.get(&ticket.enrolment);
        ticket.token.is_none() && refused.is_some_and(|refused| ticket.tenure <= *refused)
    }

    /// The wait is over: no ticket puts anything back any more.
    pub(super) fn clear(&mut self) {
        self.latest.clear();
    }
}
