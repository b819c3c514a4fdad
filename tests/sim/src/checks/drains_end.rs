//! A leader that was told to hand over is gone when it was told it would be: a drain is never
//! extended.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Enrolment, Event, Input, Kept, Millis, Output, Reply, Tenure, TenureEnd, Ticket, Time};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "drains-end";

#[derive(Debug, Default)]
pub(crate) struct DrainsEnd {
    /// Of each replica, by its clock.
    until: BTreeMap<(usize, Enrolment), Time>,
    /// What was left when a tenure ended in good order.
    left: BTreeMap<Tenure, BTreeMap<Enrolment, Millis>>,
}

impl DrainsEnd {
    fn told(&mut self, truth: &Truth, id: Enrolment, remaining: Millis) -> Result<(), String> {
        let now = truth.now;
        let until = *self.until.entry((truth.at, id)).or_insert(now + remaining);
        wrong(now + remaining > until, || format!("{id} has {remaining} left to drain; its end was {until:?}"))
    }

    /// With a ticket that is good for longer a drain would go on in the next tenure.
    fn ends_with_its_ticket(&self, truth: &Truth, ticket: &Ticket) -> Result<(), String> {
        let good_until = truth.began + ticket.accepted_at + ticket.ttl.with_drift();
        let until = self.until.get(&(truth.at, ticket.enrolment)).copied();
        let outlasts = Some(ticket.tenure) == truth.tenure && until.is_some_and(|until| good_until > until);
        wrong(outlasts, || format!("{ticket:?} is good until {good_until:?}; its drain ends at {until:?}"))
    }

    /// The drains of this replica.
    fn take(&mut self, at: usize) -> BTreeMap<Enrolment, Time> {
        let (mine, others) = std::mem::take(&mut self.until).into_iter().partition(|((whose, _), _)| *whose == at);
        self.until = others;
        let mine: BTreeMap<(usize, Enrolment), Time> = mine;
        mine.into_iter().map(|((_, id), until)| (id, until)).collect()
    }
}

impl Guarantee for DrainsEnd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Said(Output::TenureEnded { tenure, why: TenureEnd::Shutdown }) => {
                let until = self.take(truth.at);
                let left = until.into_iter().map(|(id, at)| (id, at.since(truth.now))).collect();
                self.left.insert(*tenure, left);
            }
            Fact::Crashed | Fact::Said(Output::TenureEnded { .. }) => _ = self.take(truth.at),
            Fact::Said(Output::TenureBegan { began, .. }) if truth.handed_over => {
                let left = self.left.remove(&truth.former.tenure).unwrap_or_default();
                self.until.extend(left.into_iter().map(|(id, left)| ((truth.at, id), *began + left)));
            }
            Fact::Said(Output::Event { stream, event: Event::Draining { remaining, .. }, .. }) => {
                let known = truth.candidacies.iter().find(|(_, known)| known.stream == Some(*stream));
                if let Some((id, _)) = known {
                    self.told(truth, *id, *remaining)?;
                }
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::SteppingDown { token, remaining }), .. }) => {
                if let Some(id) = truth.owners.get(token) {
                    self.told(truth, *id, *remaining)?;
                }
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. }) => {
                for kept in kept {
                    match kept {
                        Kept::Draining { ticket, remaining, .. } => {
                            self.told(truth, ticket.enrolment, *remaining)?;
                            self.ends_with_its_ticket(truth, ticket)?;
                        }
                        Kept::Leading { ticket, .. } => {
                            let drains = self.until.contains_key(&(truth.at, ticket.enrolment));
                            wrong(drains, || format!("{ticket:?} drains, and is kept alive"))?;
                        }
                        _ => {}
                    }
                }
            }
            // While its right has lapsed a server with a file ends nobody.
            Fact::SaidAll if !matches!(truth.input, Some(Input::Found { .. })) && truth.right_until > truth.now => {
                let mine = self.until.iter().filter(|((at, _), _)| *at == truth.at);
                let over = mine
                    .map(|((_, id), until)| (id, until))
                    .find(|(id, until)| **until <= truth.now && truth.candidacies.contains_key(id));
                wrong(over.is_some(), || format!("{over:?} should have ended"))?;
            }
            _ => {}
        }
        Ok(())
    }
}
