//! The way to the loop: a fair line before one bounded inbox, and for streams that are gone a way
//! that is never full.

use crate::caller::Caller;
use crate::errors::Refusal;
use crate::line::{Line, Turn};
use crate::right::SharedRight;
use futures::StreamExt;
use futures::channel::mpsc as channel;
use leasehold_core::{Ask, Input, Reject, Reply, StreamId, Tenure, Time};
use leasehold_shell::{Answer, News, Opening, StreamItem};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A candidacy has five kinds of events, each once but for a drain told again: a reader that is so
/// many behind isn't reading.
const EVENTS_PER_STREAM: usize = 16;
/// A mirror that is so many changes behind isn't reading: it begins anew.
const MIRROR_NEWS: usize = 8192;
/// How long a call waits in line for a place in the inbox.
const INBOX_PATIENCE: Duration = Duration::from_secs(2);
/// Places that calls can't take: for what replicas tell each other, and for the shutdown.
const RESERVED: usize = 16;

/// The loop's end of a Campaign stream. Not tokio's channel: that reserves room for 32 events as
/// soon as it is made.
pub(crate) type EventSender = channel::Sender<StreamItem>;

/// What the loop receives.
pub(crate) type ServerMessage = leasehold_shell::Message<EventSender, oneshot::Sender<Answer>, mpsc::Sender<News>>;

/// The answer to a call, opened.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) tenure: Tenure,
    pub(crate) reply: Reply,
    /// When the loop answered, or a moment before.
    pub(crate) at: Time,
}

/// Hands calls to the loop.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    inbox: mpsc::Sender<ServerMessage>,
    /// The line before the inbox: a caller who sends much waits in it behind callers who send
    /// little.
    line: Arc<Line>,
    /// Streams whose readers are gone: at most one message for each stream that was opened.
    closed: mpsc::UnboundedSender<StreamId>,
    streams: Arc<AtomicU64>,
    pub(crate) right: Arc<SharedRight>,
}

/// The loop's ends.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) messages: mpsc::Receiver<ServerMessage>,
    pub(crate) closed: mpsc::UnboundedReceiver<StreamId>,
    pub(crate) right: Arc<SharedRight>,
}

/// The events of one Campaign stream. Dropping it tells the loop, unless that has closed it.
#[derive(Debug)]
pub(crate) struct CampaignEvents {
    stream: StreamId,
    events: channel::Receiver<StreamItem>,
    closed: mpsc::UnboundedSender<StreamId>,
    /// The loop has closed the stream, so it needn't be told.
    ended: bool,
    /// The place in line, kept until the loop has answered.
    turn: Option<Turn>,
}

/// A handle and what it leads to, with room for `inbox` calls. The right of a server with a file
/// may lapse.
pub(crate) fn channel(inbox: usize, may_lapse: bool) -> (Handle, Inbox) {
    let line = Line::new(inbox);
    let (inbox, messages) = mpsc::channel(inbox + RESERVED);
    let (closed, closings) = mpsc::unbounded_channel();
    let right = Arc::new(SharedRight::new(may_lapse));
    let handle = Handle { inbox, line, closed, streams: Arc::default(), right: Arc::clone(&right) };
    (handle, Inbox { messages, closed: closings, right })
}

impl Handle {
    /// Asks the loop, and waits for its answer.
    pub(crate) async fn ask(&self, caller: &Caller, ask: Ask) -> Result<Answered, Refusal> {
        let (call, answer) = oneshot::channel();
        let message = ServerMessage::Ask { ask, call, meant_for: caller.tenure() };
        let _until_it_is_answered = self.send(caller, message).await?;
        let answer = answer.await.map_err(|_| Reject::ShuttingDown)?;
        let (tenure, at) = (answer.tenure(), answer.at());
        let reply = self.right.open_soon(answer).await??;
        Ok(Answered { tenure, reply, at })
    }

    /// Opens a Campaign stream.
    pub(crate) async fn open(&self, caller: &Caller, opening: Opening) -> Result<CampaignEvents, Refusal> {
        let stream = StreamId(self.streams.fetch_add(1, Ordering::Relaxed));
        let (items, events) = channel::channel(EVENTS_PER_STREAM);
        let mut events = CampaignEvents { stream, events, closed: self.closed.clone(), ended: false, turn: None };
        let message = ServerMessage::Open { stream, opening, items, meant_for: caller.tenure() };
        events.turn = Some(self.send(caller, message).await?);
        Ok(events)
    }

    /// Mirrors this replica: a snapshot, then what changes. Ends with the tenure, or when it is
    /// read too slowly.
    pub(crate) async fn mirror(&self, caller: &Caller) -> Result<mpsc::Receiver<News>, Refusal> {
        if !self.right.lasts() {
            return Err(Reject::NotActive.into());
        }
        let (sender, news) = mpsc::channel(MIRROR_NEWS);
        let _until_it_is_there = self.send(caller, ServerMessage::Mirror(sender)).await?;
        Ok(news)
    }

    /// Tells the loop what the active replica has told.
    pub(crate) async fn mirrored(&self, input: Input) -> Result<(), Refusal> {
        // This message waits for a place however full the inbox is: a gap would cost a whole
        // snapshot.
        self.inbox.send(ServerMessage::Mirrored(Box::new(input))).await.map_err(|_| Reject::ShuttingDown.into())
    }

    /// Ends the tenure in good order. The loop ends after it.
    pub(crate) async fn shut_down(&self) {
        // A loop that is gone has ended already.
        let _ = self.inbox.send(ServerMessage::Shutdown).await;
    }

    async fn send(&self, caller: &Caller, message: ServerMessage) -> Result<Turn, Refusal> {
        let turn = match self.line.try_turn() {
            // A call that finds room at once needs no timer.
            Some(turn) => turn,
            None => tokio::time::timeout(INBOX_PATIENCE, self.line.turn(caller.connection(), 1))
                .await
                .map_err(|_| Refusal::InboxFull)?,
        };
        // Whoever has a turn finds a place.
        self.inbox.send(message).await.map_err(|_| Reject::ShuttingDown)?;
        Ok(turn)
    }
}

impl CampaignEvents {
    /// The next event. `None` without a `Close` before it: the loop gave up on a slow reader.
    pub(crate) async fn next(&mut self) -> Option<StreamItem> {
        let item = self.events.next().await;
        self.turn = None;
        self.ended |= matches!(item, Some(StreamItem::Close(_)));
        item
    }
}

impl Drop for CampaignEvents {
    fn drop(&mut self) {
        // The channel is closed before the loop hears of it. So a loop that takes up the stream
        // later than it hears of the end sees that the channel is closed.
        self.events.close();
        if !self.ended {
            let _ = self.closed.send(self.stream);
        }
    }
}
