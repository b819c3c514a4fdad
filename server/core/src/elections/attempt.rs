//! Attempts: a Campaign that is sent twice finds the candidacy that the first one made.

use super::{AttemptKey, Candidacy, Elections, Turn};
use crate::must::Must;
use crate::{EndReason, Enrolment, Entry, Event, Output, StateVersion, StreamId};

impl Candidacy {
    pub(super) fn attempt_key(&self) -> Option<AttemptKey> {
        let attempt = self.attempt.clone()?;
        let (election, subject, candidate) = (self.election.clone(), self.subject.clone(), self.candidate.clone());
        Some(AttemptKey { election, subject, candidate, ttl: self.lease.map(|lease| lease.ttl), attempt })
    }
}

impl Elections {
    /// The candidacy that an earlier Campaign with the same attempt made.
    pub(super) fn entered_before(&self, entry: &Entry) -> Option<Enrolment> {
        let attempt = entry.attempt.clone()?;
        let (election, subject, candidate) = (entry.election.clone(), entry.subject.clone(), entry.candidate.clone());
        self.attempts.get(&AttemptKey { election, subject, candidate, ttl: entry.ttl, attempt }).copied()
    }

    /// The Campaign of a candidacy that is known is sent once more. It counts as a KeepAlive, as
    /// its sender counts its deadline from the moment before it sent this one.
    ///
    /// A drain can't be extended. The sender is told that its candidacy is over, or it would count
    /// on its lead beyond the end of the drain. The drain itself isn't ended here: this Campaign
    /// may be the first of two, held up by the network, while the worker leads on by the second.
    pub(super) fn enter_again(&mut self, turn: &mut Turn<'_>, stream: StreamId, id: Enrolment) {
        if self.candidacies.get(&id).must().is_some_and(Candidacy::drains) {
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
