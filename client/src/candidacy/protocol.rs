//! What the answers of the service mean for one candidacy: each answer goes in, the state changes,
//! and what to do next comes out. No I/O: `now` is an argument.

use super::standing::Standing;
use super::state::{Phase, State};
use super::ticket::Ticket;
use crate::answers::EndReason;
use crate::clock::Moment;
use crate::lost::Lost;
use crate::proto::campaign_response::Event;
use crate::proto::{CampaignResponse, CandidacyState, Elected, Enrolled, KeepAliveResult, ProclaimResponse, Waiting};
use std::sync::Arc;
use std::time::Duration;

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on.
    Go,
    /// Send a KeepAlive now.
    Hurry,
    /// An outage ended the candidacy before its worker was told that it leads: enter again.
    Restart,
    /// An unhealthy worker leaves the queue: resign, and enter again when it is well.
    StepBack,
    /// The service has fallen back: leave its queue, and enter again when it has come up.
    Disown,
    /// The service says that it is over: nothing to resign.
    Over,
    /// The service holds a candidacy that isn't this worker's leadership any more: resign it.
    Leave,
}

/// What an answer says of the lead.
struct Lead<'a> {
    token: u64,
    tenure: u64,
    task_token: &'a str,
    draining: bool,
    /// The new deadline, if a KeepAlive was accepted.
    deadline: Option<Moment>,
}

/// The first answer to a Campaign that made a candidacy.
#[derive(Debug)]
pub(super) struct Confirmed {
    pub(super) tenure: u64,
    pub(super) version: u64,
    pub(super) enrolled: Enrolled,
}

/// The result of a KeepAlive that was answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The moment before it was sent.
    pub(super) sent: Moment,
    pub(super) tenure: u64,
    pub(super) result: KeepAliveResult,
}

/// A candidacy that the service has confirmed.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) ticket: Ticket,
    pub(super) ttl: Duration,
}

impl Protocol {
    /// Begins with the first answer to the Campaign that was sent at this moment.
    pub(super) fn new(state: &mut State, now: Moment, first: Confirmed, sent: Moment, ttl: Duration) -> Self {
        let Confirmed { tenure, version, enrolled } = first;
        let ttl = enrolled.ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or(ttl);
        state.change(now, |state| {
            (state.enrolment, state.tenure, state.deadline) = (enrolled.enrolment, tenure, sent.plus(ttl));
        });
        Self { ticket: Ticket::new(enrolled.ticket, version), ttl }
    }

    /// A KeepAlive was answered.
    pub(super) fn on_answer(&mut self, state: &mut State, now: Moment, answer: Answer) -> Next {
        let Answer { sent, tenure, result } = answer;
        if !self.ticket.admit(result.version) {
            return Next::Go;
        }
        let said = result.state();
        let next = match said {
            CandidacyState::Ended => return ended(state, now, result.end_reason().into(), result.detail),
            CandidacyState::Refused => return over(state, now, Lost::Refused { detail: result.detail }, true),
            CandidacyState::Leading | CandidacyState::Draining => {
                let draining = said == CandidacyState::Draining;
                let deadline = (!draining).then(|| self.accepted(sent, &result));
                let (token, task_token) = (result.fencing_token, &*result.task_token);
                leads(state, now, &Lead { token, tenure, task_token, draining, deadline })
            }
            CandidacyState::Waiting => {
                let deadline = self.accepted(sent, &result);
                waits(state, now, Standing::WAITING, Some(deadline))
            }
            // A state that isn't known isn't a leader's.
            CandidacyState::Unspecified => waits(state, now, Standing::WAITING, None),
        };
        self.ticket.take(result.ticket);
        next
    }

    /// The deadline that a KeepAlive gives that was sent at this moment and accepted.
    fn accepted(&mut self, sent: Moment, result: &KeepAliveResult) -> Moment {
        self.ttl = result.ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or(self.ttl);
        sent.plus(self.ttl)
    }

    /// The stream said something.
    pub(super) fn on_event(&mut self, state: &mut State, now: Moment, response: CampaignResponse) -> Next {
        if !self.ticket.admit(response.version) {
            return Next::Go;
        }
        let tenure = response.tenure;
        match response.event {
            Some(Event::Enrolled(enrolled)) => {
                self.ticket.take(enrolled.ticket);
                Next::Go
            }
            Some(Event::Waiting(Waiting { ahead, settling, hold })) => {
                let left = |left: Option<prost_types::Duration>| left.and_then(|left| Duration::try_from(left).ok());
                let (settling, hold) = (left(settling), left(hold));
                waits(state, now, Standing::Waiting { ahead: Some(ahead), settling, hold }, None)
            }
            Some(Event::Elected(elected)) => self.on_elected(state, now, tenure, elected),
            Some(Event::Draining(draining)) => {
                let token = draining.fencing_token;
                leads(state, now, &Lead { token, tenure, task_token: "", draining: true, deadline: None })
            }
            Some(Event::Ended(over)) => ended(state, now, over.reason().into(), over.detail),
            Some(Event::Heartbeat(_)) => Next::Go,
            // An event that isn't known doesn't make a leader.
            None => waits(state, now, Standing::WAITING, None),
        }
    }

    fn on_elected(&mut self, state: &mut State, now: Moment, tenure: u64, elected: Elected) -> Next {
        let (token, task_token) = (elected.fencing_token, &*elected.task_token);
        let next = leads(state, now, &Lead { token, tenure, task_token, draining: false, deadline: None });
        self.ticket.take(elected.ticket);
        // It came late: only a KeepAlive can give the leadership a deadline that lies ahead.
        if next == Next::Go && state.deadline.has_passed(now) { Next::Hurry } else { next }
    }

    /// A proclamation was answered.
    pub(super) fn on_proclaimed(&mut self, answer: ProclaimResponse) {
        if self.ticket.admit(answer.version) {
            self.ticket.take(answer.ticket);
        }
    }
}

/// It waits, and has this deadline if a KeepAlive says so. A KeepAlive doesn't tell the place in
/// the queue, so a place that is known stays.
///
/// A worker that was told that it leads doesn't any more: the end of its guard is final.
fn waits(state: &mut State, now: Moment, standing: Standing, deadline: Option<Moment>) -> Next {
    let mut next = Next::Go;
    state.change(now, |state| {
        if state.delivered {
            let detail = "the service doesn't know this leadership any more".to_owned();
            state.phase = Phase::Over(Lost::Ended { reason: EndReason::Overtaken, detail });
            next = Next::Leave;
            return;
        }
        let knows_its_place = matches!(state.phase, Phase::Alive(Standing::Waiting { .. }));
        if deadline.is_none() || !knows_its_place {
            state.phase = Phase::Alive(standing);
        }
        state.draining = false;
        state.deadline = state.deadline.max(deadline.unwrap_or(state.deadline));
    });
    next
}

/// It leads. If the worker was told another fencing token, that leadership is over, and the new one
/// isn't for a worker that hasn't asked for it.
fn leads(state: &mut State, now: Moment, lead: &Lead<'_>) -> Next {
    let token = lead.token;
    let mut next = Next::Go;
    state.change(now, |state| {
        if state.delivered && state.fencing_token != token {
            let detail = format!("the service granted it anew, with fencing token {token}");
            state.phase = Phase::Over(Lost::Ended { reason: EndReason::Overtaken, detail });
            next = Next::Leave;
            return;
        }
        state.phase = Phase::LEADING;
        (state.fencing_token, state.tenure) = (token, lead.tenure);
        state.draining |= lead.draining;
        state.deadline = state.deadline.max(lead.deadline.unwrap_or(state.deadline));
        if !lead.task_token.is_empty() {
            state.task_token = Arc::from(lead.task_token);
        }
    });
    next
}

fn ended(state: &mut State, now: Moment, reason: EndReason, detail: String) -> Next {
    // After an outage a worker that still waits enters again by itself.
    let was_outage = matches!(reason, EndReason::Expired | EndReason::Overtaken);
    over(state, now, Lost::Ended { reason, detail }, was_outage)
}

fn over(state: &mut State, now: Moment, lost: Lost, was_outage: bool) -> Next {
    if was_outage && state.end_or_restart(now, lost.clone(), Standing::Entering) {
        return Next::Restart;
    }
    state.end(now, lost);
    Next::Over
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);
    const NOW: Moment = Moment::PAST;

    /// A worker that was told that it leads with fencing token 7, by a Campaign that was sent now.
    fn leading() -> (State, Protocol) {
        let mut state = State::new();
        let confirmed = Confirmed { tenure: 1, version: 5, enrolled: Enrolled::default() };
        let mut protocol = Protocol::new(&mut state, NOW, confirmed, NOW, TTL);
        let elected = Event::Elected(Elected { fencing_token: 7, ..Elected::default() });
        let elected = CampaignResponse { tenure: 1, version: 7, event: Some(elected) };
        assert_eq!(protocol.on_event(&mut state, NOW, elected), Next::Go);
        assert!(state.deliver(NOW));
        (state, protocol)
    }

    fn answer(sent: Moment, state: CandidacyState, fencing_token: u64) -> Answer {
        let result = KeepAliveResult { state: state.into(), fencing_token, version: 8, ..KeepAliveResult::default() };
        Answer { sent, tenure: 1, result }
    }

    #[test]
    fn a_deadline_counts_from_the_moment_of_sending() {
        let (mut state, mut protocol) = leading();
        let (sent, now) = (NOW.plus(TTL / 2), NOW.plus(TTL - Duration::from_nanos(1)));
        assert_eq!(protocol.on_answer(&mut state, now, answer(sent, CandidacyState::Leading, 7)), Next::Go);
        assert_eq!((state.lost(now), state.deadline), (None, sent.plus(TTL)));
    }

    #[test]
    fn an_answer_that_comes_at_the_deadline_is_too_late() {
        let (mut state, mut protocol) = leading();
        let now = NOW.plus(TTL);
        protocol.on_answer(&mut state, now, answer(NOW.plus(TTL / 2), CandidacyState::Leading, 7));
        assert_eq!(state.phase, Phase::Over(Lost::Deadline));
    }

    #[test]
    fn a_lead_with_another_token_is_not_the_one_that_was_told() {
        let (mut state, mut protocol) = leading();
        assert_eq!(protocol.on_answer(&mut state, NOW, answer(NOW, CandidacyState::Leading, 8)), Next::Leave);
        assert!(matches!(state.lost(NOW), Some(Lost::Ended { reason: EndReason::Overtaken, .. })));
        assert_eq!(state.fencing_token, 7);
    }
}
