//! What the answers of the service mean for one candidacy. No I/O: each answer goes in, and what to do comes out.

use crate::beat::Answer;
use crate::clock::Moment;
use crate::proto::campaign_response::Event;
use crate::proto::{CampaignResponse, CandidacyState, Elected, EndReason, Enrolled, KeepAliveResult, ProclaimResponse};
use crate::ticket::{Ticket, is_outage};
use crate::view::{Phase, Shared};
use crate::{Lost, Standing};
use std::sync::Arc;
use std::time::Duration;

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on.
    Go,
    /// Send a KeepAlive now.
    Hurry,
    /// An outage ended the candidacy before its worker was told that it leads: enter again.
    Restart,
    /// An unhealthy worker leaves the queue: resign, and enter again when it is well.
    StepBack,
    /// The service isn't believed any more: leave its queue, and enter again when it is.
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

#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) shared: Shared,
    pub(crate) ticket: Ticket,
    pub(crate) ttl: Duration,
}

impl Kept {
    /// A candidacy that the service has just confirmed, with the Campaign that was sent at this moment.
    pub(crate) fn new(
        shared: Shared,
        first: &CampaignResponse,
        enrolled: Enrolled,
        sent: Moment,
        ttl: Duration,
    ) -> Self {
        let ttl = enrolled.ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or(ttl);
        shared.change(|view| {
            view.enrolment = enrolled.enrolment;
            view.tenure = first.tenure;
            view.deadline = sent.plus(ttl);
        });
        Self { shared, ticket: Ticket::new(enrolled.ticket, first.version), ttl }
    }

    /// A KeepAlive was answered.
    pub(crate) fn on_answer(&mut self, answer: Answer) -> Next {
        let Ok((tenure, result)) = answer.result else { return Next::Go };
        if !self.ticket.admit(result.version) {
            return Next::Go;
        }
        let state = result.state();
        match state {
            CandidacyState::Ended => return self.ended(result.end_reason(), result.detail),
            CandidacyState::Refused => return self.over(Lost::Refused { detail: result.detail }, true),
            _ => {}
        }
        let next = match state {
            CandidacyState::Leading | CandidacyState::Draining => {
                let draining = state == CandidacyState::Draining;
                let deadline = (!draining).then(|| self.accepted(answer.sent, &result));
                let (token, task_token) = (result.fencing_token, &*result.task_token);
                self.leads(Lead { token, tenure, task_token, draining, deadline })
            }
            CandidacyState::Waiting => {
                let deadline = self.accepted(answer.sent, &result);
                self.waits(Standing::Waiting { ahead: None, settling: None, hold: None }, Some(deadline))
            }
            // Whatever isn't known says that it doesn't lead.
            _ => self.waits(Standing::Waiting { ahead: None, settling: None, hold: None }, None),
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
    pub(crate) fn on_event(&mut self, response: CampaignResponse) -> Next {
        if !self.ticket.admit(response.version) {
            return Next::Go;
        }
        let tenure = response.tenure;
        match response.event {
            Some(Event::Enrolled(enrolled)) => {
                self.ticket.take(enrolled.ticket);
                Next::Go
            }
            Some(Event::Waiting(waiting)) => {
                let left = |left: Option<prost_types::Duration>| left.and_then(|left| Duration::try_from(left).ok());
                let (settling, hold) = (left(waiting.settling), left(waiting.hold));
                self.waits(Standing::Waiting { ahead: Some(waiting.ahead), settling, hold }, None)
            }
            Some(Event::Elected(elected)) => self.on_elected(tenure, elected),
            Some(Event::Draining(draining)) => {
                let token = draining.fencing_token;
                self.leads(Lead { token, tenure, task_token: "", draining: true, deadline: None })
            }
            Some(Event::Ended(ended)) => self.ended(ended.reason(), ended.detail),
            Some(Event::Heartbeat(_)) => Next::Go,
            // Whatever isn't known says that it doesn't lead.
            None => self.waits(Standing::Waiting { ahead: None, settling: None, hold: None }, None),
        }
    }

    fn on_elected(&mut self, tenure: u64, elected: Elected) -> Next {
        let (token, task_token) = (elected.fencing_token, &*elected.task_token);
        let next = self.leads(Lead { token, tenure, task_token, draining: false, deadline: None });
        self.ticket.take(elected.ticket);
        // It came late: only a KeepAlive can give the leadership a deadline that lies ahead.
        if next == Next::Go && self.shared.look(|view| view.deadline.has_passed()) { Next::Hurry } else { next }
    }

    /// A proclamation was answered.
    pub(crate) fn on_proclaimed(&mut self, answer: ProclaimResponse) {
        if self.ticket.admit(answer.version) {
            self.ticket.take(answer.ticket);
        }
    }

    /// It waits, and has this deadline if a KeepAlive says so. A worker that was told that it leads
    /// doesn't any more: its guard is final. A KeepAlive doesn't tell the place, and doesn't hide
    /// it.
    fn waits(&mut self, standing: Standing, deadline: Option<Moment>) -> Next {
        let mut next = Next::Go;
        self.shared.change(|view| {
            if view.delivered {
                let detail = "the service doesn't know this leadership any more".to_owned();
                view.phase = Phase::Over(Lost::Ended { reason: EndReason::Overtaken, detail });
                next = Next::Leave;
                return;
            }
            let knows_its_place = matches!(view.phase, Phase::Alive(Standing::Waiting { .. }));
            if deadline.is_none() || !knows_its_place {
                view.phase = Phase::Alive(standing);
            }
            view.draining = false;
            view.deadline = view.deadline.max(deadline.unwrap_or(view.deadline));
        });
        next
    }

    /// It leads. If the worker was told another fencing token, that leadership is over, and a new
    /// one is not for a worker that doesn't ask for it.
    fn leads(&mut self, lead: Lead<'_>) -> Next {
        let token = lead.token;
        let mut next = Next::Go;
        self.shared.change(|view| {
            if view.delivered && view.fencing_token != token {
                let detail = format!("the service granted it anew, with fencing token {token}");
                view.phase = Phase::Over(Lost::Ended { reason: EndReason::Overtaken, detail });
                next = Next::Leave;
                return;
            }
            view.phase = Phase::LEADING;
            (view.fencing_token, view.tenure) = (token, lead.tenure);
            view.draining |= lead.draining;
            view.deadline = view.deadline.max(lead.deadline.unwrap_or(view.deadline));
            if !lead.task_token.is_empty() {
                view.task_token = Arc::from(lead.task_token);
            }
        });
        next
    }

    fn ended(&mut self, reason: EndReason, detail: String) -> Next {
        self.over(Lost::Ended { reason, detail }, is_outage(reason))
    }

    fn over(&mut self, lost: Lost, outage: bool) -> Next {
        if outage && self.shared.end_or_restart(lost.clone(), Standing::Entering) {
            return Next::Restart;
        }
        self.shared.end(lost);
        Next::Over
    }
}
