//! Answers to unary calls.

use super::ticket::{Located, Via};
use super::{Candidacy, Election, Elections, State, Turn};
use crate::must::Must;
use crate::{
    Ask, ChangeReason, ElectionName, ElectionState, EndReason, Enrolment, FencingToken, Kept, Millis, Reject, Reply,
    Revision, StateVersion, Status, Ticket, Value,
};
use std::ops::Bound;

impl Elections {
    /// Answers a call.
    pub(crate) fn answer(&mut self, turn: &mut Turn<'_>, ask: Ask) -> Result<Reply, Reject> {
        match ask {
            Ask::KeepAlive(tickets) => {
                Ok(Reply::KeptAlive(tickets.iter().map(|ticket| self.keep_alive(turn, ticket)).collect()))
            }
            Ask::Resign(ticket) => Ok(self.resign_by(turn, &ticket)),
            Ask::Proclaim(ticket, value) => self.proclaim(turn, &ticket, value),
            Ask::StepDown(name, only) => self.step_down(turn, &name, only),
            Ask::Get(name) => Ok(Reply::Election(state(turn, &name, self.by_name.get(&name)))),
            Ask::List { prefix, after, limit } => Ok(self.list(turn, &prefix, after.as_deref(), limit)),
            Ask::Verify(name, token) => self.verify(turn, &name, token),
            Ask::Status => Ok(Reply::Status(Box::new(self.status(turn)))),
        }
    }

    pub(crate) fn status(&self, turn: &Turn<'_>) -> Status {
        Status {
            tenure: Some(turn.active.tenure),
            age: turn.now.since(turn.active.began),
            settling: turn.active.settling(turn.now),
            elections: self.by_name.len(),
            candidacies: self.candidacies.len(),
            leaders: self.leaders,
            revision: Revision(turn.active.line.last()),
            mirrored: 0,
        }
    }

    fn keep_alive(&mut self, turn: &mut Turn<'_>, ticket: &Ticket) -> Kept {
        let id = match self.locate(turn, ticket, Via::KeepAlive) {
            Located::Known(id) => id,
            Located::Over(reason) => return Kept::Ended(reason),
        };
        let now = turn.now;
        self.update(id, |candidacy| {
            if let (false, Some(lease)) = (candidacy.drains(), &mut candidacy.lease) {
                lease.accepted_at = now;
            }
        });
        let candidacy = self.candidacies.get(&id).must();
        let Some((candidacy, ticket)) = candidacy.and_then(|c| Some((c, c.ticket(turn.active).must()?))) else {
            return Kept::Ended(EndReason::Expired);
        };
        let version = candidacy.version;
        match candidacy.state {
            State::Waiting { .. } => Kept::Waiting { ticket, version },
            State::Leading { .. } => Kept::Leading { ticket, version },
            State::Draining { until, .. } => Kept::Draining { ticket, version, remaining: until.since(now) },
        }
    }

    fn resign_by(&mut self, turn: &mut Turn<'_>, ticket: &Ticket) -> Reply {
        match self.find(turn, ticket) {
            Some(Located::Known(id)) => {
                let was_leading = self.resign(turn, id);
                Reply::Resigned { was_leading, already_ended: false }
            }
            over => {
                if over.is_none() {
                    self.remember_resigned(turn, ticket.enrolment);
                }
                Reply::Resigned { was_leading: false, already_ended: true }
            }
        }
    }

    fn proclaim(&mut self, turn: &mut Turn<'_>, ticket: &Ticket, value: Value) -> Result<Reply, Reject> {
        let election = ticket.election.clone();
        let id: Enrolment = match self.locate(turn, ticket, Via::Other) {
            Located::Known(id) => id,
            Located::Over(reason) => return Err(Reject::Ended { election, reason }),
        };
        if !turn.active.line.has_room() {
            return Err(Reject::NumbersLow);
        }
        let leads = self.candidacies.get(&id).must().filter(|candidacy| candidacy.token().is_some());
        let Some(candidacy) = leads else { return Err(Reject::NotLeading { election }) };
        let (before, after) = (candidacy.bytes(), candidacy.bytes_with(&value));
        self.afford(turn, before, after)?;
        let revision = turn.draw();
        self.update(id, |candidacy| (candidacy.value, candidacy.version) = (value, StateVersion(revision.0)));
        self.bytes = self.bytes - before + after;
        self.note(id);
        self.changed(turn, &election, revision, ChangeReason::Proclaimed);
        let ticket = self.candidacies.get(&id).must().and_then(|c| c.ticket(turn.active)).must();
        ticket.map(|ticket| Reply::Proclaimed { revision, ticket }).ok_or(Reject::NotLeading { election })
    }

    fn list(&self, turn: &Turn<'_>, prefix: &str, after: Option<&str>, limit: usize) -> Reply {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut matching = self
            .by_name
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(prefix));
        let elections = matching.by_ref().take(limit).map(|(name, e)| state(turn, name, Some(e))).collect();
        Reply::Elections { elections, more: matching.next().is_some() }
    }

    fn verify(&self, turn: &Turn<'_>, name: &ElectionName, token: FencingToken) -> Result<Reply, Reject> {
        let leader = self.leader_of(name).and_then(Candidacy::leader);
        let current = leader.as_ref().map(|leader| leader.token);
        // In the wait a leader of the former tenure with this token may still come back, unless one
        // with a higher token has.
        let may_come_back = !turn.settled() && token.0 < turn.active.tenure.0 && current < Some(token);
        if may_come_back {
            let settling = turn.active.settling(turn.now);
            return Err(Reject::Settling { election: name.clone(), settling });
        }
        Ok(Reply::Verified { current: current == Some(token), leader })
    }
}

fn state(turn: &Turn<'_>, name: &ElectionName, election: Option<&Election>) -> ElectionState {
    let led = election.is_some_and(|election| election.leader.is_some());
    let held_until = election.and_then(|election| election.held_until);
    ElectionState {
        name: name.clone(),
        last: election.and_then(|election| election.last.clone()),
        waiting: election.map_or(0, |election| election.queue.len()),
        settling: if led { Millis(0) } else { turn.active.settling(turn.now) },
        hold: held_until.map_or(Millis(0), |until| until.since(turn.now)),
    }
}
