//! Following who leads: a stream that reconnects, resumes, and never shows old news as new.

use crate::Error;
use crate::backoff::Backoff;
use crate::clock::{self, Moment};
use crate::ledger::Ledger;
use crate::proto::observe_response::Event;
use crate::proto::{ElectionChange, ObserveRequest, ObserveResponse, Progress, Synced};
use crate::tenure::Below;
use crate::wire::{Break, CALL_TIMEOUT, LONGEST_SILENCE, Wires};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Streaming;

/// The first delay before a stream that broke is opened again.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest one.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// A stream that lasted as long was a good one, whether it told anything or not: after it the
/// delays begin with the first. There are proxies that cut each after some seconds.
const GOOD_STREAM: Duration = Duration::from_secs(1);
/// After answers from below for so long the delays are as long.
const LONG_BELOW: Duration = Duration::from_secs(15);

/// What to observe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub(crate) elections: Vec<String>,
    pub(crate) prefix: String,
}

impl Selection {
    /// One election. It needn't exist yet.
    pub fn election(name: impl Into<String>) -> Self {
        Self::elections([name])
    }

    /// Some elections, at most 100; none means all.
    pub fn elections<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { elections: names.into_iter().map(Into::into).collect(), prefix: String::new() }
    }

    /// All elections whose names begin with this.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { elections: Vec::new(), prefix: prefix.into() }
    }

    /// All elections.
    #[must_use]
    pub fn all() -> Self {
        Self::prefix("")
    }
}

/// One event for an observer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Observed {
    /// The state of an election, or its change. A leader that is unset means: vacant.
    Change(ElectionChange),
    /// All that matches has been named: what wasn't is vacant. Comes once for each connection, so also after
    /// [`Reconnecting`](Observed::Reconnecting): from then on the news are current again.
    Synced {
        /// The revision that the news are of.
        revision: u64,
    },
    /// The service has started, and doesn't know all leaders yet: until
    /// [`Synced`](Observed::Synced) comes, absence says nothing.
    Settling {
        /// How long that lasts from now: then a leader that hasn't come back can't be out there any
        /// more.
        remaining: Duration,
    },
    /// The connection broke: what was told may be old by now. It is opened again after this delay.
    Reconnecting {
        /// What broke it.
        error: Error,
        /// Until the next try.
        delay: Duration,
    },
}

/// The stream of [`Client::observe`](crate::Client::observe).
///
/// It goes on for ever: when the connection breaks it says [`Observed::Reconnecting`], opens it again after a short delay, and resumes
/// after the last change it has told. Where the service can't resume, the stream catches up with what it told before: an election
/// that has a leader no more is told as vacant (with `missed_changes`, and without a reason if the service names none), and what
/// hasn't changed isn't told again. Changes of one election are never told out of order.
///
/// It ends after an error that would come again, such as a bad name.
///
/// A reader that is slow gets the newest state of each election, with `missed_changes`; neither side holds more for it. One that stops
/// reading may hold up other observations of the same client, but nothing else. **Cancel safety:** a dropped `next()` loses
/// nothing.
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
    pub(crate) fn new(wires: Arc<Wires>, selection: Selection) -> Self {
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY, wires.endpoints());
        let follower = Follower {
            wires,
            selection,
            ledger: Ledger::default(),
            backoff,
            state: State::Closed { until: Moment::PAST },
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
    wires: Arc<Wires>,
    selection: Selection,
    ledger: Ledger,
    backoff: Backoff,
    state: State,
    /// To be told next: at most one event for each election that is known as led, and one more.
    told: VecDeque<Result<Observed, Error>>,
    /// Whether it was said that the service has fallen back, and it hasn't come up since.
    is_warned: bool,
}

enum State {
    Closed {
        until: Moment,
    },
    /// With the number of the connection.
    Open {
        stream: Box<Streaming<ObserveResponse>>,
        link: u64,
        opened: Moment,
        synced: bool,
    },
    Over,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Observed, Error>, Self)> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Some((event, self));
            }
            let result = match &mut self.state {
                State::Over => return None,
                State::Closed { until } => {
                    clock::sleep_until(*until).await;
                    self.open().await.map_err(Break::from)
                }
                State::Open { stream, .. } => {
                    let received = message(stream).await;
                    received.and_then(|response| Ok(self.on_message(response)?))
                }
            };
            if let Err(broken) = result {
                self.broken(broken);
            }
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        let request = ObserveRequest {
            elections: self.selection.elections.clone(),
            prefix: self.selection.prefix.clone(),
            after_revision: self.ledger.begin(),
        };
        let call =
            self.wires.news.open("Observe", CALL_TIMEOUT, |mut client| async move { client.observe(request).await });
        let (stream, link) = call.await?;
        self.state = State::Open { stream: Box::new(stream), link, opened: clock::now(), synced: false };
        Ok(())
    }

    fn on_message(&mut self, response: ObserveResponse) -> Result<(), Error> {
        self.wires.admit(response.tenure)?;
        match response.event {
            Some(Event::Change(change)) => {
                self.told.extend(self.ledger.change(change).map(|change| Ok(Observed::Change(change))));
            }
            Some(Event::Synced(Synced { revision })) => {
                let vacant = self.ledger.synced(revision);
                self.told.extend(vacant.into_iter().map(|change| Ok(Observed::Change(change))));
                self.told.push_back(Ok(Observed::Synced { revision }));
                if let State::Open { synced, .. } = &mut self.state {
                    *synced = true;
                }
            }
            Some(Event::Resync(_)) => self.ledger.resync(),
            Some(Event::Progress(Progress { revision })) => self.ledger.progress(revision),
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
            self.state = State::Over;
            self.told.push_back(Err(broken.error));
            return;
        }
        if let State::Open { link, opened, synced, .. } = self.state {
            self.wires.news.broke(link, &broken);
            if synced || clock::now().since(opened) >= GOOD_STREAM {
                self.backoff.reset();
            }
        }
        let delay = self.delay(&broken.error);
        self.state = State::Closed { until: clock::now().plus(delay) };
        self.told.push_back(Ok(Observed::Reconnecting { error: broken.error, delay }));
    }

    fn delay(&mut self, error: &Error) -> Duration {
        let below = self.wires.below_for(LONG_BELOW);
        if let Some(Below { tenure, newest }) = below.filter(|_| !self.is_warned) {
            tracing::warn!(tenure, newest, "the service has fallen back to a lower tenure: its news aren't believed");
        }
        self.is_warned = below.is_some();
        if below.is_some() { Backoff::of(LONG_BELOW) } else { self.backoff.after(error) }
    }
}

async fn message(stream: &mut Streaming<ObserveResponse>) -> Result<ObserveResponse, Break> {
    let silent = clock::now().plus(LONGEST_SILENCE);
    let ended = || Error::Unreachable { detail: "the stream of news ended without saying why".to_owned() };
    tokio::select! {
        biased;
        message = stream.message() => Ok(message?.ok_or_else(ended)?),
        () = clock::sleep_until(silent) => Err(Break::silent("Observe")),
    }
}
