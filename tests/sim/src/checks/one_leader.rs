//! At no moment do two leased candidacies of one election both lie between their grant and their
//! own deadline.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{
    ChangeReason, ElectionName, Event, FencingToken, Found, Millis, Output, Record, Tenure, Ticket, Time,
};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "one-leader";

/// What a worker with a lease believes, until its own deadline.
#[derive(Clone, Debug)]
struct Belief {
    election: ElectionName,
    token: FencingToken,
    until: Time,
}

#[derive(Debug, Default)]
pub(crate) struct OneLeader {
    beliefs: BTreeMap<usize, Belief>,
    /// The longest TTL that each tenure has stored: the next one waits for so long.
    waited_for: BTreeMap<Tenure, Millis>,
}

impl OneLeader {
    fn stored(&mut self, record: &Record) {
        let longest = self.waited_for.entry(record.tenure).or_default();
        *longest = record.longest_ttl.max(*longest);
        if self.waited_for.len() > 100 {
            self.waited_for.pop_first();
        }
    }

    /// Somebody else who leads this election now.
    fn other(&self, now: Time, election: &ElectionName, token: FencingToken) -> Option<(usize, &Belief)> {
        let rivals = self.beliefs.iter().map(|(worker, belief)| (*worker, belief));
        rivals.into_iter().find(|(_, b)| b.election == *election && b.token != token && b.until > now)
    }
}

impl Guarantee for OneLeader {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Doubts { worker } => {
                self.beliefs.remove(worker);
            }
            Fact::Believes { worker, election, token, until: Some(until) } => {
                let belief = Belief { election: (*election).clone(), token: *token, until: *until };
                self.beliefs.insert(*worker, belief);
                let rival = self.other(now, election, *token).filter(|_| *until > now);
                wrong(rival.is_some(), || format!("w{worker} leads {election} with {token}, and so does {rival:?}"))?;
            }
            Fact::Stored { found: Found::Record(record), by_fault: false } => self.stored(record),
            Fact::Applied { record: Some(record), .. } => self.stored(record),
            Fact::Said(Output::Event { event: Event::Elected(lead), .. }) => {
                let waited_for = truth.tenure.and_then(|tenure| self.waited_for.get(&tenure));
                let outlasts = |ticket: &&Ticket| waited_for.is_some_and(|longest| ticket.ttl > *longest);
                let longer = lead.ticket.as_ref().filter(outlasts);
                wrong(longer.is_some(), || format!("{longer:?} leads; the next tenure would wait {waited_for:?}"))?;
            }
            Fact::Said(Output::Changed(change)) if change.reason == ChangeReason::Elected => {
                let Some(leader) = change.leader.as_ref().filter(|leader| leader.leased) else { return Ok(()) };
                let rival = self.other(now, &change.election, leader.token);
                wrong(rival.is_some(), || {
                    format!(
                        "{} is granted {} with {} while {rival:?} leads",
                        leader.candidate, change.election, leader.token
                    )
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}
