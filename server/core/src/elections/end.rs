//! Ends: by the worker, by time, by an operator.

use super::{Candidacy, Due, Elections, State, Turn};
use crate::must::Must;
use crate::{
    ChangeReason, ElectionName, EndReason, Ended, Enrolment, Event, FencingToken, Output, Reject, Reply, StateVersion,
    StreamId,
};
use std::collections::BTreeSet;

impl Elections {
    /// Ends a candidacy and tells everybody. Grants nothing: the caller does, when all that ends
    /// together has ended.
    pub(super) fn end(&mut self, turn: &mut Turn<'_>, id: Enrolment, reason: EndReason) -> Option<ElectionName> {
        let candidacy = self.candidacies.remove(&id).must()?;
        let name = candidacy.election.clone();
        self.bytes -= candidacy.bytes();
        if let Some(wake) = candidacy.wake() {
            self.deadlines.remove(&Due { at: wake, what: id });
        }
        if let Some(count) = self.subjects.get_mut(&candidacy.subject).must() {
            *count -= 1;
            if *count == 0 {
                self.subjects.remove(&candidacy.subject);
            }
        }
        if let Some(election) = self.by_name.get_mut(&name).must() {
            if election.leader == Some(id) {
                election.leader = None;
                self.leaders -= 1;
                let revision = turn.draw();
                self.changed(turn, &name, revision, ChangeReason::Ended(reason));
            } else {
                election.queue.remove(&candidacy.place);
            }
        }
        self.forget_attempt(&candidacy);
        self.ends.remember(id, reason, turn.active.tenure);
        if candidacy.lease.is_some() {
            self.changes.note(id);
        }
        let token = candidacy.token();
        let ended = Ended { enrolment: id, election: name.clone(), candidate: candidacy.candidate, token, reason };
        turn.out.push_back(Output::Ended(Box::new(ended)));
        if let Some(stream) = candidacy.stream {
            self.streams.remove(&stream);
            turn.event(Some(stream), StateVersion(0), Event::Ended(reason));
            turn.out.push_back(Output::Close { stream, why: None });
        }
        Some(name)
    }

    /// Ends all holds and candidacies whose time has come, and only then grants what they have
    /// left. If it granted in between, a candidacy that has run out as well could be told that it
    /// leads.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) {
        let mut touched = BTreeSet::new();
        self.end_holds(turn, &mut touched);
        while self.deadlines.first().is_some_and(|due| due.at <= turn.now)
            && let Some(Due { what: id, .. }) = self.deadlines.pop_first()
        {
            let reason = self.candidacies.get(&id).must().map_or(EndReason::Expired, |c| c.reason_at(turn));
            touched.extend(self.end(turn, id, reason));
        }
        for name in touched {
            self.grant_next(turn, &name);
        }
    }

    /// The worker leaves, waiting or leading.
    pub(super) fn resign(&mut self, turn: &mut Turn<'_>, id: Enrolment) -> bool {
        let candidacy = self.candidacies.get(&id).must();
        let led = candidacy.is_some_and(|candidacy| candidacy.token().is_some());
        let drains = candidacy.is_some_and(Candidacy::drains);
        let reason = if drains { EndReason::SteppedDown } else { EndReason::Resigned };
        if let Some(name) = self.end(turn, id, reason) {
            self.grant_next(turn, &name);
        }
        led
    }

    /// A stream is gone. A stream-bound candidacy ends with it; a leased one lives on.
    pub(crate) fn stream_closed(&mut self, turn: &mut Turn<'_>, stream: StreamId) {
        // Its candidacy may be over, or have another stream.
        let Some(id) = self.streams.remove(&stream) else { return };
        let Some(candidacy) = self.candidacies.get_mut(&id).must() else { return };
        candidacy.stream = None;
        if candidacy.lease.is_none() {
            self.resign(turn, id);
        }
    }

    /// Tells observers that the leaders without a TTL are gone: they end with their streams, and
    /// these with the tenure, which ends in good order. False if there are too few numbers left to
    /// tell of all of them.
    pub(crate) fn vacate_stream_bound(&mut self, turn: &mut Turn<'_>) -> bool {
        let leads = |c: &&Candidacy| c.lease.is_none() && c.token().is_some();
        let names: Vec<_> = self.candidacies.values().filter(leads).map(|c| c.election.clone()).collect();
        for name in names {
            if !turn.active.line.has_room() {
                return false;
            }
            if let Some(election) = self.by_name.get_mut(&name).must() {
                election.leader = None;
                let revision = turn.draw();
                self.changed(turn, &name, revision, ChangeReason::Ended(EndReason::Resigned));
            }
        }
        true
    }

    /// Tells a leader to hand over. Rule `drain-waits`: the next one is granted when this one has
    /// resigned or its time has run out, and a second StepDown doesn't move that moment.
    pub(super) fn step_down(
        &mut self,
        turn: &mut Turn<'_>,
        name: &ElectionName,
        only: Option<FencingToken>,
    ) -> Result<Reply, Reject> {
        let leader = self.leader_of(name).and_then(|leader| Some((leader, leader.token().must()?)));
        let Some((candidacy, token)) = leader else { return Err(turn.no_leader(name)) };
        let (id, stream, lease) = (candidacy.id, candidacy.stream, candidacy.lease);
        if let Some(given) = only.filter(|given| *given != token) {
            return Err(Reject::OtherLeader { election: name.clone(), given, current: token });
        }
        if let State::Draining { until, .. } = candidacy.state {
            return Ok(Reply::SteppingDown { token, remaining: until.since(turn.now) });
        }
        // A stream-bound leader has no deadline of its own. It gets as much time as the longest
        // TTL.
        let until = lease.map_or(turn.now + turn.config.max_ttl, |lease| lease.deadline());
        let revision = turn.draw();
        let version = StateVersion(revision.0);
        self.change_state(id, version, State::Draining { token, until });
        let remaining = until.since(turn.now);
        turn.event(stream, version, Event::Draining { token, remaining });
        self.changed(turn, name, revision, ChangeReason::Draining);
        Ok(Reply::SteppingDown { token, remaining })
    }
}

impl Candidacy {
    /// Why this candidacy ends if its time has come.
    fn reason_at(&self, turn: &Turn<'_>) -> EndReason {
        match self.state {
            State::Draining { .. } => EndReason::SteppedDown,
            State::Waiting { give_up_at: Some(at) } if at <= turn.now => EndReason::NotGranted,
            State::Waiting { .. } | State::Leading { .. } => EndReason::Expired,
        }
    }
}

impl Turn<'_> {
    /// Nobody leads, or nobody knows yet who does.
    pub(super) fn no_leader(&self, name: &ElectionName) -> Reject {
        let election = name.clone();
        if self.settled() {
            Reject::NoLeader { election }
        } else {
            Reject::Settling { election, settling: self.active.settling(self.now) }
        }
    }
}
