//! What a ticket stands for: a candidacy that is known, one that is over, or one of the former tenure to be put back.
//!
//! The rules are those of docs/architecture.md, "Failover"; a model checker broke the protocol without each of them.

use super::{Candidacy, Elections, Leased, State, Turn};
use crate::tenure::ActiveTenure;
use crate::{EndReason, Enrolment, StateVersion, Ticket, Time};

/// How a ticket came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// It is a sign of life.
    KeepAlive,
    /// It is only a name: nothing is extended.
    Other,
}

/// What a ticket stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    Known(Enrolment),
    Over(EndReason),
}

impl Elections {
    /// Finds a ticket's candidacy, and puts it back if it belongs to the former tenure and may still be alive.
    pub(super) fn locate(&mut self, turn: &mut Turn<'_>, ticket: &Ticket, via: Via) -> Located {
        if let Some(over) = self.find(turn, ticket) {
            if let Located::Known(id) = over {
                return self.promote(turn, id, ticket);
            }
            return over;
        }
        if !may_be_put_back(turn, ticket) || self.ends.forgot() || self.refusals.bar(ticket) {
            return self.refuse(turn, ticket);
        }
        // Whatever the former tenure accepted was sent before this one began.
        let accepted_at = if via == Via::KeepAlive { turn.now } else { turn.active.began };
        let limits = &turn.config.limits;
        // At the end of all numbers a tenure may begin without any to spare.
        let room = turn.active.line.has_room()
            && self.candidacies.len() < limits.candidacies
            && self.bytes.saturating_add(ticket.bytes()) <= limits.bytes
            && (self.by_name.contains_key(&ticket.election) || !self.has_no_room_for_another_election(turn));
        let id = ticket.enrolment;
        if !room || accepted_at + ticket.ttl.with_drift() <= turn.now {
            return self.refuse(turn, ticket);
        }
        self.insert(Candidacy::restored(ticket, accepted_at, turn.active));
        if let Some(token) = ticket.token {
            self.install(turn, id, token, ticket.hold);
        }
        self.known_or_over(id)
    }

    /// Finds a ticket's candidacy without putting it back. `None`: nothing is known of it.
    pub(super) fn find(&self, turn: &Turn<'_>, ticket: &Ticket) -> Option<Located> {
        let id = ticket.enrolment;
        if let Some(candidacy) = self.candidacies.get(&id) {
            let known = candidacy.is_named_by(ticket);
            return Some(if known { Located::Known(id) } else { Located::Over(EndReason::Expired) });
        }
        if let Some(reason) = self.ends.reason(id) {
            return Some(Located::Over(reason));
        }
        (ticket.issued == turn.active.tenure).then_some(Located::Over(EndReason::Expired))
    }

    /// A worker is told that its candidacy is over, which isn't known here. If it led, an older KeepAlive of its that comes late mustn't put
    /// it back as a waiter.
    fn refuse(&mut self, turn: &Turn<'_>, ticket: &Ticket) -> Located {
        if !turn.settled() {
            self.refusals.remember(ticket);
        }
        Located::Over(EndReason::Expired)
    }

    /// A candidacy that was put back as a waiter, by an older ticket, turns out to have been the leader:
    /// its worker may believe that it still is. A leader's ticket is never answered as a waiter's, or a
    /// worker that takes the answer for a sign of life leads on beside another: the candidacy is put
    /// back as the leader, or it ends, and its older tickets are worth nothing any more.
    fn promote(&mut self, turn: &mut Turn<'_>, id: Enrolment, ticket: &Ticket) -> Located {
        let waits = self.candidacies.get(&id).is_some_and(|c| matches!(c.state, State::Waiting { .. }));
        let Some(token) = ticket.token.filter(|_| waits) else { return Located::Known(id) };
        if !turn.settled() && ticket.tenure != turn.active.tenure && recent(turn, ticket) {
            self.install(turn, id, token, ticket.hold);
            return self.known_or_over(id);
        }
        if let Some(name) = self.end(turn, id, EndReason::Expired) {
            self.grant_next(turn, &name);
        }
        Located::Over(EndReason::Expired)
    }

    /// After something was installed: only a leader with a higher token can have ended it.
    fn known_or_over(&self, id: Enrolment) -> Located {
        if self.candidacies.contains_key(&id) { Located::Known(id) } else { Located::Over(EndReason::Overtaken) }
    }

    /// A worker resigns whose candidacy isn't known here: a KeepAlive of its that comes late mustn't put it back.
    pub(super) fn remember_resigned(&mut self, turn: &Turn<'_>, id: Enrolment) {
        // One of a later tenure can't be put back anyway, and its number may be drawn here: numbers go back when a record was restored
        // and the clock set back.
        if id.0 < turn.active.tenure.0 {
            self.ends.remember(id, EndReason::Resigned, turn.active.tenure);
        }
    }
}

/// Whether a candidacy that isn't known here may be put back by this ticket.
fn may_be_put_back(turn: &Turn<'_>, ticket: &Ticket) -> bool {
    let tenure = turn.active.tenure.0;
    !turn.settled() && ticket.highest() < tenure && recent(turn, ticket)
}

/// The rule of recency: a leader's ticket can be older than what the former tenure last knew. Unless it was still alive when
/// that tenure's right ended, somebody else may have been granted since.
fn recent(turn: &Turn<'_>, ticket: &Ticket) -> bool {
    ticket.token.is_none()
        || turn.active.former.is_some_and(|former| {
            ticket.tenure == former.tenure && ticket.accepted_at + ticket.ttl.with_drift() > former.right_ended
        })
}

impl Candidacy {
    /// Whether it is this ticket's. Numbers can repeat when the record was lost and the clock is behind:
    /// then a ticket from before has the number of somebody else.
    fn is_named_by(&self, ticket: &Ticket) -> bool {
        let same =
            (&self.election, &self.candidate, &self.subject) == (&ticket.election, &ticket.candidate, &ticket.subject);
        same && self.lease.is_some_and(|lease| lease.ttl == ticket.ttl)
    }

    /// A waiting candidacy from a ticket.
    pub(super) fn restored(ticket: &Ticket, accepted_at: Time, active: &ActiveTenure) -> Self {
        Self {
            id: ticket.enrolment,
            place: ticket.place,
            election: ticket.election.clone(),
            candidate: ticket.candidate.clone(),
            subject: ticket.subject.clone(),
            value: ticket.value.clone(),
            lease: Some(Leased { ttl: ticket.ttl, accepted_at }),
            state: State::Waiting { give_up_at: None },
            stream: None,
            // Above everything that was said of it before.
            version: StateVersion(active.tenure.0),
            attempt: None,
            hold: ticket.hold,
            held_until: None,
            accepted_in: None,
        }
    }
}
