//! A leader that was told to hand over is gone when it was told it would be: a drain is never extended.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Enrolment, Event, Input, Kept, Millis, Output, Reply, TenureEnd, Time};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "drains-end";

#[derive(Debug, Default)]
pub(crate) struct DrainsEnd {
    until: BTreeMap<Enrolment, Time>,
    /// What was left when the tenure ended in good order.
    left: BTreeMap<Enrolment, Millis>,
}

impl DrainsEnd {
    fn told(&mut self, now: Time, id: Enrolment, remaining: Millis) -> Result<(), String> {
        let until = *self.until.entry(id).or_insert(now + remaining);
        wrong(now + remaining > until, || format!("{id} has {remaining} left to drain; its end was {until:?}"))
    }
}

impl Guarantee for DrainsEnd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Crashed | Fact::Said(Output::TenureEnded { why: TenureEnd::RightEnded, .. }) => self.until.clear(),
            Fact::Said(Output::TenureEnded { why: TenureEnd::Shutdown, .. }) => {
                self.left = std::mem::take(&mut self.until).into_iter().map(|(id, at)| (id, at.since(now))).collect();
            }
            Fact::Said(Output::TenureBegan { began, .. }) => {
                let began = Time(began.0 - truth.ahead.0);
                let left = std::mem::take(&mut self.left);
                if !truth.outdated && truth.found.as_ref().is_some_and(|record| record.handover.is_some()) {
                    self.until = left.into_iter().map(|(id, left)| (id, began + left)).collect();
                }
            }
            Fact::Said(Output::Event { stream, event: Event::Draining { remaining, .. } }) => {
                let known = truth.candidacies.iter().find(|(_, known)| known.stream == Some(*stream));
                if let Some((id, _)) = known {
                    self.told(now, *id, *remaining)?;
                }
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::SteppingDown { token, remaining }), .. }) => {
                if let Some(id) = truth.owners.get(token) {
                    self.told(now, *id, *remaining)?;
                }
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. }) => {
                for kept in kept {
                    match kept {
                        Kept::Draining { ticket, remaining } => self.told(now, ticket.enrolment, *remaining)?,
                        Kept::Leading(ticket) => {
                            let drains = self.until.contains_key(&ticket.enrolment);
                            wrong(drains, || format!("{ticket:?} drains, and is kept alive"))?;
                        }
                        _ => {}
                    }
                }
            }
            Fact::SaidAll if !matches!(truth.input, Some(Input::Found { .. })) => {
                let over = self.until.iter().find(|(id, at)| **at <= now && truth.candidacies.contains_key(id));
                wrong(over.is_some(), || format!("{over:?} should have ended"))?;
            }
            _ => {}
        }
        Ok(())
    }
}
