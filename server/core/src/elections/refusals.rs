//! Remembers whose leader's tickets were refused in the wait: its worker was told that the candidacy is over.

use crate::{Enrolment, Tenure, Ticket};
use std::collections::BTreeMap;

/// The candidacies of refused leaders, so many at most.
#[derive(Debug)]
pub(super) struct Refusals {
    limit: usize,
    /// The tenure of the latest ticket that was refused. No ticket demotes, so any waiter's ticket of that tenure is older.
    latest: BTreeMap<Enrolment, Tenure>,
}

impl Refusals {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, latest: BTreeMap::new() }
    }

    pub(super) fn remember(&mut self, ticket: &Ticket) {
        if ticket.token.is_none() {
            return;
        }
        let latest = self.latest.entry(ticket.enrolment).or_default();
        *latest = ticket.tenure.max(*latest);
        // Without its memory the worst is a grant to nobody, which runs out.
        if self.latest.len() > self.limit {
            self.latest.pop_first();
        }
    }

    /// Whether a candidacy waited by this ticket, and led by a later one that was refused. A later tenure may have put it back as a
    /// waiter since: that ticket is as good as any, and so is a leader's, of which the refused one may be an older version.
    pub(super) fn bar(&self, ticket: &Ticket) -> bool {
        let refused = self.latest.get(&ticket.enrolment);
        ticket.token.is_none() && refused.is_some_and(|refused| ticket.tenure <= *refused)
    }

    /// The wait is over: no ticket puts anything back any more.
    pub(super) fn clear(&mut self) {
        self.latest.clear();
    }
}
