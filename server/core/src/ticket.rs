//! Tickets: what a candidacy carries from one tenure to the next. The shell seals them; here they
//! are plain data.

use crate::lawful::{LONGEST, Unlawful, lawful, number, time, within};
use crate::{
    Attempt, CandidateName, ElectionName, Enrolment, FencingToken, MAX_HOLD, MAX_MAX_TTL, Millis, NUMBER_LIMIT, PodUid,
    Subject, Tenure, Value,
};

lawful! {
    /// Names a leased candidacy, and can rebuild it in another tenure. It reads like its
    /// [parts](TicketParts), and can't be changed: each ticket is lawful.
    Ticket(TicketParts)
}

/// What a ticket says, lawful or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketParts {
    /// The election.
    pub election: ElectionName,
    /// The candidate's label.
    pub candidate: CandidateName,
    /// Who enrolled it.
    pub subject: Subject,
    /// The pod that it was enrolled from, if that was established.
    pub pod: Option<PodUid>,
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
    /// The tenure that issued this ticket: a later one for a drain that was handed over, as that
    /// isn't kept alive.
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

impl TicketParts {
    fn check(&self) -> Result<(), Unlawful> {
        number("enrolment", self.enrolment.0)?;
        // Who takes the place of its former self is enrolled later.
        within("place", self.place.0, 1..=self.enrolment.0)?;
        self.token.map_or(Ok(()), |token| number("token", token.0))?;
        number("tenure", self.tenure.0)?;
        within("issued", self.issued.0, self.tenure.0..=NUMBER_LIMIT - 1)?;
        within("ttl", self.ttl.0, 1..=MAX_MAX_TTL.0)?;
        time("accepted_at", self.accepted_at)?;
        // A leader's hold counts from its last KeepAlive, and lasts longer than the one it asked
        // for.
        within("hold", self.hold.0, 0..=if self.token.is_some() { LONGEST.0 } else { MAX_HOLD.0 })
    }
}

/// A leased candidacy, as a standby or the next tenure is told of it. Times count from the
/// beginning of the tenure that tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// What it is.
    pub ticket: Ticket,
    /// When its drain ends, if it was told to hand over.
    pub drains_until: Option<Millis>,
    /// The name of the entry that made it.
    pub attempt: Option<Attempt>,
}

/// An election on hold, as a standby or the next tenure is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which one.
    pub election: ElectionName,
    /// When in the tenure that tells the hold ends; zero: it isn't on hold any more.
    pub until: Millis,
}

impl Carried {
    pub(crate) fn check(&self) -> Result<(), Unlawful> {
        let Some(until) = self.drains_until else { return Ok(()) };
        time("drains_until", until)?;
        if self.ticket.token.is_some() { Ok(()) } else { Err(Unlawful::DrainsWithoutToken(self.ticket.enrolment)) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::lawful::tests::{Rule, bounded};

    /// A leader's.
    pub(crate) fn parts() -> TicketParts {
        TicketParts {
            election: ElectionName::new("billing/nightly").unwrap(),
            candidate: CandidateName::new("worker-1").unwrap(),
            subject: Subject::anonymous(),
            pod: None,
            value: Value::new("").unwrap(),
            ttl: Millis(15_000),
            enrolment: Enrolment(107),
            place: Enrolment(103),
            token: Some(FencingToken(109)),
            tenure: Tenure(100),
            accepted_at: Millis(0),
            hold: Millis(0),
            issued: Tenure(100),
        }
    }

    #[test]
    fn each_rule_of_a_ticket_has_its_bounds() {
        let rules: [Rule<TicketParts>; 8] = [
            ("enrolment", |parts, to| (parts.enrolment.0, parts.place.0) = (to, 1), 1, NUMBER_LIMIT - 1),
            ("place", |parts, to| parts.place.0 = to, 1, 107),
            ("token", |parts, to| parts.token = Some(FencingToken(to)), 1, NUMBER_LIMIT - 1),
            ("tenure", |parts, to| (parts.tenure.0, parts.issued.0) = (to, NUMBER_LIMIT - 1), 1, NUMBER_LIMIT - 1),
            ("issued", |parts, to| parts.issued.0 = to, 100, NUMBER_LIMIT - 1),
            ("ttl", |parts, to| parts.ttl.0 = to, 1, MAX_MAX_TTL.0),
            ("accepted_at", |parts, to| parts.accepted_at.0 = to, 0, NUMBER_LIMIT - 1),
            ("hold", |parts, to| parts.hold.0 = to, 0, NUMBER_LIMIT - 1),
        ];
        bounded(&parts(), Ticket::from_parts, &rules);
        let waiter = TicketParts { token: None, ..parts() };
        bounded(&waiter, Ticket::from_parts, &[("hold", |parts, to| parts.hold.0 = to, 0, MAX_HOLD.0)]);
        let error = Ticket::from_parts(TicketParts { ttl: Millis(0), ..parts() }).unwrap_err().to_string();
        assert_eq!(error, "ttl is 0; it must lie between 1 and 86400000");
    }
}
