//! Live candidates are granted in the order of enrolment, over failovers as well.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{ChangeReason, EndReason, Kept, Output, Reply, Ticket, Time};

pub(crate) const NAME: &str = "fifo";

#[derive(Debug, Default)]
pub(crate) struct Fifo;

/// Whether a waiter's ticket must be put back: the tenure still waits, and nothing ended the
/// candidacy in it.
fn has_its_place(truth: &Truth, ticket: &Ticket) -> bool {
    let earlier = truth.tenure.is_some_and(|tenure| ticket.tenure < tenure && ticket.enrolment.0 < tenure.0);
    let over = truth.ended.contains_key(&ticket.enrolment) || truth.refused.contains(&ticket.enrolment);
    let over = over || truth.was_refused(ticket);
    !truth.settled && ticket.token.is_none() && earlier && !over
}

impl Guarantee for Fifo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Said(Output::Changed(change)) if change.reason == ChangeReason::Elected && !truth.heir => {
                let line = truth.line(&change.election);
                let first = line.first().map(|(_, known)| &known.name);
                let granted = change.leader.as_ref().map(|leader| &leader.candidate);
                wrong(first != granted, || {
                    format!("{} is granted to {granted:?}; the line is {line:?}", change.election)
                })
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. }) => {
                for (ticket, kept) in truth.tickets().iter().zip(kept) {
                    let refused = *kept == Kept::Ended(EndReason::Expired) && has_its_place(truth, ticket);
                    wrong(refused, || format!("{ticket:?} waited in the tenure before, and lost its place"))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
