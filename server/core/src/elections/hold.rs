//! Holds: for how long after a grant an election isn't granted again, whoever resigns or dies. A
//! job that runs once per tick on one of many machines needs it: the job may be over sooner than
//! the clocks of all machines have reached the tick.

use super::{Due, Elections, Turn};
use crate::must::Must;
use crate::tenure::ActiveTenure;
use crate::{ElectionName, Held, Millis, Time};
use std::collections::BTreeSet;

impl Elections {
    /// Puts an election on hold until that moment, or leaves it on a hold that lasts longer.
    pub(super) fn put_on_hold(&mut self, name: &ElectionName, until: Time) {
        let election = self.by_name.entry(name.clone()).or_default();
        if election.held_until >= Some(until) {
            return;
        }
        if let Some(before) = election.held_until.replace(until) {
            self.holds.remove(&Due { at: before, what: name.clone() });
        }
        self.holds.insert(Due { at: until, what: name.clone() });
        self.changes.note_hold(name);
    }

    /// Ends the holds whose time has come, and adds their elections to `touched`: the caller grants
    /// them.
    pub(super) fn end_holds(&mut self, turn: &Turn<'_>, touched: &mut BTreeSet<ElectionName>) {
        while self.holds.first().is_some_and(|due| due.at <= turn.now)
            && let Some(Due { what: name, .. }) = self.holds.pop_first()
        {
            if let Some(election) = self.by_name.get_mut(&name).must() {
                election.held_until = None;
            }
            self.changes.note_hold(&name);
            touched.insert(name);
        }
    }

    /// A hold as others are told of it.
    pub(super) fn carried_hold(&self, active: &ActiveTenure, name: &ElectionName) -> Held {
        let until = self.by_name.get(name).and_then(|election| election.held_until);
        // To a mirror 0 means that there is no hold. A hold that ends in the tenure's first moment
        // is told as one that ends a millisecond later.
        let until = until.map_or(Millis(0), |until| until.since(active.began).max(Millis(1)));
        Held { election: name.clone(), until }
    }

    /// All holds, for a new mirror or the next tenure.
    pub(super) fn carried_holds(&self, active: &ActiveTenure) -> Vec<Held> {
        self.holds.iter().map(|due| self.carried_hold(active, &due.what)).collect()
    }

    /// For how much longer an election is on hold.
    pub(super) fn hold_left(&self, name: &ElectionName, now: Time) -> Millis {
        let until = self.by_name.get(name).must().and_then(|election| election.held_until);
        until.map_or(Millis(0), |until| until.since(now))
    }
}
