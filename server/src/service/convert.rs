//! Between the contract's messages and the core's types.

use super::Context;
use super::campaign::Entered;
use crate::caller::Caller;
use crate::clock;
use crate::errors::Refusal;
use crate::task_token::Claims;
use leasehold_core::{
    Attempt, CandidateName, Change, ChangeReason, ElectionName, ElectionState, EndReason, Entry, Kept, Lead, Leader,
    Millis, Replace, Subject, Tenure, Ticket, Time, Value,
};
use leasehold_proto::v1;
use std::time::Duration;

/// How long the task token of a stream-bound leader is good for: it has no lease whose end could be
/// named.
const STREAM_BOUND_TASK_TOKEN: Millis = Millis(60_000);

/// A duration that was asked for. One that isn't whole milliseconds is refused: cut, it would be
/// another one than the worker counts with.
pub(crate) fn millis(what: &str, duration: &prost_types::Duration) -> Result<Millis, Refusal> {
    // Not by its Display, which panics at the lowest number.
    let (s, ns) = (duration.seconds, duration.nanos);
    let shown = if ns == 0 { format!("{s}s") } else { format!("{s}s {ns}ns") };
    let refuse = |why: &str| Refusal::Argument(format!("{what} is {shown}: {why}"));
    let seconds = u64::try_from(duration.seconds).map_err(|_| refuse("it must not be negative"))?;
    let nanos = u32::try_from(duration.nanos).map_err(|_| refuse("it must not be negative"))?;
    if nanos >= 1_000_000_000 || seconds > 315_576_000_000 {
        return Err(refuse("that isn't a duration"));
    }
    if !nanos.is_multiple_of(1_000_000) {
        return Err(refuse("give it in whole milliseconds"));
    }
    Ok(Millis(seconds * 1000 + u64::from(nanos / 1_000_000)))
}

pub(crate) fn duration(millis: Millis) -> prost_types::Duration {
    // Bounded: everything the core measures is far below 2^63 ms.
    prost_types::Duration::try_from(Duration::from_millis(millis.0)).unwrap_or_default()
}

/// A duration that is left; unset if nothing is.
pub(crate) fn some(left: Millis) -> Option<prost_types::Duration> {
    (left > Millis(0)).then(|| duration(left))
}

/// The request of a new candidacy. Nobody is replaced by it yet.
pub(crate) fn entry(request: v1::CampaignRequest, caller: &Caller) -> Result<Entry, Refusal> {
    let ttl = request.ttl.as_ref().map(|ttl| millis("ttl", ttl)).transpose()?;
    let max_wait = request.max_wait.as_ref().map(|wait| millis("max_wait", wait)).transpose()?;
    let hold = request.hold.as_ref().map(|hold| millis("hold", hold)).transpose()?;
    let attempt = Some(request.attempt).filter(|attempt| !attempt.is_empty());
    Ok(Entry {
        election: ElectionName::new(&request.election)?,
        candidate: CandidateName::new(&request.candidate)?,
        subject: caller.subject(),
        pod: caller.pod(),
        ttl,
        value: Value::new(&request.value)?,
        no_wait: request.no_wait,
        // Zero means without limit.
        max_wait: max_wait.filter(|wait| *wait > Millis(0)),
        replace_former: Replace::Nobody,
        attempt: attempt.map(|attempt| Attempt::new(&attempt)).transpose()?,
        hold: hold.unwrap_or(Millis(0)),
    })
}

pub(crate) fn end_reason(reason: EndReason) -> v1::EndReason {
    match reason {
        EndReason::Resigned => v1::EndReason::Resigned,
        EndReason::Expired => v1::EndReason::Expired,
        EndReason::Replaced => v1::EndReason::Replaced,
        EndReason::Overtaken => v1::EndReason::Overtaken,
        EndReason::SteppedDown => v1::EndReason::SteppedDown,
        EndReason::NotGranted => v1::EndReason::NotGranted,
    }
}

/// The same for people, with what to do about it.
pub(crate) fn end_detail(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Resigned => "the worker resigned, or its stream closed",
        EndReason::Expired => {
            "no KeepAlive arrived within the ttl, or the ticket is too old to be put back after a restart of the service; enter \
             the election again with Campaign"
        }
        EndReason::Replaced => "a candidate of the same name entered with replace_former",
        EndReason::Overtaken => {
            "after a restart of the service a leader with a higher fencing token came back; enter the election again with \
             Campaign"
        }
        EndReason::SteppedDown => {
            "an operator ended this leadership with StepDown; enter the election again with Campaign"
        }
        EndReason::NotGranted => "it couldn't be granted in the time that was asked for",
    }
}

pub(crate) fn change_reason(reason: ChangeReason) -> v1::ChangeReason {
    match reason {
        ChangeReason::Elected => v1::ChangeReason::Elected,
        ChangeReason::Proclaimed => v1::ChangeReason::Proclaimed,
        ChangeReason::Draining => v1::ChangeReason::Draining,
        ChangeReason::Restored => v1::ChangeReason::Restored,
        ChangeReason::Held => v1::ChangeReason::Held,
        ChangeReason::Ended(EndReason::Resigned | EndReason::NotGranted) => v1::ChangeReason::Resigned,
        ChangeReason::Ended(EndReason::Expired) => v1::ChangeReason::Expired,
        ChangeReason::Ended(EndReason::Replaced) => v1::ChangeReason::Replaced,
        ChangeReason::Ended(EndReason::Overtaken) => v1::ChangeReason::Overtaken,
        ChangeReason::Ended(EndReason::SteppedDown) => v1::ChangeReason::SteppedDown,
    }
}

pub(crate) fn leader(leader: &Leader) -> v1::Leader {
    v1::Leader {
        candidate: leader.candidate.to_string(),
        fencing_token: leader.token.0,
        value: leader.value.to_string(),
        draining: leader.draining,
        leased: leader.leased,
    }
}

pub(crate) fn change(change: &Change, missed_changes: bool) -> v1::ElectionChange {
    v1::ElectionChange {
        election: change.election.to_string(),
        revision: change.revision.0,
        leader: change.leader.as_ref().map(leader),
        reason: change_reason(change.reason).into(),
        missed_changes,
        hold: change.held_until.and_then(|until| some(until.since(clock::now()))),
    }
}

pub(crate) fn election(state: &ElectionState) -> v1::Election {
    let led = state.last.as_ref().and_then(|last| last.leader.as_ref());
    let leadership = match led {
        Some(_) => v1::Leadership::Led,
        None if state.settling > Millis(0) => v1::Leadership::Unsettled,
        None => v1::Leadership::Vacant,
    };
    v1::Election {
        name: state.name.to_string(),
        leadership: leadership.into(),
        leader: led.map(leader),
        revision: state.last.as_ref().map_or(0, |last| last.revision.0),
        reason: state.last.as_ref().map_or(v1::ChangeReason::Unspecified, |last| change_reason(last.reason)).into(),
        waiting: u32::try_from(state.waiting).unwrap_or(u32::MAX),
        hold: some(state.hold),
        settling: some(state.settling),
    }
}

impl Context {
    /// The ticket in these bytes, if it is this caller's.
    pub(crate) fn open(&self, caller: &Caller, ticket: &[u8]) -> Result<Ticket, Refusal> {
        let ticket = self.sealer.open(ticket)?;
        self.access.check_owner(caller, &ticket)?;
        Ok(ticket)
    }

    /// `at` is when the loop said so, or a moment before.
    pub(crate) async fn elected(&self, lead: &Lead, at: Time, asks: &Entered) -> v1::Elected {
        let end = lead.lease_left.map_or(clock::now() + STREAM_BOUND_TASK_TOKEN, |left| at + left);
        let claims = || self.claims(&lead.election, (&lead.candidate, &asks.subject), lead.token.0, end);
        let task_token = match asks.wants_task_token.then(claims).flatten() {
            Some(claims) => self.signer.sign(asks.owner, &[Some(claims)]).await.pop().unwrap_or_default(),
            None => String::new(),
        };
        v1::Elected {
            fencing_token: lead.token.0,
            ticket: lead.ticket.as_ref().map(|ticket| self.sealer.seal(ticket)).unwrap_or_default(),
            task_token,
        }
    }

    /// What a task token says. Nothing when the lease is over: what says otherwise may have been
    /// held up on its way.
    fn claims(
        &self,
        election: &ElectionName,
        (candidate, subject): (&CandidateName, &Subject),
        fence: u64,
        end: Time,
    ) -> Option<Claims> {
        let left = end.since(clock::now());
        if left == Millis(0) {
            return None;
        }
        let now = clock::unix_millis();
        Some(Claims {
            iss: self.signer.tokens().issuer().to_owned(),
            sub: candidate.to_string(),
            subject: (*subject != Subject::anonymous()).then(|| subject.to_string()),
            election: election.to_string(),
            fence,
            iat: now / 1000,
            // Rounded down: a token never outlives the lease.
            exp: (now + left.0) / 1000,
        })
    }

    /// What the task token of a candidacy says that was kept alive `at` that moment or a little
    /// later, if it leads.
    pub(crate) fn claims_of(&self, kept: &Kept, at: Time) -> Option<Claims> {
        match kept {
            Kept::Leading { ticket, .. } => {
                let token = ticket.token?;
                let who = (&ticket.candidate, &ticket.subject);
                self.claims(&ticket.election, who, token.0, at + ticket.ttl)
            }
            _ => None,
        }
    }

    /// One candidacy's answer to KeepAlive.
    pub(crate) fn kept(&self, kept: &Kept, task_token: String) -> v1::KeepAliveResult {
        match kept {
            Kept::Waiting { ticket, version } => v1::KeepAliveResult {
                state: v1::CandidacyState::Waiting.into(),
                ticket: self.sealer.seal(ticket),
                version: version.0,
                ttl: Some(duration(ticket.ttl)),
                ..Default::default()
            },
            Kept::Leading { ticket, version } => v1::KeepAliveResult {
                state: v1::CandidacyState::Leading.into(),
                ticket: self.sealer.seal(ticket),
                version: version.0,
                fencing_token: ticket.token.unwrap_or_default().0,
                task_token,
                ttl: Some(duration(ticket.ttl)),
                ..Default::default()
            },
            Kept::Draining { ticket, version, remaining } => v1::KeepAliveResult {
                state: v1::CandidacyState::Draining.into(),
                ticket: self.sealer.seal(ticket),
                version: version.0,
                fencing_token: ticket.token.unwrap_or_default().0,
                remaining: Some(duration(*remaining)),
                ..Default::default()
            },
            Kept::Ended(reason) => v1::KeepAliveResult {
                state: v1::CandidacyState::Ended.into(),
                end_reason: end_reason(*reason).into(),
                detail: end_detail(*reason).to_owned(),
                ..Default::default()
            },
        }
    }
}

/// A ticket that can't be opened does no harm to the other ones of its call.
pub(crate) fn unopened(refusal: &Refusal) -> v1::KeepAliveResult {
    v1::KeepAliveResult { state: v1::CandidacyState::Refused.into(), detail: refusal.to_string(), ..Default::default() }
}

/// How often a worker should send KeepAlive.
pub(crate) fn keep_alive_interval(ttl: Millis) -> Millis {
    Millis(ttl.0 / 3)
}

/// For responses.
pub(crate) fn number(tenure: Tenure) -> u64 {
    tenure.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_checked() {
        let duration = |seconds, nanos| prost_types::Duration { seconds, nanos };
        assert_eq!(millis("ttl", &duration(15, 500_000_000)).unwrap(), Millis(15_500));
        for bad in [
            duration(i64::MIN, i32::MIN),
            duration(-1, 0),
            duration(0, -1),
            duration(0, 1_000_000_000),
            duration(i64::MAX, 0),
            duration(0, 1),
            duration(5, 1_999_999),
        ] {
            assert!(millis("ttl", &bad).unwrap_err().to_string().starts_with("ttl is "));
        }
    }

    #[test]
    fn a_wait_of_nothing_is_one_without_limit() {
        let wait = |wait: Option<u64>| {
            let request = v1::CampaignRequest {
                election: "a".into(),
                candidate: "x".into(),
                max_wait: wait.map(|wait| super::duration(Millis(wait))),
                ..Default::default()
            };
            entry(request, &Caller::of(&tonic::Request::new(()))).unwrap().max_wait
        };
        assert_eq!((wait(None), wait(Some(0)), wait(Some(2000))), (None, None, Some(Millis(2000))));
    }
}
