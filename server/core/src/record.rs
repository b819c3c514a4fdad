//! The record: what outlives a tenure, in the state file or in the Lease.

use crate::lawful::{LONGEST, Unlawful, lawful, time, within};
use crate::{Carried, Ceiling, ChangeNumber, Held, Millis, NUMBER_LIMIT, Revision, Tenure};
use std::collections::BTreeSet;

lawful! {
    /// What a tenure leaves for the next one. Every write replaces the whole record. It reads like
    /// its [parts](RecordParts), and can't be changed: each record is lawful.
    Record(RecordParts)
}

/// What a record says, lawful or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordParts {
    /// The tenure that wrote it.
    pub tenure: Tenure,
    /// No number handed out has reached this.
    pub ceiling: Ceiling,
    /// How long the right to be active lasts from the moment before the write was sent.
    pub duration: Millis,
    /// The holder stops this much earlier.
    pub margin: Millis,
    /// How far into the tenure the write was sent.
    pub renewed_at: Millis,
    /// How far the tenure got, if it ended in good order; or if the store knows how far it can have
    /// got. Otherwise its right bounds that.
    pub ended_at: Option<Millis>,
    /// The longest TTL that any live candidacy may have. Only rises.
    pub longest_ttl: Millis,
    /// The number of its last change of state, if it ended in good order after it had settled, with
    /// a Lease as its store: a standby whose mirror has reached that number knows everything, and
    /// nobody waits.
    pub last_change: Option<ChangeNumber>,
    /// Everything that the next tenure must know, if this one ended in good order after it had
    /// settled, with a file as its store: then nobody waits.
    pub handover: Option<Handover>,
    /// The last change that observers were told of, if the tenure ended in good order after it had
    /// settled: whoever has seen it can resume in the next tenure.
    pub last_revision: Option<Revision>,
}

/// Everything that the next tenure must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// All leased candidacies.
    pub candidacies: Vec<Carried>,
    /// All elections on hold.
    pub holds: Vec<Held>,
}

/// What stands in the file, or in the Lease, that a claim replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record.
    Record(Record),
    /// None, and nothing was ever granted here.
    Fresh,
    /// None, but there was one: it was removed.
    Lost,
}

/// What a new tenure knows of the one right before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Former {
    /// Which one it was.
    pub(crate) tenure: Tenure,
    /// Its right had ended by then, counted from its beginning.
    pub(crate) right_ended: Millis,
}

impl Record {
    /// The same record, and its tenure ended then at the latest. `None`: the right of the tenure
    /// bounds it. A store that can't know gives the highest number.
    #[must_use]
    pub fn bounded(self, ended_at: Option<Millis>) -> Self {
        Self(RecordParts { ended_at: ended_at.map(|at| at.min(LONGEST)), ..self.0 })
    }

    /// The same record without a word of single candidacies.
    #[must_use]
    pub fn without_handover(&self) -> Self {
        Self(RecordParts { handover: None, ..self.0 })
    }

    /// The same record with what a mirror knows. A replica that told its mirror what it can't have
    /// handed out is broken: nothing of what it told is believed.
    pub(crate) fn with_handover(self, handover: Option<Handover>) -> Self {
        let with = Self(RecordParts { handover, ..self.0 });
        if with.check().is_ok() { with } else { with.without_handover() }
    }

    pub(crate) fn into_handover(self) -> Option<Handover> {
        self.0.handover
    }

    /// The same record with this ceiling.
    pub(crate) fn with_ceiling(self, ceiling: Ceiling) -> Self {
        Self::made(RecordParts { ceiling, ..self.0 })
    }

    /// When the right of its tenure had ended, counted from the beginning of the tenure, if this
    /// was the tenure's last record.
    #[must_use]
    pub fn right_ended(&self) -> Millis {
        self.renewed_at + (self.duration - self.margin)
    }

    pub(crate) fn former(&self) -> Former {
        Former { tenure: self.tenure, right_ended: self.ended_at.unwrap_or_else(|| self.right_ended()) }
    }
}

impl RecordParts {
    fn check(&self) -> Result<(), Unlawful> {
        within("ceiling", self.ceiling.0, 2..=NUMBER_LIMIT)?;
        let number = |what, is| within(what, is, 1..=self.ceiling.0 - 1);
        number("tenure", self.tenure.0)?;
        self.last_revision.map_or(Ok(()), |last| number("last_revision", last.0))?;
        time("duration", self.duration)?;
        within("margin", self.margin.0, 0..=self.duration.0)?;
        time("renewed_at", self.renewed_at)?;
        time("ended_at", self.ended_at.unwrap_or_default())?;
        time("longest_ttl", self.longest_ttl)?;
        let Some(Handover { candidacies, holds }) = &self.handover else { return Ok(()) };
        let mut enrolments = BTreeSet::new();
        for carried in candidacies {
            // No number that was handed out has reached the ceiling.
            number("a number of the handover", carried.ticket.highest())?;
            carried.check()?;
            if !enrolments.insert(carried.ticket.enrolment) {
                return Err(Unlawful::Twice(carried.ticket.enrolment));
            }
        }
        holds.iter().try_for_each(|held| time("a hold of the handover", held.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lawful::tests::{Rule, bounded};
    use crate::ticket::tests::parts as leader;
    use crate::{ElectionName, FencingToken, Ticket, TicketParts};

    fn carried(token: Option<u64>, drains_until: Option<Millis>) -> Carried {
        let ticket = TicketParts { token: token.map(FencingToken), ..leader() };
        Carried { ticket: Ticket::from_parts(ticket).unwrap(), drains_until, attempt: None }
    }

    /// With one leader, and one election on hold.
    fn parts() -> RecordParts {
        let holds = vec![Held { election: ElectionName::new("tick").unwrap(), until: Millis(7000) }];
        RecordParts {
            tenure: Tenure(100),
            ceiling: Ceiling(200),
            duration: Millis(3000),
            margin: Millis(300),
            renewed_at: Millis(4000),
            ended_at: Some(Millis(4000)),
            longest_ttl: Millis(15_000),
            last_change: None,
            handover: Some(Handover { candidacies: vec![carried(Some(109), Some(Millis(5000)))], holds }),
            last_revision: Some(Revision(150)),
        }
    }

    fn all(parts: &mut RecordParts) -> &mut Handover {
        parts.handover.get_or_insert_default()
    }

    #[test]
    fn each_rule_of_a_record_has_its_bounds() {
        let rules: [Rule<RecordParts>; 10] = [
            ("tenure", |parts, to| parts.tenure.0 = to, 1, 199),
            ("duration", |parts, to| (parts.duration.0, parts.margin.0) = (to, 0), 0, LONGEST.0),
            ("margin", |parts, to| parts.margin.0 = to, 0, 3000),
            ("renewed_at", |parts, to| parts.renewed_at.0 = to, 0, LONGEST.0),
            ("ended_at", |parts, to| parts.ended_at = Some(Millis(to)), 0, LONGEST.0),
            ("longest_ttl", |parts, to| parts.longest_ttl.0 = to, 0, LONGEST.0),
            ("last_revision", |parts, to| parts.last_revision = Some(Revision(to)), 1, 199),
            ("a drain", |parts, to| all(parts).candidacies[0].drains_until = Some(Millis(to)), 0, LONGEST.0),
            ("a hold", |parts, to| all(parts).holds[0].until.0 = to, 0, LONGEST.0),
            (
                "ceiling",
                |parts, to| {
                    *parts = RecordParts {
                        tenure: Tenure(1),
                        ceiling: Ceiling(to),
                        last_revision: None,
                        handover: None,
                        ..parts.clone()
                    }
                },
                2,
                NUMBER_LIMIT,
            ),
        ];
        bounded(&parts(), Record::from_parts, &rules);
    }

    #[test]
    fn a_handover_that_cannot_have_come_about_is_no_record() {
        for (candidacies, says) in [
            (vec![carried(Some(199), None)], None),
            (vec![carried(Some(200), None)], Some("a number of the handover is 200; it must lie between 1 and 199")),
            (vec![carried(None, None), carried(Some(109), None)], Some("enrolment 107 is handed over twice")),
            (vec![carried(None, Some(Millis(1)))], Some("enrolment 107 has a drain, and no token")),
        ] {
            let mut parts = parts();
            all(&mut parts).candidacies = candidacies;
            let error = Record::from_parts(parts).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), says);
        }
    }

    #[test]
    fn nobody_knows_when_a_tenure_ended_that_may_have_gone_on() {
        let record = Record::from_parts(parts()).unwrap().bounded(Some(Millis(u64::MAX)));
        assert_eq!((record.ended_at, Record::from_parts((*record).clone()).is_ok()), (Some(LONGEST), true));
    }
}
