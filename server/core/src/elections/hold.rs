//! Holds: for how long after a grant an election isn't granted again, whoever resigns or dies. What
//! runs once per tick on many machines needs it: the clocks of the machines differ by more than a
//! short job lasts.

use super::{Elections, Turn};
use crate::tenure::Active;
use crate::{ElectionName, Held, Millis, Time};
use std::collections::BTreeSet;

impl Elections {
    /// Nothing is granted before that moment, nor before the end of a hold that lasts longer.
    pub(super) fn put_on_hold(&mut self, name: &ElectionName, until: Time) {
        let election = self.by_name.entry(name.clone()).or_default();
        if election.held_until >= Some(until) {
            return;
        }
        if let Some(before) = election.held_until.replace(until) {
            self.holds.remove(&(before, name.clone()));
        }
        self.holds.insert((until, name.clone()));
        self.changes.note_hold(name);
    }

    /// The holds whose time has come end. Their elections can be granted.
    pub(super) fn end_holds(&mut self, turn: &Turn<'_>, touched: &mut BTreeSet<ElectionName>) {
        while let Some((at, _)) = self.holds.first()
            && *at <= turn.now
            && let Some((_, name)) = self.holds.pop_first()
        {
            if let Some(election) = self.by_name.get_mut(&name) {
                election.held_until = None;
            }
            self.changes.note_hold(&name);
            touched.insert(name);
        }
    }

    /// A hold as others are told of it.
    pub(super) fn carried_hold(&self, active: &Active, name: &ElectionName) -> Held {
        let until = self.by_name.get(name).and_then(|election| election.held_until);
        // One that ends in the tenure's first moment would look like none.
        let until = until.map_or(Millis(0), |until| until.since(active.began).max(Millis(1)));
        Held { election: name.clone(), until }
    }

    /// All holds, for a new mirror or the next tenure.
    pub(super) fn carried_holds(&self, active: &Active) -> Vec<Held> {
        self.holds.iter().map(|(_, name)| self.carried_hold(active, name)).collect()
    }

    /// How long an election is on hold.
    pub(super) fn hold_left(&self, name: &ElectionName, now: Time) -> Millis {
        let until = self.by_name.get(name).and_then(|election| election.held_until);
        until.map_or(Millis(0), |until| until.since(now))
    }
}
