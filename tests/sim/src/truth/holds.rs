//! Holds: for how long no election may be granted, by what its workers asked for. Times are the
//! simulation's.

use super::{Fact, View};
use crate::clock::{FASTEST, SLOWEST, TRUE_RATE};
use leasehold_core::{
    ChangeReason, ElectionName, Enrolment, Event, FencingToken, Input, Millis, Output, TenureEnd, Time,
};
use std::collections::BTreeMap;

/// Each replica counts whole milliseconds.
const ROUNDING: Millis = Millis(20);

/// What the last grant of an election asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    token: FencingToken,
    /// Until then the election isn't granted, by the fastest clock.
    pub(crate) until: Time,
    /// A tenure has begun that knows it only from the leader's ticket, which hasn't come.
    pub(crate) forgotten: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// What each candidacy has asked for.
    asked: BTreeMap<Enrolment, Millis>,
    last: BTreeMap<ElectionName, Hold>,
    /// It is over by then, by the slowest clock, and whatever was in between.
    over: BTreeMap<ElectionName, Time>,
    /// When a tenure was known to last.
    lasted: Time,
}

impl Holds {
    pub(crate) fn get(&self, election: &ElectionName) -> Option<Hold> {
        self.last.get(election).copied()
    }

    /// Whether the election may be on hold.
    pub(crate) fn may_last(&self, election: &ElectionName, now: Time) -> bool {
        self.over.get(election).is_some_and(|over| *over > now)
    }

    /// Something was said by this replica.
    pub(super) fn note(&mut self, now: Time, view: &View, fact: &Fact<'_>) {
        let Fact::Said(output) = fact else { return };
        match output {
            Output::Event { event: Event::Enrolled { enrolment, .. }, .. } => {
                if let Some(Input::Campaign { entry, .. }) = &view.input {
                    self.asked.entry(*enrolment).or_insert(entry.hold);
                }
            }
            Output::TenureBegan { .. } => {
                // What was left counts from here: after an orderly end as of that end, otherwise as
                // of the leader's last KeepAlive.
                let longest = view.found.as_ref().map_or(Millis(0), |record| record.longest_ttl);
                let gap = now.since(self.lasted) + longest.with_drift() + Millis(2000);
                self.over.values_mut().for_each(|over| *over = *over + gap);
                if !view.handed_over {
                    self.last.values_mut().for_each(|hold| hold.forgotten = true);
                }
            }
            Output::RightUntil(_) if view.tenure.is_some() => self.lasted = now,
            Output::TenureEnded { why: TenureEnd::Shutdown | TenureEnd::Behind, .. } => self.lasted = now,
            Output::Changed(change) => {
                let Some(leader) = &change.leader else { return };
                match change.reason {
                    ChangeReason::Elected => {
                        let owner = view.owners.get(&leader.token);
                        let hold = owner.and_then(|owner| self.asked.get(owner)).copied().unwrap_or_default();
                        self.granted(now, &change.election, leader.token, hold);
                    }
                    ChangeReason::Restored => {
                        let held = self.last.get_mut(&change.election).filter(|hold| hold.token == leader.token);
                        held.into_iter().for_each(|hold| hold.forgotten = false);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn granted(&mut self, now: Time, election: &ElectionName, token: FencingToken, hold: Millis) {
        if hold == Millis(0) {
            self.last.remove(election);
            return;
        }
        let least = Millis(hold.0 * TRUE_RATE / FASTEST);
        let until = now + (least - ROUNDING);
        self.last.insert(election.clone(), Hold { token, until, forgotten: false });
        let over = self.over.entry(election.clone()).or_default();
        *over = (now + Millis(hold.0 * TRUE_RATE / SLOWEST) + Millis(2000)).max(*over);
    }
}
