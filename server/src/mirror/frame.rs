//! Frames: how the state of the active replica is written down for standbys.

use leasehold_core::{
    Attempt, CandidateName, ElectionName, Enrolment, FencingToken, Held, MAX_MAX_TTL, Millis, MirrorBatch, Mirrored,
    NUMBER_LIMIT, Subject, Tenure, Ticket, Value,
};
use leasehold_shell::News;
use prost::Message;

/// A frame is ended when it has got as long as this; the last candidacy in it may be some KiB longer.
const FRAME_BYTES: usize = 1024 * 1024;
/// A candidacy is shorter than this: a value of 4 KiB and three names.
const CANDIDACY_BYTES: usize = 8192;

/// A part of a batch.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Frame {
    #[prost(uint64, tag = "1")]
    pub(crate) tenure: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) after: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) number: u64,
    /// It is all that there is.
    #[prost(bool, tag = "4")]
    pub(crate) snapshot: bool,
    /// The next frame goes on with this batch.
    #[prost(bool, tag = "5")]
    pub(crate) goes_on: bool,
    #[prost(message, repeated, tag = "6")]
    pub(crate) there: Vec<There>,
    #[prost(uint64, repeated, tag = "7")]
    pub(crate) gone: Vec<u64>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) holds: Vec<Hold>,
}

/// An election whose hold began, or ended.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Hold {
    #[prost(string, tag = "1")]
    election: String,
    /// Zero: it ended.
    #[prost(uint64, tag = "2")]
    until_ms: u64,
}

/// A candidacy.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct There {
    #[prost(string, tag = "1")]
    election: String,
    #[prost(string, tag = "2")]
    candidate: String,
    #[prost(string, tag = "3")]
    subject: String,
    #[prost(string, tag = "4")]
    value: String,
    #[prost(uint64, tag = "5")]
    ttl_ms: u64,
    #[prost(uint64, tag = "6")]
    enrolment: u64,
    #[prost(uint64, tag = "7")]
    place: u64,
    #[prost(uint64, optional, tag = "8")]
    token: Option<u64>,
    #[prost(uint64, tag = "9")]
    tenure: u64,
    #[prost(uint64, tag = "10")]
    accepted_at_ms: u64,
    #[prost(uint64, optional, tag = "11")]
    drains_until_ms: Option<u64>,
    #[prost(string, tag = "12")]
    attempt: String,
    #[prost(uint64, tag = "13")]
    hold_ms: u64,
    /// Zero: as `tenure`.
    #[prost(uint64, tag = "14")]
    issued: u64,
}

/// The frames of one piece of news.
pub(crate) fn frames(news: &News) -> Vec<Frame> {
    let (batch, snapshot) = match news {
        News::Snapshot(batch) => (batch, true),
        News::Changed(batch) => (batch, false),
    };
    let empty = Frame {
        tenure: batch.tenure.0,
        after: batch.after,
        number: batch.number,
        snapshot,
        goes_on: true,
        there: Vec::new(),
        gone: Vec::new(),
        holds: Vec::new(),
    };
    let mut frames = vec![Frame { gone: batch.gone.iter().map(|id| id.0).collect(), ..empty.clone() }];
    let mut bytes = 0;
    for mirrored in &batch.there {
        let there = There::from(mirrored);
        bytes += there.encoded_len();
        if bytes > FRAME_BYTES {
            bytes = 0;
            frames.push(empty.clone());
        }
        if let Some(last) = frames.last_mut() {
            last.there.push(there);
        }
    }
    for Held { election, until } in &batch.holds {
        let hold = Hold { election: election.to_string(), until_ms: until.0 };
        bytes += hold.encoded_len();
        if bytes > FRAME_BYTES {
            bytes = 0;
            frames.push(empty.clone());
        }
        if let Some(last) = frames.last_mut() {
            last.holds.push(hold);
        }
    }
    if let Some(last) = frames.last_mut() {
        last.goes_on = false;
    }
    frames
}

/// The batch of these frames, and whether it is a snapshot. `None`: they don't make sense.
pub(crate) fn batch(frames: Vec<Frame>) -> Option<(MirrorBatch, bool)> {
    let first = frames.first()?;
    let (tenure, after, number, snapshot) = (Tenure(first.tenure), first.after, first.number, first.snapshot);
    let mut batch = MirrorBatch { tenure, after, number, there: Vec::new(), gone: Vec::new(), holds: Vec::new() };
    for frame in frames {
        batch.gone.extend(frame.gone.into_iter().map(Enrolment));
        for there in frame.there {
            batch.there.push(there.into_mirrored()?);
        }
        for hold in frame.holds {
            let election = ElectionName::new(&hold.election).ok()?;
            let until = (hold.until_ms < NUMBER_LIMIT).then_some(Millis(hold.until_ms))?;
            batch.holds.push(Held { election, until });
        }
    }
    Some((batch, snapshot))
}

/// The longest frame, sealed.
pub(crate) fn longest(gone: usize) -> usize {
    FRAME_BYTES + CANDIDACY_BYTES + gone * 10
}

impl From<&Mirrored> for There {
    fn from(mirrored: &Mirrored) -> Self {
        let ticket = &mirrored.ticket;
        Self {
            election: ticket.election.to_string(),
            candidate: ticket.candidate.to_string(),
            subject: ticket.subject.to_string(),
            value: ticket.value.to_string(),
            ttl_ms: ticket.ttl.0,
            enrolment: ticket.enrolment.0,
            place: ticket.place.0,
            token: ticket.token.map(|token| token.0),
            tenure: ticket.tenure.0,
            accepted_at_ms: ticket.accepted_at.0,
            drains_until_ms: mirrored.drains_until.map(|until| until.0),
            attempt: mirrored.attempt.as_ref().map(Attempt::to_string).unwrap_or_default(),
            hold_ms: ticket.hold.0,
            issued: if ticket.issued == ticket.tenure { 0 } else { ticket.issued.0 },
        }
    }
}

impl There {
    fn into_mirrored(self) -> Option<Mirrored> {
        let numbers = [self.enrolment, self.place, self.token.unwrap_or(0), self.tenure, self.issued];
        let times = [self.accepted_at_ms, self.drains_until_ms.unwrap_or(0), self.hold_ms];
        if numbers.iter().chain(&times).any(|number| *number >= NUMBER_LIMIT)
            || self.place > self.enrolment
            || self.ttl_ms > MAX_MAX_TTL.0
        {
            return None;
        }
        let ticket = Ticket {
            election: ElectionName::new(&self.election).ok()?,
            candidate: CandidateName::new(&self.candidate).ok()?,
            subject: Subject::new(&self.subject).ok()?,
            value: Value::new(&self.value).ok()?,
            ttl: Millis(self.ttl_ms),
            enrolment: Enrolment(self.enrolment),
            place: Enrolment(self.place),
            token: self.token.map(FencingToken),
            tenure: Tenure(self.tenure),
            accepted_at: Millis(self.accepted_at_ms),
            hold: Millis(self.hold_ms),
            issued: Tenure(self.issued.max(self.tenure)),
        };
        let attempt = Some(self.attempt).filter(|attempt| !attempt.is_empty());
        let attempt = attempt.map(|attempt| Attempt::new(&attempt)).transpose().ok()?;
        Some(Mirrored { ticket, drains_until: self.drains_until_ms.map(Millis), attempt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn mirrored(number: u64) -> Mirrored {
        let ticket = Ticket {
            election: ElectionName::new("a").unwrap(),
            candidate: CandidateName::new("b").unwrap(),
            subject: Subject::anonymous(),
            value: Value::new(&"v".repeat(4000)).unwrap(),
            ttl: Millis(15_000),
            enrolment: Enrolment(number),
            place: Enrolment(number - 1),
            token: number.is_multiple_of(2).then_some(FencingToken(number)),
            tenure: Tenure(7),
            accepted_at: Millis(8),
            hold: Millis(number),
            issued: Tenure(7 + number % 2),
        };
        let attempt = number.is_multiple_of(4).then(|| Attempt::new("first").unwrap());
        Mirrored { ticket, drains_until: number.is_multiple_of(3).then_some(Millis(9)), attempt }
    }

    #[test]
    fn a_batch_survives_its_frames() {
        let there: Vec<_> = (10..1010).map(mirrored).collect();
        let held = |number| Held { election: ElectionName::new(&format!("h{number}")).unwrap(), until: Millis(number) };
        let holds = (0..100).map(held).collect();
        let whole = MirrorBatch { tenure: Tenure(7), after: 3, number: 9, there, gone: vec![Enrolment(5)], holds };
        for (news, snapshot) in
            [(News::Snapshot(Arc::new(whole.clone())), true), (News::Changed(Arc::new(whole.clone())), false)]
        {
            let frames = frames(&news);
            assert!(frames.len() > 3, "{} frames", frames.len());
            assert!(frames.iter().all(|frame| frame.encoded_len() <= longest(1)));
            let going_on = frames.iter().filter(|frame| frame.goes_on).count();
            assert_eq!(going_on, frames.len() - 1);
            assert_eq!(batch(frames), Some((whole.clone(), snapshot)));
        }
    }

    /// Found by fuzzing: each of them reached the core, whose invariants they break.
    #[test]
    fn numbers_that_no_replica_has_make_no_batch() {
        let there = There::from(&mirrored(6));
        for bad in [
            There { token: Some(NUMBER_LIMIT), ..there.clone() },
            There { tenure: NUMBER_LIMIT, ..there.clone() },
            There { issued: NUMBER_LIMIT, ..there.clone() },
            There { place: 7, ..there.clone() },
            There { ttl_ms: u64::MAX, ..there.clone() },
            There { accepted_at_ms: u64::MAX, ..there.clone() },
            There { drains_until_ms: Some(NUMBER_LIMIT), ..there.clone() },
            There { hold_ms: NUMBER_LIMIT, ..there.clone() },
            There { attempt: "a b".to_owned(), ..there.clone() },
        ] {
            assert_eq!(bad.clone().into_mirrored(), None, "{bad:?}");
        }
        assert_eq!(there.into_mirrored(), Some(mirrored(6)));
    }

    #[test]
    fn a_bad_name_makes_no_batch() {
        let mut frames = frames(&News::Snapshot(Arc::new(MirrorBatch {
            tenure: Tenure(1),
            after: 0,
            number: 0,
            there: vec![mirrored(10)],
            gone: Vec::new(),
            holds: Vec::new(),
        })));
        frames[0].there[0].election = "//".to_owned();
        assert_eq!(batch(frames), None);
    }
}
