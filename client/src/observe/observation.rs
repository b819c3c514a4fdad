//! Following who leads: a stream that reconnects, resumes, and never shows old news as new.

use super::history::History;
use super::observed::Observed;
use super::selection::Selection;
use crate::clock::{self, Moment};
use crate::error::Error;
use crate::proto::observe_response::Event;
use crate::proto::{ObserveResponse, Progress, Synced};
use crate::transport::{Backoff, Break, CALL_TIMEOUT, Connections, FallenBack, GOOD_STREAM, OpenStream, Opened};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A service that has fallen back for so long is asked no more often than this.
const LONG_FALLEN_BACK: Duration = Duration::from_secs(15);

/// The stream of [`Client::observe`](crate::Client::observe).
///
/// It goes on for ever: when the connection breaks it says [`Observed::Reconnecting`], opens it
/// again after a short delay, and resumes after the last change it has told. Where the service
/// can't resume, the stream catches up with what it told before: an election that has a leader no
/// more is told as vacant (with `missed_changes`, and without a reason if the service names none),
/// and what hasn't changed isn't told again. Changes of one election are never told out of order.
///
/// It ends after an error that would come again, such as a bad name.
///
/// A reader that is slow gets the newest state of each election, with `missed_changes`; neither
/// side holds more for it. A reader that stops may hold up other observations of the same client,
/// but nothing else. **Cancel safety:** a dropped `next()` loses nothing.
///
/// ```no_run
/// # async fn example(client: leasehold::Client) -> Result<(), leasehold::Error> {
/// use futures::StreamExt as _;
/// use leasehold::{Observed, Selection};
///
/// let mut news = client.observe(Selection::prefix("billing/"));
/// while let Some(event) = news.next().await {
///     match event? {
///         Observed::Change(change) => match change.leader {
///             Some(leader) => println!("{}: {} at {}", change.election, leader.candidate, leader.value),
///             None => println!("{}: vacant", change.election),
///         },
///         Observed::Reconnecting { error, .. } => eprintln!("this may be old news: {error}"),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Observation {
    events: BoxStream<'static, Result<Observed, Error>>,
}

impl Observation {
    pub(crate) fn new(connections: Arc<Connections>, selection: Selection) -> Self {
        let follower = Follower {
            backoff: Backoff::new(connections.endpoints()),
            connections,
            selection,
            history: History::default(),
            state: Following::Closed { until: Moment::PAST },
            told: VecDeque::new(),
            is_warned: false,
        };
        Self { events: stream::unfold(follower, Follower::next).boxed() }
    }
}

impl Stream for Observation {
    type Item = Result<Observed, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observation").finish_non_exhaustive()
    }
}

/// What stands behind an observation.
struct Follower {
    connections: Arc<Connections>,
    selection: Selection,
    history: History,
    backoff: Backoff,
    state: Following,
    /// To be told next: at most one event for each election that is known as led, and one more.
    told: VecDeque<Result<Observed, Error>>,
    /// Whether it was said that the service has fallen back, and it hasn't come up since.
    is_warned: bool,
}

enum Following {
    Closed { until: Moment },
    Open { stream: Box<OpenStream<ObserveResponse>>, opened: Moment, synced: bool },
    Over,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Observed, Error>, Self)> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Some((event, self));
            }
            let result = match &mut self.state {
                Following::Over => return None,
                Following::Closed { until } => {
                    clock::sleep_until(*until).await;
                    self.open().await.map_err(Break::from)
                }
                Following::Open { stream, .. } => {
                    let received = stream.next(clock::now()).await;
                    received.and_then(|response| Ok(self.on_message(response)?))
                }
            };
            if let Err(broken) = result {
                self.broken(broken);
            }
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        let request = self.selection.request(self.history.begin())?;
        let call = self
            .connections
            .observers
            .open("Observe", CALL_TIMEOUT, |mut client| async move { client.observe(request).await });
        let Opened { answer: messages, connection } = call.await?;
        let stream = Box::new(OpenStream { name: "Observe", messages, connection });
        self.state = Following::Open { stream, opened: clock::now(), synced: false };
        Ok(())
    }

    fn on_message(&mut self, response: ObserveResponse) -> Result<(), Error> {
        self.connections.admit(response.tenure)?;
        match response.event {
            Some(Event::Change(change)) => {
                self.told.extend(self.history.change(change).map(|change| Ok(Observed::Change(change.into()))));
            }
            Some(Event::Synced(Synced { revision })) => {
                let vacant = self.history.synced(revision);
                self.told.extend(vacant.into_iter().map(|change| Ok(Observed::Change(change.into()))));
                self.told.push_back(Ok(Observed::Synced { revision }));
                if let Following::Open { synced, .. } = &mut self.state {
                    *synced = true;
                }
            }
            Some(Event::Resync(_)) => self.history.resync(),
            Some(Event::Progress(Progress { revision })) => self.history.progress(revision),
            Some(Event::Settling(settling)) => {
                let remaining = settling.remaining.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default();
                self.told.push_back(Ok(Observed::Settling { remaining }));
            }
            None => {}
        }
        Ok(())
    }

    fn broken(&mut self, broken: Break) {
        if !broken.error.is_temporary() {
            self.state = Following::Over;
            self.told.push_back(Err(broken.error));
            return;
        }
        if let Following::Open { stream, opened, synced } = &self.state {
            self.connections.observers.broke(stream.connection, &broken);
            if *synced || clock::now().since(*opened) >= GOOD_STREAM {
                self.backoff.reset();
            }
        }
        let delay = self.delay(&broken.error);
        self.state = Following::Closed { until: clock::now().plus(delay) };
        self.told.push_back(Ok(Observed::Reconnecting { error: broken.error, delay }));
    }

    fn delay(&mut self, error: &Error) -> Duration {
        let fallen_back = self.connections.fallen_back_for(LONG_FALLEN_BACK);
        if let Some(FallenBack { tenure, newest }) = fallen_back.filter(|_| !self.is_warned) {
            tracing::warn!(tenure, newest, "the service has fallen back to a lower tenure: its news aren't believed");
        }
        self.is_warned = fallen_back.is_some();
        if self.is_warned { Backoff::of(LONG_FALLEN_BACK) } else { self.backoff.after(error) }
    }
}
