//! What a ticket stands for: a candidacy that is known, one that is over, or one of the former
//! tenure that is to be put back.
//!
//! The rules are those of docs/architecture.md, "What a restart or a failover does". The model
//! (docs/model.md) breaks a promise without each of them.

use super::{Candidacy, Elections, Leased, Place, State, Turn};
use crate::must::Must;
use crate::tenure::ActiveTenure;
use crate::{EndReason, Enrolment, StateVersion, Ticket, Time};

/// How a ticket came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// With a KeepAlive: it is a sign of life.
    KeepAlive,
    /// With any other call: it only names its candidacy, and extends nothing.
    Other,
}

/// What a ticket stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    Known(Enrolment),
    Over(EndReason),
}

impl Elections {
    /// Finds a ticket's candidacy. If it isn't known, but the former tenure had it and it may still
    /// be alive, it is put back.
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
        // A ticket that is no sign of life extends nothing. The former tenure may have accepted
        // later KeepAlives than the ticket tells of, but none that was sent after this tenure
        // began.
        let accepted_at = if via == Via::KeepAlive { turn.now } else { turn.active.began };
        let limits = &turn.config.limits;
        // A leader that is put back draws a number, and at the end of the line there may be none
        // left.
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

    /// Finds a ticket's candidacy without putting it back. `None`: nothing is known of it. Rule
    /// `current-over`: a ticket that this tenure has issued is never of that kind, as this tenure
    /// knows all that it has enrolled or put back until it ends.
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

    /// Answers that a candidacy that isn't known here is over. Rule `refused-remembered`: in the
    /// wait, a leader's ticket is remembered. An older KeepAlive of the same worker, from when it
    /// still waited, may have been held up, and must not put the candidacy back as a waiter
    /// afterwards: nobody would be there when it is granted.
    fn refuse(&mut self, turn: &Turn<'_>, ticket: &Ticket) -> Located {
        if !turn.settled() {
            self.refusals.remember(ticket);
        }
        Located::Over(EndReason::Expired)
    }

    /// A ticket of a candidacy that is known is only its name (rule `name-only`): a waiter's ticket
    /// doesn't demote a leader. Only a leader's ticket says more than is known, if its candidacy
    /// waits here. An older ticket, which was held up, has put it back as a waiter; its worker may
    /// believe that it leads.
    ///
    /// Rule `leader-never-waits`: such a worker is never answered that it waits. It could take that
    /// answer for a sign of life, and lead on beside the one who is granted here. So the candidacy
    /// is put back as the leader, or it ends, and its older tickets are worth nothing any more.
    fn promote(&mut self, turn: &mut Turn<'_>, id: Enrolment, ticket: &Ticket) -> Located {
        let waits = self.candidacies.get(&id).must().is_some_and(|c| matches!(c.state, State::Waiting { .. }));
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

    /// What became of a candidacy after `install`: only a leader with a higher token can have ended
    /// it.
    fn known_or_over(&self, id: Enrolment) -> Located {
        if self.candidacies.contains_key(&id) { Located::Known(id) } else { Located::Over(EndReason::Overtaken) }
    }

    /// A worker resigns with a ticket whose candidacy isn't known here. Rule `ends-remembered`: a
    /// KeepAlive that it has sent before, and that comes late, must not put the candidacy back.
    pub(super) fn remember_resigned(&mut self, turn: &Turn<'_>, id: Enrolment) {
        // A candidacy that was enrolled by a later tenure can't be put back anyway. Its number may
        // still be drawn here, for somebody else: numbers go back when a record was restored and
        // the clock set back.
        if id.0 < turn.active.tenure.0 {
            self.ends.remember(id, EndReason::Resigned, turn.active.tenure);
        }
    }
}

/// Whether a candidacy that isn't known here may be put back by this ticket. Rule `after-wait`:
/// after the wait others may have been granted, so nobody is put back. A ticket with numbers of
/// this tenure or above is none of a former tenure.
fn may_be_put_back(turn: &Turn<'_>, ticket: &Ticket) -> bool {
    let tenure = turn.active.tenure.0;
    !turn.settled() && ticket.highest() < tenure && recent(turn, ticket)
}

/// Rule `recency`: a leader's ticket is put back only if its leader was still alive when the right
/// of the former tenure ended. Otherwise that tenure may have seen it run out, and have granted
/// somebody else since. A waiter's ticket may be of any age: it makes no second leader.
fn recent(turn: &Turn<'_>, ticket: &Ticket) -> bool {
    ticket.token.is_none()
        || turn.active.former.is_some_and(|former| {
            ticket.tenure == former.tenure && ticket.accepted_at + ticket.ttl.with_drift() > former.right_ended
        })
}

impl Candidacy {
    /// Whether this ticket names this candidacy. Numbers repeat when the record was lost and the
    /// clock is behind. Then a ticket from before the loss has the number of somebody else's
    /// candidacy, but not its other fields.
    fn is_named_by(&self, ticket: &Ticket) -> bool {
        let same =
            (&self.election, &self.candidate, &self.subject) == (&ticket.election, &ticket.candidate, &ticket.subject);
        same && self.lease.is_some_and(|lease| lease.ttl == ticket.ttl)
    }

    /// A waiting candidacy from a ticket.
    pub(super) fn restored(ticket: &Ticket, accepted_at: Time, active: &ActiveTenure) -> Self {
        Self {
            id: ticket.enrolment,
            place: Place { at: ticket.place, id: ticket.enrolment },
            election: ticket.election.clone(),
            candidate: ticket.candidate.clone(),
            subject: ticket.subject.clone(),
            pod: ticket.pod.clone(),
            value: ticket.value.clone(),
            lease: Some(Leased { ttl: ticket.ttl, accepted_at }),
            state: State::Waiting { give_up_at: None },
            stream: None,
            // Rule `higher-version`: the number of this tenure lies above everything that was said
            // of the candidacy before.
            version: StateVersion(active.tenure.0),
            attempt: None,
            hold: ticket.hold,
            held_until: None,
            accepted_in: None,
        }
    }
}
