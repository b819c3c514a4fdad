//! What the answers of the service mean for one candidacy. No I/O: each answer goes in, and what to do comes out.

use crate::beat::Answer;
use crate::clock::{self, Moment};
use crate::events::Heard;
use crate::proto::campaign_response::Event;
use crate::proto::{CandidacyState, Elected, EndReason, Enrolled, KeepAliveResult};
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
    /// When it was learned that it leads.
    led_since: Option<Moment>,
}

impl Kept {
    /// A candidacy that the service has just confirmed, with the Campaign that was sent at this moment.
    pub(crate) fn new(shared: Shared, tenure: u64, enrolled: Enrolled, sent: Moment, ttl: Duration) -> Self {
        let ttl = enrolled.ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or(ttl);
        shared.change(|view| {
            view.enrolment = enrolled.enrolment;
            view.tenure = tenure;
            view.deadline = sent.plus(ttl);
        });
        Self { shared, ticket: Ticket::new(enrolled.ticket, tenure), ttl, led_since: None }
    }

    /// A KeepAlive was answered.
    pub(crate) fn on_answer(&mut self, answer: Answer) -> Next {
        let Ok((tenure, result)) = answer.result else { return Next::Go };
        let state = result.state();
        match state {
            CandidacyState::Waiting => {
                if self.is_demoted(answer.sent) {
                    return self.demoted();
                }
                let deadline = self.accepted(answer.sent, &result);
                self.waits(Standing::Waiting { ahead: None, settling: None }, Some(deadline));
                self.take(result.ticket, tenure, answer.version)
            }
            CandidacyState::Leading => {
                let deadline = self.accepted(answer.sent, &result);
                self.on_lead(tenure, answer.version, result, Some(deadline))
            }
            CandidacyState::Draining => self.on_lead(tenure, answer.version, result, None),
            CandidacyState::Ended => self.ended(result.end_reason(), result.detail),
            CandidacyState::Refused => self.over(Lost::Refused { detail: result.detail }, true),
            CandidacyState::Unspecified => Next::Go,
        }
    }

    /// The deadline that a KeepAlive gives that was sent at this moment and accepted.
    fn accepted(&mut self, sent: Moment, result: &KeepAliveResult) -> Moment {
        self.ttl = result.ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or(self.ttl);
        sent.plus(self.ttl)
    }

    fn on_lead(&mut self, tenure: u64, version: u64, result: KeepAliveResult, deadline: Option<Moment>) -> Next {
        let draining = result.state() == CandidacyState::Draining;
        let lead = Lead { token: result.fencing_token, tenure, task_token: &result.task_token, draining, deadline };
        if self.leads(lead) { self.take(result.ticket, tenure, version) } else { Next::Leave }
    }

    /// The stream said something.
    pub(crate) fn on_event(&mut self, heard: Heard) -> Next {
        let tenure = heard.response.tenure;
        match heard.response.event {
            Some(Event::Enrolled(enrolled)) => self.take(enrolled.ticket, tenure, heard.version),
            Some(Event::Waiting(waiting)) => {
                if self.is_demoted(heard.opened) {
                    return self.demoted();
                }
                let settling = waiting.settling.and_then(|settling| Duration::try_from(settling).ok());
                self.waits(Standing::Waiting { ahead: Some(waiting.ahead), settling }, None);
                Next::Go
            }
            Some(Event::Elected(elected)) => self.on_elected(tenure, elected),
            Some(Event::Draining(draining)) => {
                let token = draining.fencing_token;
                let lead = Lead { token, tenure, task_token: "", draining: true, deadline: None };
                if self.leads(lead) { Next::Go } else { Next::Leave }
            }
            Some(Event::Ended(ended)) => self.ended(ended.reason(), ended.detail),
            Some(Event::Heartbeat(_)) | None => Next::Go,
        }
    }

    fn on_elected(&mut self, tenure: u64, elected: Elected) -> Next {
        let known = self.led_since.is_some();
        let token = elected.fencing_token;
        if !self.leads(Lead { token, tenure, task_token: &elected.task_token, draining: false, deadline: None }) {
            return Next::Leave;
        }
        // A KeepAlive that told so first has brought a newer ticket.
        let version = self.ticket.version();
        if !known {
            self.take(elected.ticket, tenure, version);
        }
        // It came late: only a KeepAlive can give the leadership a deadline that lies ahead.
        if self.shared.look(|view| view.deadline.has_passed()) { Next::Hurry } else { Next::Go }
    }

    /// Takes a ticket. If that leaves a doubt which is the newest, the next KeepAlive brings one.
    pub(crate) fn take(&mut self, bytes: Vec<u8>, tenure: u64, sent_with: u64) -> Next {
        if self.ticket.take(bytes, tenure, sent_with) { Next::Go } else { Next::Hurry }
    }

    /// It waits, and has this deadline if a KeepAlive says so. An answer from before the lead was learned doesn't hide the lead,
    /// and a KeepAlive, which doesn't tell the place, doesn't hide the place.
    fn waits(&mut self, standing: Standing, deadline: Option<Moment>) {
        let led = self.led_since.is_some();
        self.shared.change(|view| {
            let is_news = !matches!(view.phase, Phase::Alive(Standing::Waiting { .. } | Standing::Leading));
            if !led && (deadline.is_none() || is_news) {
                view.phase = Phase::Alive(standing);
            }
            view.deadline = view.deadline.max(deadline.unwrap_or(view.deadline));
        });
    }

    /// Whether an answer "waiting" to a call of this moment means that the lead is gone: the call was made when the lead was
    /// known already. It happens when a failover put back an older ticket.
    fn is_demoted(&self, asked: Moment) -> bool {
        self.led_since.is_some_and(|since| asked >= since)
    }

    /// The service holds it as waiting. A worker that was told that it leads doesn't any more; any other just waits on.
    fn demoted(&mut self) -> Next {
        self.led_since = None;
        let mut waits_on = false;
        self.shared.change(|view| {
            waits_on = !view.delivered;
            if waits_on {
                view.phase = Phase::Alive(Standing::Waiting { ahead: None, settling: None });
                view.draining = false;
            } else {
                let detail = "after a failover the service doesn't know this leadership any more".to_owned();
                view.phase = Phase::Over(Lost::Ended { reason: EndReason::Overtaken, detail });
            }
        });
        if waits_on { Next::Hurry } else { Next::Leave }
    }

    /// It leads. False if the worker was told another fencing token: that leadership is over, and a new one is not
    /// for a worker that doesn't ask for it.
    fn leads(&mut self, lead: Lead<'_>) -> bool {
        let token = lead.token;
        let mut same = true;
        self.shared.change(|view| {
            same = !view.delivered || view.fencing_token == token;
            if !same {
                let detail = format!("the service granted it anew, with fencing token {token}");
                view.phase = Phase::Over(Lost::Ended { reason: EndReason::Overtaken, detail });
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
        if same && self.led_since.is_none() {
            self.led_since = Some(clock::now());
        }
        same
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
