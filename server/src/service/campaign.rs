//! Campaign streams: events as they come, heartbeats between them, an end that says why.

use super::convert::{duration, end_detail, end_reason, keep_alive_interval, number, some};
use super::deadline::passed;
use super::{Context, HEARTBEAT, next_heartbeat};
use crate::clock;
use crate::errors::Refusal;
use crate::handle::CampaignEvents;
use crate::line::Owner;
use futures::Stream;
use leasehold_core::{Event, Reject, StateVersion, Subject, Time};
use leasehold_proto::v1;
use leasehold_proto::v1::campaign_response::Event as Told;
use leasehold_shell::{StreamItem, Word};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// What tonic is given.
pub(crate) type CampaignStream = Pin<Box<dyn Stream<Item = Result<v1::CampaignResponse, Status>> + Send>>;

/// How a stream was opened.
#[derive(Clone, Debug)]
pub(crate) struct Entered {
    /// In this one's name.
    pub(crate) subject: Subject,
    /// Who signs for it waits in this one's name.
    pub(crate) owner: Owner,
    pub(crate) wants_task_token: bool,
    /// When its candidacy entered, until it is granted. A stream that is opened again with a ticket
    /// doesn't know.
    pub(crate) at: Option<Time>,
}

struct CampaignReader {
    context: Arc<Context>,
    events: CampaignEvents,
    /// What has come before the stream was handed out.
    first: Option<Word<v1::CampaignResponse>>,
    /// The last event came in this word's name. Heartbeats come in it as well.
    last: Option<Word<()>>,
    /// One timer, moved on with each event: moving it is cheaper than making one.
    heartbeat: Pin<Box<Sleep>>,
    deadline: Option<Pin<Box<Sleep>>>,
    entered: Entered,
}

/// A stream of these events, cut off at the caller's own deadline. Waits for the first one: a
/// refusal is then the answer to the call, and the headers leave together with what comes first.
pub(crate) async fn open(
    context: Arc<Context>,
    events: CampaignEvents,
    deadline: Option<Duration>,
    entered: Entered,
) -> Result<CampaignStream, Refusal> {
    let heartbeat = Box::pin(sleep(HEARTBEAT));
    let deadline = deadline.map(|left| Box::pin(sleep(left)));
    let mut open = CampaignReader { context, events, first: None, last: None, heartbeat, deadline, entered };
    open.first = open.next().await.transpose()?;
    if let Some(first) = &open.first
        && !open.context.handle.right.opens(first).await
    {
        return Err(Reject::NotActive.into());
    }
    Ok(Box::pin(futures::stream::unfold(Some(open), |open| async {
        let mut open = open?;
        let next = match open.first.take() {
            Some(first) => Ok(first),
            None => open.next().await?,
        };
        // What was decided while the right lasted may come out of a channel, or a pause, after its
        // end.
        let opened = match next {
            Ok(word) => open.context.handle.right.open(word).await.map_err(Refusal::from),
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok(response) => Some((Ok(response), Some(open))),
            Err(refusal) => Some((Err(refusal.into()), None)),
        }
    })))
}

impl CampaignReader {
    async fn next(&mut self) -> Option<Result<Word<v1::CampaignResponse>, Refusal>> {
        let item = loop {
            tokio::select! {
                biased;
                item = self.events.next() => break item,
                () = passed(&mut self.deadline) => return Some(Err(Refusal::DeadlineExceeded)),
                () = &mut self.heartbeat => {
                    self.heartbeat.as_mut().reset(next_heartbeat());
                    // A call without a word is given up before its first heartbeat.
                    let Some(last) = &self.last else { continue };
                    let event = Some(Told::Heartbeat(v1::Heartbeat {}));
                    let tenure = number(last.tenure());
                    return Some(Ok(last.with(v1::CampaignResponse { tenure, event, version: 0 })));
                }
            }
        };
        self.heartbeat.as_mut().reset(next_heartbeat());
        match item {
            Some(StreamItem::Event(word)) => Some(Ok(self.say(word).await)),
            Some(StreamItem::Close(why)) => why.map(|reject| Err(Refusal::from(*reject))),
            // Nothing has come yet, so it isn't the reader that was slow: the loop has ended.
            None if self.last.is_none() => Some(Err(Reject::ShuttingDown.into())),
            None => Some(Err(Refusal::SlowReader)),
        }
    }

    async fn say(&mut self, word: Word<(StateVersion, Event)>) -> Word<v1::CampaignResponse> {
        let (tenure, at) = (number(word.tenure()), word.at());
        self.last = Some(word.with(()));
        let say = |(version, event): (StateVersion, Event)| async move {
            if matches!(event, Event::Elected(_))
                && let Some(entered) = self.entered.at.take()
            {
                self.context.metrics.granted_after(clock::now().since(entered));
            }
            v1::CampaignResponse { tenure, event: Some(self.tell(event, at).await), version: version.0 }
        };
        word.into_message(say).await
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
            Event::Elected(lead) => Told::Elected(self.context.elected(&lead, at, &self.entered).await),
            Event::Draining { token, remaining } => {
                Told::Draining(v1::Draining { fencing_token: token.0, remaining: Some(duration(remaining)) })
            }
            Event::Ended(reason) => {
                Told::Ended(v1::Ended { reason: end_reason(reason).into(), detail: end_detail(reason).to_owned() })
            }
        }
    }
}
