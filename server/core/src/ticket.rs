//! Tickets: what a candidacy carries from one tenure to the next. The shell seals them; here they are plain data.

use crate::{Attempt, CandidateName, ElectionName, Enrolment, FencingToken, Millis, Subject, Tenure, Value};

/// Names a leased candidacy, and can rebuild it in another tenure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The election.
    pub election: ElectionName,
    /// The candidate's label.
    pub candidate: CandidateName,
    /// Who enrolled it.
    pub subject: Subject,
    /// What observers see when it leads.
    pub value: Value,
    /// How long it outlives its last accepted KeepAlive, by the worker's clock.
    pub ttl: Millis,
    /// Names the candidacy.
    pub enrolment: Enrolment,
    /// Its place in the queue.
    pub place: Enrolment,
    /// The fencing token, if it leads.
    pub token: Option<FencingToken>,
    /// The tenure that last accepted a KeepAlive.
    pub tenure: Tenure,
    /// When in that tenure, counted from its beginning, the server last accepted a KeepAlive.
    pub accepted_at: Millis,
    /// How long the election is on hold: from the grant, or, once it leads, from `accepted_at`.
    pub hold: Millis,
    /// The tenure that issued this ticket: a later one for a drain that was handed over, as that isn't
    /// kept alive.
    pub issued: Tenure,
}

impl Ticket {
    /// The highest number in it.
    #[must_use]
    pub fn highest(&self) -> u64 {
        let token = self.token.map_or(0, |token| token.0);
        self.issued.0.max(self.tenure.0).max(self.enrolment.0).max(self.place.0).max(token)
    }
}

/// A candidacy that an orderly end hands to the next tenure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// What it was.
    pub ticket: Ticket,
    /// What was left of its drain, if it was told to hand over.
    pub drain_left: Option<Millis>,
    /// The name of the entry that made it.
    pub attempt: Option<Attempt>,
}

/// An election on hold that an orderly end hands to the next tenure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldElection {
    /// Which one.
    pub election: ElectionName,
    /// What was left of the hold.
    pub left: Millis,
}
