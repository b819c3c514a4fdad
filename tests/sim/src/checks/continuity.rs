//! A failover shorter than the remaining TTL changes no leased leader that the last tenure heard;
//! an orderly one changes nothing.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Known, Truth};
use leasehold_core::{
    ChangeReason, ElectionName, EndReason, Enrolment, Event, FencingToken, Input, Kept, Millis, Output, Reply, Ticket,
    Time,
};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "continuity";

#[derive(Debug, Default)]
pub(crate) struct Continuity {
    /// What the tenure that begins must know.
    handed_over: Vec<(Enrolment, Option<FencingToken>)>,
    /// The last grant of each election. An older one that leads again was put back by a ticket that
    /// an honest worker would not have used any more.
    last: BTreeMap<ElectionName, FencingToken>,
}

/// Whether a leader's ticket must be put back: it led when the tenure before ended, its time
/// outlasts that tenure's right, and nothing has happened to it since.
fn must_stay(truth: &Truth, last: &BTreeMap<ElectionName, FencingToken>, ticket: &Ticket) -> bool {
    let (Some(record), Some(token)) = (&truth.found, ticket.token) else { return false };
    if last.get(&ticket.election) != Some(&token) {
        return false;
    }
    let led = |known: &Known| known.token == ticket.token && !known.draining && known.leased;
    let right_ended = record.ended_at.unwrap_or_else(|| record.right_ended());
    !truth.settled
        && !truth.refused.contains(&ticket.enrolment)
        && !truth.outdated
        && record.tenure == ticket.tenure
        && truth.former.tenure == ticket.tenure
        && truth.former.candidacies.get(&ticket.enrolment).is_some_and(led)
        && truth.ended.get(&ticket.enrolment).is_none_or(|reason| *reason == EndReason::Overtaken)
        && ticket.accepted_at + ticket.ttl.with_drift() > right_ended
}

impl Guarantee for Continuity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Said(Output::TenureBegan { tenure, settles_in, .. }) => {
                self.handed_over.clear();
                if truth.handed_over {
                    wrong(*settles_in > Millis(0), || {
                        format!("everything was handed over, and it waits {settles_in}")
                    })?;
                    let leased = truth.former.candidacies.iter().filter(|(_, known)| known.leased);
                    self.handed_over = leased.map(|(id, known)| (*id, known.token)).collect();
                }
                let below = self.handed_over.iter().all(|(id, _)| id.0 < tenure.0);
                wrong(!below, || format!("tenure {tenure} begins below what it takes over"))?;
            }
            // The process was told to stop meanwhile.
            Fact::Said(Output::TenureEnded { .. }) => self.handed_over.clear(),
            Fact::SaidAll => {
                for (id, token) in self.handed_over.drain(..) {
                    let known = truth.candidacies.get(&id).map(|known| known.token);
                    // In the moment of the handover its time may have run out, or its turn may have
                    // come.
                    let granted = token.is_none() && known.is_some();
                    let wrongly = known != Some(token) && !granted && !truth.ended.contains_key(&id);
                    wrong(wrongly, || format!("{id} with {token:?} was handed over, and is {known:?}"))?;
                }
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. }) => {
                for (ticket, kept) in truth.tickets().iter().zip(kept) {
                    let leads = match kept {
                        Kept::Leading { ticket: new, .. } | Kept::Draining { ticket: new, .. } => {
                            new.token == ticket.token
                        }
                        Kept::Waiting { .. } | Kept::Ended(_) => false,
                    };
                    wrong(must_stay(truth, &self.last, ticket) && !leads, || {
                        format!("{ticket:?} led, and is told {kept:?}")
                    })?;
                }
            }
            Fact::Said(Output::Changed(change)) if change.reason == ChangeReason::Elected => {
                self.last.insert(change.election.clone(), FencingToken(change.revision.0));
            }
            Fact::Said(Output::Ended(ended)) if ended.reason == EndReason::Overtaken && ended.token.is_some() => {
                let last =
                    truth.former.candidacies.get(&ended.enrolment).is_some_and(|known| known.token == ended.token);
                let newest = self.last.get(&ended.election) == ended.token.as_ref();
                wrong(newest && last && !truth.outdated, || format!("{ended:?} led when the tenure before ended"))?;
            }
            Fact::Said(Output::Event { stream, event: Event::Ended(reason), .. }) => {
                if let Some(Input::Reopen { stream: asked, ticket }) = &truth.input {
                    // It isn't a sign of life: what the tenure before accepted was sent before this
                    // one began.
                    let alive = truth.age() < ticket.ttl.with_drift();
                    let refused = asked == stream && alive && must_stay(truth, &self.last, ticket);
                    wrong(refused, || format!("{ticket:?} led, and is told {reason:?}"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
