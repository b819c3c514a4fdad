//! The naive model of what tickets and calls do.

use crate::naive::{Candidate, Elections, bytes};
use leasehold_core::{
    Ask, Attempt, Carried, ChangeReason, ElectionName, ElectionState, EndReason, Event, Handover, Held, Kept, Millis,
    Output, Reject, Reply, Revision, StateVersion, Status, StreamId, Ticket,
};

impl Elections {
    /// The rule of recency.
    fn recent(&self, ticket: &Ticket) -> bool {
        let Some((tenure, right_ended)) = self.former else { return false };
        ticket.tenure == tenure && ticket.accepted_at + ticket.ttl.with_drift() > right_ended
    }

    /// What a ticket stands for, without putting anything back.
    fn known(&self, ticket: &Ticket) -> Option<Result<u64, EndReason>> {
        let id = ticket.enrolment.0;
        if let Some(c) = self.get(id) {
            let mine = (&c.election, &c.label, &c.subject, c.ttl)
                == (&ticket.election, &ticket.candidate, &ticket.subject, Some(ticket.ttl));
            return Some(if mine { Ok(id) } else { Err(EndReason::Expired) });
        }
        let ended = self.ended.iter().find(|(ended, _)| *ended == id).map(|(_, reason)| *reason);
        let over = ended.or((ticket.issued == self.tenure).then_some(EndReason::Expired));
        over.map(Err)
    }

    /// What a ticket stands for. What may be put back is.
    fn locate(&mut self, ticket: &Ticket, sign_of_life: bool) -> Result<u64, EndReason> {
        let unsettled = self.settles.is_some();
        match self.known(ticket) {
            Some(Err(reason)) => return Err(reason),
            Some(Ok(id)) => {
                let waits = self.get(id).is_some_and(|c| c.token.is_none());
                let of_another = ticket.tenure != self.tenure;
                match (waits, ticket.token) {
                    // A leader's ticket is never told that it waits.
                    (true, Some(_)) if unsettled && of_another && self.recent(ticket) => {
                        self.install(id, ticket, ticket.hold);
                    }
                    (true, Some(_)) => {
                        self.end(id, EndReason::Expired);
                        self.grant_all(std::slice::from_ref(&ticket.election));
                        return Err(EndReason::Expired);
                    }
                    _ => {}
                }
            }
            None => {
                let accepted = if sign_of_life { self.now } else { self.began };
                let numbers = [
                    ticket.issued.0,
                    ticket.tenure.0,
                    ticket.enrolment.0,
                    ticket.place.0,
                    ticket.token.map_or(0, |t| t.0),
                ];
                let earlier = numbers.iter().all(|number| *number < self.tenure.0);
                let alive = accepted + ticket.ttl.with_drift() > self.now;
                let recent = ticket.token.is_none() || self.recent(ticket);
                let limits = &self.config.limits;
                let names = self.names();
                let bytes = bytes([&ticket.election, &ticket.candidate, &ticket.subject, &ticket.value]);
                let room = self.everybody.len() < limits.candidacies
                    && self.bytes_of(|_| true).saturating_add(bytes) <= limits.bytes
                    && (names.contains(&ticket.election) || names.len() < limits.elections + self.holds.len());
                let barred = ticket.token.is_none() && self.led_later(ticket);
                if !(unsettled && earlier && alive && recent && room) || self.forgot || barred {
                    self.refuse(ticket);
                    return Err(EndReason::Expired);
                }
                self.put_back(ticket, accepted, None);
                if ticket.token.is_some() {
                    self.install(ticket.enrolment.0, ticket, ticket.hold);
                }
            }
        }
        // Whoever was put back, and isn't there, met a leader with a higher token.
        self.get(ticket.enrolment.0).map_or(Err(EndReason::Overtaken), |c| Ok(c.id))
    }

    /// Whether a leader's ticket of this candidacy was refused that isn't of an earlier tenure.
    fn led_later(&self, ticket: &Ticket) -> bool {
        self.refused.iter().any(|refused| refused.enrolment == ticket.enrolment && refused.tenure >= ticket.tenure)
    }

    fn refuse(&mut self, ticket: &Ticket) {
        if self.settles.is_none() || ticket.token.is_none() {
            return;
        }
        self.refused.push(ticket.clone());
        let mut ids: Vec<_> = self.refused.iter().map(|refused| refused.enrolment).collect();
        ids.sort();
        ids.dedup();
        if ids.len() > self.config.limits.remembered_ends {
            self.refused.retain(|refused| refused.enrolment != ids[0]);
        }
    }

    /// As a waiter.
    fn put_back(&mut self, ticket: &Ticket, accepted: leasehold_core::Time, attempt: Option<Attempt>) {
        self.everybody.push(Candidate {
            id: ticket.enrolment.0,
            place: ticket.place.0,
            election: ticket.election.clone(),
            label: ticket.candidate.clone(),
            subject: ticket.subject.clone(),
            pod: ticket.pod.clone(),
            value: ticket.value.clone(),
            ttl: Some(ticket.ttl),
            accepted,
            give_up: None,
            token: None,
            drains_until: None,
            stream: None,
            version: self.tenure.0,
            attempt,
            hold: ticket.hold,
            held_until: None,
            accepted_in: None,
        });
    }

    /// Of two leaders the one with the higher token stays. What is left of its hold counts from the
    /// beginning of the tenure.
    fn install(&mut self, id: u64, ticket: &Ticket, hold: Millis) {
        let current = self.leader_of(&ticket.election).map(|c| (c.id, c.token));
        match current {
            Some((_, token)) if token > ticket.token => return self.end(id, EndReason::Overtaken),
            Some((current, _)) => self.end(current, EndReason::Overtaken),
            None => {}
        }
        let (revision, until) = (self.draw(), self.began + hold);
        let c = self.get_mut(id).expect("it exists");
        (c.token, c.version, c.held_until) = (ticket.token, revision, Some(until));
        if until > self.now {
            self.put_on_hold(&ticket.election, until);
        }
        self.tell_elected(id);
        self.changed(&ticket.election, revision, ChangeReason::Restored);
    }

    pub(crate) fn take_over(&mut self, handover: &Handover) {
        let ended = self.former.map_or(Millis(0), |(_, right_ended)| right_ended);
        let holds = || handover.holds.iter().filter(|held| held.until > ended);
        for held in holds() {
            self.put_on_hold(&held.election, self.began + (held.until - ended));
        }
        for Carried { ticket, drains_until, attempt } in &handover.candidacies {
            let id = ticket.enrolment.0;
            self.put_back(ticket, self.now, attempt.clone());
            if ticket.token.is_some() {
                let hold = self.hold(&ticket.election).map_or(Millis(0), |until| until.since(self.began));
                self.install(id, ticket, hold);
            }
            if let Some(until) = drains_until {
                let (until, revision) = (self.began + (*until - ended), self.draw());
                let c = self.get_mut(id).expect("it was put back");
                (c.drains_until, c.version) = (Some(until), revision);
                c.accepted_in = Some((ticket.tenure, ticket.accepted_at));
                self.changed(&ticket.election, revision, ChangeReason::Draining);
            }
        }
        for held in holds() {
            if self.leader_of(&held.election).is_none() {
                let revision = self.draw();
                self.changed(&held.election, revision, ChangeReason::Held);
            }
        }
    }

    pub(crate) fn hand_over(&self) -> Handover {
        // Whose time has run out while the right had lapsed is over.
        let mut leased: Vec<_> =
            self.everybody.iter().filter(|c| c.ttl.is_some() && c.due().is_none_or(|due| due > self.now)).collect();
        leased.sort_by_key(|c| c.id);
        let carried = |c: &&Candidate| {
            let drains_until = c.drains_until.map(|until| until.since(self.began));
            Some(Carried { ticket: self.ticket(c)?, drains_until, attempt: c.attempt.clone() })
        };
        let mut holds = self.holds.clone();
        holds.sort_by_key(|(name, until)| (*until, name.clone()));
        let held = |(election, until): (ElectionName, leasehold_core::Time)| Held {
            election,
            until: until.since(self.began).max(Millis(1)),
        };
        let holds = holds.into_iter().map(held).collect();
        Handover { candidacies: leased.iter().filter_map(carried).collect(), holds }
    }

    /// The leaders that live as long as their streams end with the tenure: observers are told.
    pub(crate) fn vacate(&mut self) {
        let mut leaders: Vec<_> =
            self.everybody.iter().filter(|c| c.ttl.is_none() && c.token.is_some()).cloned().collect();
        leaders.sort_by_key(|c| c.id);
        for leader in leaders {
            self.everybody.retain(|c| c.id != leader.id);
            let revision = self.draw();
            self.changed(&leader.election, revision, ChangeReason::Ended(EndReason::Resigned));
        }
    }

    /// The same entry once more is a KeepAlive as well; a drain isn't kept alive.
    pub(crate) fn enter_again(&mut self, stream: StreamId, id: u64) {
        let now = self.now;
        let c = self.get_mut(id).expect("it exists");
        if c.drains_until.is_some() {
            self.event(Some(stream), 0, Event::Ended(EndReason::SteppedDown));
            self.out.push(Output::Close { stream, why: None });
            return;
        }
        c.accepted = now;
        self.attach(stream, id);
    }

    pub(crate) fn reopen(&mut self, stream: StreamId, ticket: &Ticket) {
        let id = match self.locate(ticket, false) {
            Ok(id) => id,
            Err(reason) => {
                self.event(Some(stream), 0, Event::Ended(reason));
                self.out.push(Output::Close { stream, why: None });
                return;
            }
        };
        self.attach(stream, id);
    }

    fn attach(&mut self, stream: StreamId, id: u64) {
        if let Some(old) = self.get_mut(id).expect("it exists").stream.replace(stream) {
            self.out.push(Output::Close { stream: old, why: Some(Reject::Superseded) });
        }
        self.tell_enrolled(id);
        let c = self.get(id).expect("it exists").clone();
        match (c.token, c.drains_until) {
            (None, _) => self.tell_waiting(id),
            (Some(_), None) => self.tell_elected(id),
            (Some(token), Some(until)) => {
                let remaining = until.since(self.now);
                self.event(Some(stream), c.version, Event::Draining { token, remaining });
            }
        }
    }

    /// The worker leaves, or its stream-bound candidacy's stream is gone.
    fn leave(&mut self, id: u64) -> bool {
        let c = self.get(id).expect("it exists").clone();
        self.end(id, if c.drains_until.is_some() { EndReason::SteppedDown } else { EndReason::Resigned });
        self.grant_all(&[c.election]);
        c.token.is_some()
    }

    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        let Some(c) = self.everybody.iter_mut().find(|c| c.stream == Some(stream)) else { return };
        c.stream = None;
        if c.ttl.is_none() {
            let id = c.id;
            self.leave(id);
        }
    }

    pub(crate) fn answer(&mut self, ask: Ask) -> Result<Reply, Reject> {
        match ask {
            Ask::KeepAlive(tickets) => {
                Ok(Reply::KeptAlive(tickets.iter().map(|ticket| self.keep_alive(ticket)).collect()))
            }
            Ask::Resign(ticket) => {
                let known = self.known(&ticket);
                if let Some(Ok(id)) = known {
                    return Ok(Reply::Resigned { was_leading: self.leave(id), already_ended: false });
                }
                if known.is_none() {
                    self.remember(ticket.enrolment.0, EndReason::Resigned);
                }
                Ok(Reply::Resigned { was_leading: false, already_ended: true })
            }
            Ask::Proclaim(ticket, value) => {
                let election = ticket.election.clone();
                let id = self.locate(&ticket, false).map_err(|reason| Reject::Ended { election, reason })?;
                let c = self.get(id).expect("it exists");
                let election = c.election.clone();
                if c.token.is_none() {
                    return Err(Reject::NotLeading { election });
                }
                let bytes = bytes([&c.election, &c.label, &c.subject, &value]);
                let (now, others) = (self.bytes_of(|_| true), self.bytes_of(|c| c.id != id));
                if let Some(reject) = self.over_the_budget(now, others, bytes) {
                    return Err(reject);
                }
                let revision = self.draw();
                let c = self.get_mut(id).expect("it exists");
                (c.value, c.version) = (value, revision);
                self.changed(&election, revision, ChangeReason::Proclaimed);
                let revision = Revision(revision);
                let ticket = self.get(id).and_then(|c| self.ticket(c)).expect("only the leased have tickets");
                Ok(Reply::Proclaimed { revision, ticket })
            }
            Ask::StepDown(name, only) => self.step_down(&name, only),
            Ask::Get(name) => Ok(Reply::Election(self.state(name))),
            Ask::List { prefix, after, limit } => {
                let mut names = self.names();
                names.retain(|name| {
                    name.as_str().starts_with(&prefix) && after.as_ref().is_none_or(|after| name.as_str() > after)
                });
                let more = names.len() > limit;
                let elections = names.into_iter().take(limit).map(|name| self.state(name)).collect();
                Ok(Reply::Elections { elections, more })
            }
            Ask::Verify(name, token) => {
                let leader = self.leader_of(&name).and_then(Candidate::leader);
                let current = leader.as_ref().map(|leader| leader.token);
                if self.settles.is_some() && token.0 < self.tenure.0 && current < Some(token) {
                    return Err(Reject::Settling { election: name, settling: self.settling() });
                }
                Ok(Reply::Verified { current: current == Some(token), leader })
            }
            Ask::Status => Ok(Reply::Status(Box::new(self.status()))),
        }
    }

    fn keep_alive(&mut self, ticket: &Ticket) -> Kept {
        let id = match self.locate(ticket, true) {
            Ok(id) => id,
            Err(reason) => return Kept::Ended(reason),
        };
        let now = self.now;
        let c = self.get_mut(id).expect("it exists");
        if c.drains_until.is_none() {
            c.accepted = now;
        }
        let c = c.clone();
        let ticket = self.ticket(&c).expect("only the leased have tickets");
        let version = StateVersion(c.version);
        match (c.token, c.drains_until) {
            (None, _) => Kept::Waiting { ticket, version },
            (Some(_), None) => Kept::Leading { ticket, version },
            (Some(_), Some(until)) => Kept::Draining { ticket, version, remaining: until.since(now) },
        }
    }

    fn step_down(&mut self, name: &ElectionName, only: Option<leasehold_core::FencingToken>) -> Result<Reply, Reject> {
        let election = name.clone();
        let (settled, settling, now) = (self.settles.is_none(), self.settling(), self.now);
        let Some(c) = self.leader_of(name).cloned() else {
            return Err(if settled { Reject::NoLeader { election } } else { Reject::Settling { election, settling } });
        };
        let token = c.token.expect("it leads");
        if let Some(given) = only.filter(|given| *given != token) {
            return Err(Reject::OtherLeader { election, given, current: token });
        }
        if let Some(until) = c.drains_until {
            return Ok(Reply::SteppingDown { token, remaining: until.since(now) });
        }
        let until = c.due().unwrap_or(now + self.config.max_ttl);
        let remaining = until.since(now);
        let revision = self.draw();
        let drains = self.get_mut(c.id).expect("it exists");
        (drains.drains_until, drains.version) = (Some(until), revision);
        self.event(c.stream, revision, Event::Draining { token, remaining });
        self.changed(name, revision, ChangeReason::Draining);
        Ok(Reply::SteppingDown { token, remaining })
    }

    fn state(&self, name: ElectionName) -> ElectionState {
        ElectionState {
            last: self.last.iter().find(|change| change.election == name).cloned(),
            waiting: self.line(&name).len(),
            settling: if self.leader_of(&name).is_some() { Millis(0) } else { self.settling() },
            hold: self.hold_left(&name),
            name,
        }
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            tenure: Some(self.tenure),
            age: self.now.since(self.began),
            settling: self.settles.map_or(Millis(0), |at| at.since(self.now)),
            elections: self.names().len(),
            candidacies: self.everybody.len(),
            leaders: self.everybody.iter().filter(|c| c.token.is_some()).count(),
            revision: Revision(self.next - 1),
            mirrored: 0,
        }
    }
}
