//! Campaign streams: events as they come, heartbeats between them, an end that says why.

use super::convert::{duration, end_detail, end_reason, keep_alive_interval, number, some};
use super::deadline::passed;
use super::{Context, HEARTBEAT, next_heartbeat};
use crate::clock;
use crate::errors::Refusal;
use crate::handle::{Events, StreamItem, StreamKind};
use crate::line::Owner;
use futures::Stream;
use leasehold_core::{Event, Reject, Tenure, Time};
use leasehold_proto::v1;
use leasehold_proto::v1::campaign_response::Event as Told;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// What tonic is given.
pub(crate) type CampaignStream = Pin<Box<dyn Stream<Item = Result<v1::CampaignResponse, Status>> + Send>>;

struct Open {
    context: Arc<Context>,
    events: Events,
    /// What has come before the stream was handed out.
    first: Option<v1::CampaignResponse>,
    /// Of the last event: heartbeats are in its name.
    tenure: Tenure,
    /// One timer, moved on with each event: moving it is cheaper than making one.
    heartbeat: Pin<Box<Sleep>>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Who asks, and whether for task tokens.
    caller: (Owner, bool),
    /// When it entered, until it is granted. A stream that is opened again with a ticket doesn't know.
    entered: Option<Time>,
}

/// A stream of these events, cut off at the caller's own deadline. Waits for the first one: a refusal is then the answer to the call,
/// and the headers leave together with what comes first.
pub(crate) async fn open(
    context: Arc<Context>,
    events: Events,
    deadline: Option<Duration>,
    (caller, entered): ((Owner, bool), Option<Time>),
) -> Result<CampaignStream, Refusal> {
    let heartbeat = Box::pin(sleep(HEARTBEAT));
    let deadline = deadline.map(|left| Box::pin(sleep(left)));
    let mut open = Open { context, events, first: None, tenure: Tenure(0), heartbeat, deadline, caller, entered };
    open.first = open.next().await.transpose()?;
    Ok(Box::pin(futures::stream::unfold(Some(open), |open| async {
        let mut open = open?;
        let next = match open.first.take() {
            Some(first) => Some(open.lawful(first).await),
            None => open.next().await,
        };
        match next {
            Some(Ok(response)) => Some((Ok(response), Some(open))),
            Some(Err(refusal)) => Some((Err(refusal.into()), None)),
            None => None,
        }
    })))
}

impl Open {
    async fn next(&mut self) -> Option<Result<v1::CampaignResponse, Refusal>> {
        let item = tokio::select! {
            biased;
            item = self.events.next() => item,
            () = passed(&mut self.deadline) => return Some(Err(Refusal::DeadlineExceeded)),
            () = &mut self.heartbeat => {
                self.heartbeat.as_mut().reset(next_heartbeat());
                let event = Some(Told::Heartbeat(v1::Heartbeat {}));
                return Some(self.lawful(v1::CampaignResponse { tenure: number(self.tenure), event, version: 0 }).await);
            }
        };
        self.heartbeat.as_mut().reset(next_heartbeat());
        match item {
            Some(StreamItem { tenure, at, kind: StreamKind::Event(version, event) }) => {
                self.tenure = tenure;
                if matches!(event, Event::Elected(_))
                    && let Some(entered) = self.entered.take()
                {
                    self.context.metrics.granted_after(clock::now().since(entered));
                }
                let event = Some(self.tell(event, at).await);
                Some(self.lawful(v1::CampaignResponse { tenure: number(tenure), event, version: version.0 }).await)
            }
            Some(StreamItem { kind: StreamKind::Close(why), .. }) => why.map(|reject| Err(Refusal::from(*reject))),
            // Nothing has come yet, so it isn't the reader that was slow: the loop has ended.
            None if self.tenure == Tenure(0) => Some(Err(Reject::ShuttingDown.into())),
            None => Some(Err(Refusal::SlowReader)),
        }
    }

    /// What was decided while the right lasted may come out of a channel, or a pause, after its
    /// end. One that has lapsed is waited for: the end of this stream would be the end of a
    /// candidacy that is bound to it.
    async fn lawful(&self, response: v1::CampaignResponse) -> Result<v1::CampaignResponse, Refusal> {
        if self.context.handle.right.back().await { Ok(response) } else { Err(Reject::NotActive.into()) }
    }

    async fn tell(&self, event: Event, at: Time) -> Told {
        match event {
            Event::Enrolled { enrolment, ticket } => Told::Enrolled(v1::Enrolled {
                enrolment: enrolment.0,
                ttl: ticket.as_ref().map(|ticket| duration(ticket.ttl)),
                keep_alive_interval: ticket.as_ref().map(|ticket| duration(keep_alive_interval(ticket.ttl))),
                ticket: ticket.map(|ticket| self.context.sealer.seal(&ticket)).unwrap_or_default(),
            }),
            Event::Waiting { ahead, settling, hold } => Told::Waiting(v1::Waiting {
                ahead: u32::try_from(ahead).unwrap_or(u32::MAX),
                settling: some(settling),
                hold: some(hold),
            }),
            Event::Elected(lead) => Told::Elected(self.context.elected(&lead, at, self.caller).await),
            Event::Draining { token, remaining } => {
                Told::Draining(v1::Draining { fencing_token: token.0, remaining: Some(duration(remaining)) })
            }
            Event::Ended(reason) => {
                Told::Ended(v1::Ended { reason: end_reason(reason).into(), detail: end_detail(reason).to_owned() })
            }
        }
    }
}
