//! Entering an election, and opening the stream of a candidacy again.

use super::ticket::{Located, Via};
use super::{Candidacy, Elections, Leased, Place, State, Turn};
use crate::must::Must;
use crate::{
    EndReason, Enrolment, Entry, Event, MAX_HOLD, MIN_TTL, Millis, Output, Reject, Replace, StateVersion, StreamId,
    Ticket,
};

impl Elections {
    /// A worker enters an election.
    pub(crate) fn campaign(&mut self, turn: &mut Turn<'_>, stream: StreamId, entry: Entry) -> Result<(), Reject> {
        if let Some(id) = self.entered_before(&entry) {
            self.enter_again(turn, stream, id);
            return Ok(());
        }
        let formers = self.formers(&entry);
        self.admit(turn, &entry, formers.len())?;
        let known = formers.iter().filter_map(|id| self.candidacies.get(id).must());
        self.afford(turn, known.clone().map(Candidacy::bytes).sum(), entry.bytes())?;
        // A former self that drains was told to hand over. Its place isn't inherited.
        let mut inherited = known.filter(|former| !former.drains());
        let place = inherited.clone().map(|former| former.place.at).min();
        let led = inherited.any(|former| former.token().is_some());
        for former in formers {
            self.end(turn, former, EndReason::Replaced);
        }
        let id = Enrolment(turn.active.line.take());
        let lease = entry.ttl.map(|ttl| Leased { ttl, accepted_at: turn.now });
        let give_up_at = entry.max_wait.map(|wait| turn.now + wait);
        self.insert(Candidacy {
            id,
            place: Place { at: place.unwrap_or(id), id },
            election: entry.election.clone(),
            candidate: entry.candidate,
            subject: entry.subject,
            pod: entry.pod,
            value: entry.value,
            lease,
            state: State::Waiting { give_up_at },
            stream: Some(stream),
            version: StateVersion(id.0),
            attempt: entry.attempt,
            hold: entry.hold,
            held_until: None,
            accepted_in: None,
        });
        self.tell_enrolled(turn, id);
        let free = turn.settled() && self.hold_left(&entry.election, turn.now) == Millis(0);
        if led && free {
            self.grant(turn, id);
        } else {
            self.grant_next(turn, &entry.election);
        }
        if self.candidacies.get(&id).must().is_some_and(|candidacy| candidacy.token().is_none()) {
            if entry.no_wait || entry.max_wait == Some(Millis(0)) {
                self.end(turn, id, EndReason::NotGranted);
                self.grant_next(turn, &entry.election);
            } else {
                self.tell_waiting(turn, id);
            }
        }
        Ok(())
    }

    /// A worker opens the stream of its candidacy again. The stream that the candidacy had before
    /// ends.
    pub(crate) fn reopen(&mut self, turn: &mut Turn<'_>, stream: StreamId, ticket: &Ticket) {
        let id = match self.locate(turn, ticket, Via::Other) {
            Located::Known(id) => id,
            Located::Over(reason) => {
                turn.event(Some(stream), StateVersion(0), Event::Ended(reason));
                turn.out.push_back(Output::Close { stream, why: None });
                return;
            }
        };
        self.attach(turn, stream, id);
    }

    /// Makes this the stream of a candidacy, and tells on it how the candidacy stands.
    pub(super) fn attach(&mut self, turn: &mut Turn<'_>, stream: StreamId, id: Enrolment) {
        let Some(candidacy) = self.candidacies.get_mut(&id).must() else { return };
        if let Some(old) = candidacy.stream.replace(stream) {
            self.streams.remove(&old);
            turn.out.push_back(Output::Close { stream: old, why: Some(Reject::Superseded) });
        }
        self.streams.insert(stream, id);
        self.tell_enrolled(turn, id);
        let Some(candidacy) = self.candidacies.get(&id).must() else { return };
        let version = candidacy.version;
        match candidacy.state {
            State::Waiting { .. } => self.tell_waiting(turn, id),
            State::Leading { token } => turn.event(Some(stream), version, candidacy.lead(turn, token)),
            State::Draining { token, until } => {
                let remaining = until.since(turn.now);
                turn.event(Some(stream), version, Event::Draining { token, remaining });
            }
        }
    }

    fn tell_enrolled(&self, turn: &mut Turn<'_>, id: Enrolment) {
        if let Some(candidacy) = self.candidacies.get(&id).must() {
            let ticket = candidacy.ticket(turn.active).map(Box::new);
            turn.event(candidacy.stream, candidacy.version, Event::Enrolled { enrolment: id, ticket });
        }
    }

    fn tell_waiting(&self, turn: &mut Turn<'_>, id: Enrolment) {
        if let Some(candidacy) = self.candidacies.get(&id).must() {
            let settling = turn.active.settling(turn.now);
            let (ahead, hold) = (self.ahead(candidacy), self.hold_left(&candidacy.election, turn.now));
            turn.event(candidacy.stream, candidacy.version, Event::Waiting { ahead, settling, hold });
        }
    }

    /// Refuses what is over a limit, before anything is changed. `replaced` candidacies of the same
    /// subject in the same election end to make room for this one.
    fn admit(&self, turn: &Turn<'_>, entry: &Entry, replaced: usize) -> Result<(), Reject> {
        let (limits, max) = (&turn.config.limits, turn.config.max_ttl);
        if let Some(ttl) = entry.ttl
            && (ttl < MIN_TTL || ttl > max)
        {
            return Err(Reject::TtlOutOfRange { ttl, min: MIN_TTL, max });
        }
        if entry.hold > MAX_HOLD {
            return Err(Reject::HoldTooLong { hold: entry.hold, max: MAX_HOLD });
        }
        if !turn.active.line.has_room() {
            return Err(Reject::NumbersLow);
        }
        if self.candidacies.len() - replaced >= limits.candidacies {
            return Err(Reject::TooManyCandidacies { limit: limits.candidacies });
        }
        if self.subjects.get(&entry.subject).is_some_and(|count| *count - replaced >= limits.candidacies_per_subject) {
            return Err(Reject::SubjectFull { limit: limits.candidacies_per_subject });
        }
        // Holds have a limit of their own: a worker that puts many elections on hold, and leaves,
        // keeps others from holds and from nothing else.
        if entry.hold > Millis(0) && self.holds.len() >= limits.elections {
            return Err(Reject::TooManyElections { limit: limits.elections });
        }
        match self.by_name.get(&entry.election) {
            None if self.has_no_room_for_another_election(turn) => {
                Err(Reject::TooManyElections { limit: limits.elections })
            }
            Some(e)
                if e.queue.len() + usize::from(e.leader.is_some()) - replaced >= limits.candidacies_per_election =>
            {
                let limit = limits.candidacies_per_election;
                Err(Reject::ElectionFull { election: entry.election.clone(), limit })
            }
            _ => Ok(()),
        }
    }

    /// Elections on hold come on top of the limit, and holds have a limit of their own.
    pub(super) fn has_no_room_for_another_election(&self, turn: &Turn<'_>) -> bool {
        self.by_name.len() >= turn.config.limits.elections + self.holds.len()
    }

    /// The live candidacies that this one replaces.
    fn formers(&self, entry: &Entry) -> Vec<Enrolment> {
        let Some(election) = self.by_name.get(&entry.election) else { return Vec::new() };
        let ids = election.leader.into_iter().chain(election.queue.iter().map(|place| place.id));
        ids.filter_map(|id| self.candidacies.get(&id).must())
            .filter(|c| c.candidate == entry.candidate && c.subject == entry.subject)
            .filter(|c| match entry.replace_former {
                Replace::Nobody => false,
                Replace::OfItsPod => c.pod.is_some() && c.pod == entry.pod,
                Replace::All => true,
            })
            .map(|c| c.id)
            .collect()
    }
}
