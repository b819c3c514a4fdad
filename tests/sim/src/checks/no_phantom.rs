//! Whoever is told that it leads is alive and holds the grant.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{
    Ask, ChangeReason, ElectionName, EndReason, Event, FencingToken, Input, Kept, Output, Reject, Reply, Revision,
    Ticket, Time,
};
use std::collections::BTreeSet;

pub(crate) const NAME: &str = "no-phantom";

#[derive(Debug, Default)]
pub(crate) struct NoPhantom {
    /// Told so, before observers were told of the grant.
    early: Vec<(ElectionName, FencingToken)>,
    /// The tokens of leaders whose time has run out, in any tenure: somebody else may have been
    /// granted since.
    ran_out: BTreeSet<FencingToken>,
    /// The last number that observers were told, and what it was when the tenure began.
    last: Revision,
    last_before: Revision,
}

impl NoPhantom {
    /// Nobody is put back as a waiter who was told that its lead is over.
    fn is_there(truth: &Truth) -> Result<(), String> {
        let tickets = truth.tickets();
        let comes_back =
            |ticket: &&Ticket| truth.was_refused(ticket) && !truth.candidacies.contains_key(&ticket.enrolment);
        let refused = tickets.iter().find(comes_back);
        wrong(refused.is_some(), || format!("{refused:?} is put back, and its worker was told that it is over"))
    }

    fn alive(truth: &Truth, ticket: Option<&Ticket>) -> Result<(), String> {
        let Some(ticket) = ticket else { return Ok(()) };
        let ended = truth.ended.get(&ticket.enrolment);
        wrong(ended.is_some(), || format!("{ticket:?} is told that it leads, and has ended: {ended:?}"))?;
        // The ticket of a drain that was handed over counts in another tenure.
        let until = truth.began + ticket.accepted_at + ticket.ttl.with_drift();
        let over = Some(ticket.tenure) == truth.tenure && until <= truth.now;
        wrong(over, || format!("{ticket:?} is told that it leads; its time was over at {until:?}"))
    }
}

impl Guarantee for NoPhantom {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Said(Output::Event { event: Event::Elected(lead), .. }) => {
                Self::alive(truth, lead.ticket.as_ref())?;
                if truth.leaders.get(&lead.election) != Some(&lead.token) {
                    self.early.push((lead.election.clone(), lead.token));
                }
            }
            Fact::Fell => self.last = Revision(0),
            Fact::Said(Output::TenureBegan { .. }) => self.last_before = self.last,
            Fact::Said(Output::Ended(ended)) if ended.token.is_some() && truth.tenure.is_some() => {
                let by_itself =
                    matches!(truth.input, Some(Input::Call { ask: Ask::Resign(_), .. } | Input::StreamClosed { .. }));
                if ended.reason == EndReason::Expired || (ended.reason == EndReason::SteppedDown && !by_itself) {
                    self.ran_out.extend(ended.token);
                }
            }
            Fact::Said(Output::Changed(change)) => {
                let token = change.leader.as_ref().map(|leader| leader.token);
                if change.reason == ChangeReason::Restored {
                    let over = token.filter(|token| self.ran_out.contains(token));
                    wrong(over.is_some(), || format!("{change:?}: its time had run out before"))?;
                    // What says nothing of the last numbers says nothing of who was granted since.
                    // A file is trusted otherwise.
                    let older = truth.found.as_ref().is_some_and(|record| record.ceiling.0 <= self.last_before.0);
                    let outdated = older || (truth.with_lease && truth.outdated);
                    wrong(outdated, || format!("{change:?}: on the word of a record that somebody has put back"))?;
                }
                self.last = change.revision;
                self.early.retain(|early| (&early.0, Some(early.1)) != (&change.election, token));
            }
            Fact::Said(Output::Event { stream, event: Event::Enrolled { .. }, .. }) if matches!(&truth.input, Some(Input::Reopen { stream: asked, .. }) if asked == stream) =>
            {
                Self::is_there(truth)?;
            }
            Fact::Said(Output::Reply { reply: Err(Reject::NotLeading { .. }), .. }) => Self::is_there(truth)?,
            Fact::Said(Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. }) => {
                if !kept.iter().any(|kept| matches!(kept, Kept::Ended(_))) {
                    Self::is_there(truth)?;
                }
                for kept in kept {
                    if let Kept::Leading { ticket, .. } | Kept::Draining { ticket, .. } = kept {
                        Self::alive(truth, Some(ticket))?;
                        let leader = truth.leaders.get(&ticket.election).copied();
                        wrong(leader != ticket.token || leader.is_none(), || {
                            format!("{ticket:?} is told that it leads; {leader:?} does")
                        })?;
                    }
                }
            }
            Fact::SaidAll => {
                wrong(!self.early.is_empty(), || format!("told that they lead, and don't: {:?}", self.early))?
            }
            _ => {}
        }
        Ok(())
    }
}
