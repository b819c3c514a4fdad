//! A candidacy as bytes. Tickets (inside their seal), the frames of the mirror and the handover in
//! the state file have the same encoding, and one way back: through the core's
//! [`Ticket::from_parts`], which says what is lawful.

use leasehold_core::{
    Attempt, CandidateName, Carried, ElectionName, Enrolment, FencingToken, Held, Millis, PodUid, Subject, Tenure,
    Ticket, TicketParts, Unlawful, Value,
};
use prost::Message;

/// A leased candidacy.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Candidacy {
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
    /// Zero in a ticket, which has it in its header.
    #[prost(uint64, tag = "9")]
    tenure: u64,
    #[prost(uint64, tag = "10")]
    accepted_at_ms: u64,
    #[prost(uint64, tag = "11")]
    hold_ms: u64,
    /// Zero: as `tenure`.
    #[prost(uint64, tag = "12")]
    issued: u64,
    /// None in a ticket.
    #[prost(uint64, optional, tag = "13")]
    drains_until_ms: Option<u64>,
    /// Empty: its entry has no name. None in a ticket.
    #[prost(string, tag = "14")]
    attempt: String,
    /// Empty: it wasn't established. A reader that doesn't know the field asks for the verb
    /// `replace` where the pod would have been the proof.
    #[prost(string, tag = "15")]
    pod: String,
}

/// An election on hold.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Hold {
    #[prost(string, tag = "1")]
    election: String,
    #[prost(uint64, tag = "2")]
    until_ms: u64,
}

impl Candidacy {
    pub(crate) fn in_tenure(self, tenure: u64) -> Self {
        Self { tenure, ..self }
    }
}

/// What the core has, and the message for it.
pub(crate) trait Packed: Sized {
    /// The message.
    type Message: Message + Default;

    fn pack(&self) -> Self::Message;

    fn unpack(message: &Self::Message) -> Result<Self, Unlawful>;
}

impl Packed for Ticket {
    type Message = Candidacy;

    fn pack(&self) -> Candidacy {
        Candidacy {
            election: self.election.to_string(),
            candidate: self.candidate.to_string(),
            subject: self.subject.to_string(),
            value: self.value.to_string(),
            ttl_ms: self.ttl.0,
            enrolment: self.enrolment.0,
            place: self.place.0,
            token: self.token.map(|token| token.0),
            tenure: self.tenure.0,
            accepted_at_ms: self.accepted_at.0,
            hold_ms: self.hold.0,
            issued: if self.issued == self.tenure { 0 } else { self.issued.0 },
            drains_until_ms: None,
            attempt: String::new(),
            pod: self.pod.as_ref().map(PodUid::to_string).unwrap_or_default(),
        }
    }

    fn unpack(message: &Candidacy) -> Result<Self, Unlawful> {
        Self::from_parts(TicketParts {
            election: ElectionName::new(&message.election)?,
            candidate: CandidateName::new(&message.candidate)?,
            subject: Subject::new(&message.subject)?,
            pod: Some(message.pod.as_str()).filter(|pod| !pod.is_empty()).map(PodUid::new).transpose()?,
            value: Value::new(&message.value)?,
            ttl: Millis(message.ttl_ms),
            enrolment: Enrolment(message.enrolment),
            place: Enrolment(message.place),
            token: message.token.map(FencingToken),
            tenure: Tenure(message.tenure),
            accepted_at: Millis(message.accepted_at_ms),
            hold: Millis(message.hold_ms),
            issued: Tenure(if message.issued == 0 { message.tenure } else { message.issued }),
        })
    }
}

impl Packed for Carried {
    type Message = Candidacy;

    fn pack(&self) -> Candidacy {
        let attempt = self.attempt.as_ref().map(Attempt::to_string).unwrap_or_default();
        Candidacy { drains_until_ms: self.drains_until.map(|until| until.0), attempt, ..self.ticket.pack() }
    }

    fn unpack(message: &Candidacy) -> Result<Self, Unlawful> {
        let attempt = Some(message.attempt.as_str()).filter(|attempt| !attempt.is_empty()).map(Attempt::new);
        let drains_until = message.drains_until_ms.map(Millis);
        Ok(Self { ticket: Ticket::unpack(message)?, drains_until, attempt: attempt.transpose()? })
    }
}

impl Packed for Held {
    type Message = Hold;

    fn pack(&self) -> Hold {
        Hold { election: self.election.to_string(), until_ms: self.until.0 }
    }

    fn unpack(message: &Hold) -> Result<Self, Unlawful> {
        Ok(Self { election: ElectionName::new(&message.election)?, until: Millis(message.until_ms) })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use leasehold_core::{LONGEST, MAX_HOLD, MAX_MAX_TTL, NUMBER_LIMIT};
    use proptest::prelude::*;

    /// A leader's.
    pub(crate) fn parts() -> TicketParts {
        TicketParts {
            election: ElectionName::new("billing/nightly-report").unwrap(),
            candidate: CandidateName::new("wörker \"1\"").unwrap(),
            subject: Subject::anonymous(),
            pod: None,
            value: Value::new("10.0.0.1:80\n").unwrap(),
            ttl: Millis(15_000),
            enrolment: Enrolment(1_000_007),
            place: Enrolment(1_000_003),
            token: Some(FencingToken(1_000_009)),
            tenure: Tenure(1_000_000),
            accepted_at: Millis(4321),
            hold: Millis(60_000),
            issued: Tenure(1_000_000),
        }
    }

    prop_compose! {
        /// Any candidacy whose numbers lie below `end`.
        pub(crate) fn any_carried(end: u64)(
            election in "[a-zA-Z0-9._-]{1,100}(/[a-zA-Z0-9._-]{1,100})?",
            words in prop::array::uniform2("\\PC{1,64}"),
            value in "(?s).{0,1024}",
            ttl in 1..=MAX_MAX_TTL.0,
            numbers in prop::array::uniform3(1..end),
            others in prop::array::uniform2(prop::option::of(1..end)),
            times in prop::array::uniform3(0..=LONGEST.0),
            drains in any::<bool>(),
            attempt in prop::option::of("[!-~]{1,64}"),
            pod in prop::option::of("[!-~]{1,64}"),
        ) -> Carried {
            let ([enrolment, place, tenure], [token, issued], [accepted_at, hold, drain]) = (numbers, others, times);
            let ticket = TicketParts {
                election: ElectionName::new(&election).unwrap(),
                candidate: CandidateName::new(&words[0]).unwrap(),
                subject: Subject::new(&words[1]).unwrap(),
                pod: pod.map(|pod| PodUid::new(&pod).unwrap()),
                value: Value::new(&value).unwrap(),
                ttl: Millis(ttl),
                enrolment: Enrolment(enrolment),
                place: Enrolment(place.min(enrolment)),
                token: token.map(FencingToken),
                tenure: Tenure(tenure),
                accepted_at: Millis(accepted_at),
                hold: Millis(if token.is_some() { hold } else { hold.min(MAX_HOLD.0) }),
                issued: Tenure(tenure.max(issued.unwrap_or(0))),
            };
            Carried {
                ticket: Ticket::from_parts(ticket).unwrap(),
                drains_until: (drains && token.is_some()).then_some(Millis(drain)),
                attempt: attempt.map(|attempt| Attempt::new(&attempt).unwrap()),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(carried in any_carried(NUMBER_LIMIT)) {
            let packed = Candidacy::decode(&*carried.pack().encode_to_vec()).unwrap();
            prop_assert_eq!(Carried::unpack(&packed), Ok(carried));
        }
    }

    #[test]
    fn what_is_unlawful_is_not_unpacked() {
        let good = Ticket::from_parts(parts()).unwrap().pack();
        for (bad, says) in [
            (Candidacy { ttl_ms: 0, ..good.clone() }, "ttl is 0; it must lie between 1 and 86400000"),
            (Candidacy { token: Some(NUMBER_LIMIT), ..good.clone() }, "token is 9007199254740992"),
            (Candidacy { value: "v".repeat(4097), ..good.clone() }, "the value has 4097 bytes"),
            (Candidacy { attempt: "a b".to_owned(), ..good }, "the attempt has ' ' at byte 1"),
        ] {
            let error = Carried::unpack(&bad).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
