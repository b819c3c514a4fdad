//! Entries with names: a Campaign that is sent twice finds the candidacy that the first one made.

use super::{AttemptKey, Candidacy, Elections, State, Turn};
use crate::{EndReason, Enrolment, Entry, Event, Output, StateVersion, StreamId};

impl Candidacy {
    pub(super) fn attempt_key(&self) -> Option<AttemptKey> {
        let attempt = self.attempt.clone()?;
        let ttl = self.lease.map(|lease| lease.ttl);
        Some((self.election.clone(), self.subject.clone(), self.candidate.clone(), ttl, attempt))
    }
}

impl Elections {
    /// The candidacy that an earlier entry of the same name made.
    pub(super) fn entered_before(&self, entry: &Entry) -> Option<Enrolment> {
        let attempt = entry.attempt.clone()?;
        let key = (entry.election.clone(), entry.subject.clone(), entry.candidate.clone(), entry.ttl, attempt);
        self.attempts.get(&key).copied()
    }

    /// The same entry once more. Its sender counts its deadline from the moment before it sent this
    /// one, so it is a KeepAlive as well. A drain can't be extended: this sender is told that it is over,
    /// or it would lead beyond the end of it. The drain itself goes on until then: the entry may be an
    /// older one that the network held up, and the worker lead on by the one that it sent after that.
    pub(super) fn enter_again(&mut self, turn: &mut Turn<'_>, stream: StreamId, id: Enrolment) {
        if self.candidacies.get(&id).is_some_and(|c| matches!(c.state, State::Draining { .. })) {
            turn.event(Some(stream), StateVersion(0), Event::Ended(EndReason::SteppedDown));
            turn.out.push_back(Output::Close { stream, why: None });
            return;
        }
        let now = turn.now;
        self.update(id, |candidacy| {
            if let Some(lease) = &mut candidacy.lease {
                lease.accepted_at = now;
            }
        });
        self.attach(turn, stream, id);
    }

    pub(super) fn forget_attempt(&mut self, candidacy: &Candidacy) {
        if let Some(key) = candidacy.attempt_key()
            && self.attempts.get(&key) == Some(&candidacy.id)
        {
            self.attempts.remove(&key);
        }
    }
}
