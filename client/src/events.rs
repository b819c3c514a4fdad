//! The Campaign stream of one candidacy: opened, and opened again with the latest ticket when it breaks.

use crate::Error;
use crate::backoff::Backoff;
use crate::clock::{self, Moment};
use crate::proto::{CampaignRequest, CampaignResponse};
use crate::ticket::Ticket;
use crate::wire::{Break, CALL_TIMEOUT, LONGEST_SILENCE, Wires};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Response, Status, Streaming};

/// The first delay before a stream that broke is opened again.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest one.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// A stream that lasted as long was a good one: after it the delays begin with the first. There are
/// proxies that cut each after some seconds.
const GOOD_STREAM: Duration = Duration::from_secs(1);

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct Stream {
    messages: Streaming<CampaignResponse>,
    /// The number of its connection.
    link: u64,
}

/// An event, and what was known when its stream was opened.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The moment before the stream was opened.
    pub(crate) opened: Moment,
    /// The version of the ticket that it was opened with.
    pub(crate) version: u64,
    pub(crate) response: CampaignResponse,
}

pub(crate) struct Events {
    wires: Arc<Wires>,
    backoff: Backoff,
    opened: Moment,
    version: u64,
    state: State,
}

enum State {
    Closed { until: Moment },
    Opening(BoxFuture<'static, Result<(Stream, CampaignResponse), Error>>),
    Open { stream: Box<Stream>, heard: Moment },
}

impl Events {
    /// For a candidacy whose first stream was opened at this moment.
    pub(crate) fn new(wires: Arc<Wires>, opened: Moment, stream: Stream) -> Self {
        let state = State::Open { stream: Box::new(stream), heard: clock::now() };
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY, wires.endpoints());
        Self { wires, backoff, opened, version: 0, state }
    }

    /// Waits for the next event; opens the stream when it is closed. Cancel-safe.
    ///
    /// After an error the stream is closed, and the next call waits before it opens it again.
    pub(crate) async fn next(&mut self, ticket: &Ticket) -> Result<Heard, Error> {
        let result = loop {
            match &mut self.state {
                State::Closed { until } => {
                    clock::sleep_until(*until).await;
                    self.open(ticket);
                }
                State::Opening(call) => match call.as_mut().await {
                    Ok((stream, first)) => {
                        self.state = State::Open { stream: Box::new(stream), heard: clock::now() };
                        break Ok(first);
                    }
                    Err(error) => break Err(error.into()),
                },
                State::Open { stream, heard } => {
                    let result = message(stream, *heard).await;
                    *heard = clock::now();
                    break result;
                }
            }
        };
        let admitted = result.and_then(|response| {
            self.wires.admit(response.tenure)?;
            Ok(response)
        });
        match admitted {
            Ok(response) => Ok(Heard { opened: self.opened, version: self.version, response }),
            Err(broken) => {
                self.close(&broken);
                Err(broken.error)
            }
        }
    }

    fn open(&mut self, ticket: &Ticket) {
        let request =
            CampaignRequest { ticket: ticket.bytes().to_vec(), want_task_token: true, ..CampaignRequest::default() };
        let wires = Arc::clone(&self.wires);
        (self.opened, self.version) = (clock::now(), ticket.version());
        self.state = State::Opening(Box::pin(async move { open(&wires, request).await }));
    }

    fn close(&mut self, broken: &Break) {
        if let State::Open { stream, .. } = &self.state {
            self.wires.calls.broke(stream.link, broken);
        }
        if clock::now().since(self.opened) >= GOOD_STREAM {
            self.backoff.reset();
        }
        self.state = State::Closed { until: clock::now().plus(self.backoff.after(&broken.error)) };
    }
}

/// Opens a stream and waits for its first message.
///
/// No gRPC deadline is set: the service would take it for the time in which the candidacy is to be granted.
pub(crate) async fn open(wires: &Wires, request: CampaignRequest) -> Result<(Stream, CampaignResponse), Error> {
    let opening = wires.calls.open("Campaign", CALL_TIMEOUT, |mut client| async move {
        let (metadata, mut stream, extensions) = client.campaign(request).await?.into_parts();
        match stream.message().await? {
            Some(first) => Ok(Response::from_parts(metadata, (stream, first), extensions)),
            None => Err(Status::unavailable("the stream ended before its first message")),
        }
    });
    let ((messages, first), link) = opening.await?;
    Ok((Stream { messages, link }, first))
}

/// The next message of a stream that was heard of at this moment.
async fn message(stream: &mut Stream, heard: Moment) -> Result<CampaignResponse, Break> {
    let ended = || Error::Unreachable { detail: "the stream of the candidacy ended without saying why".to_owned() };
    tokio::select! {
        biased;
        message = stream.messages.message() => Ok(message?.ok_or_else(ended)?),
        () = clock::sleep_until(heard.plus(LONGEST_SILENCE)) => Err(Break::silent("Campaign")),
    }
}
