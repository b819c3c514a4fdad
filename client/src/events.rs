//! The Campaign stream of one candidacy: opened, and opened again with the latest ticket when it breaks.

use crate::backoff::Backoff;
use crate::clock::{self, Moment};
use crate::line::Line;
use crate::proto::campaign_response::Event;
use crate::proto::election_service_client::ElectionServiceClient;
use crate::proto::{CampaignRequest, CampaignResponse, Enrolled, ResignRequest};
use crate::ticket::Ticket;
use crate::wire::{Break, CALL_TIMEOUT, LONGEST_SILENCE, Wires};
use crate::{Error, Reason};
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
/// How long the answer to a Resign may take for a candidacy that was entered in vain.
const LONGEST_DISOWNING: Duration = Duration::from_secs(1);

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct Stream {
    messages: Streaming<CampaignResponse>,
    /// The number of its connection.
    link: u64,
}

pub(crate) struct Events {
    wires: Arc<Wires>,
    backoff: Backoff,
    opened: Moment,
    state: State,
}

enum State {
    Closed {
        until: Moment,
    },
    Opening(BoxFuture<'static, Result<(Stream, CampaignResponse), Error>>),
    Open {
        stream: Box<Stream>,
        heard: Moment,
    },
    /// Somebody else reads the stream of this candidacy. Whoever opened it again would take it
    /// back, and lose it again, for ever. KeepAlives tell all that it would.
    Superseded,
}

impl Events {
    /// For a candidacy whose first stream was opened at this moment.
    pub(crate) fn new(wires: Arc<Wires>, opened: Moment, stream: Stream) -> Self {
        let state = State::Open { stream: Box::new(stream), heard: clock::now() };
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY, wires.endpoints());
        Self { wires, backoff, opened, state }
    }

    /// Waits for the next event; opens the stream when it is closed. Cancel-safe.
    ///
    /// After an error the stream is closed, and the next call waits before it opens it again.
    pub(crate) async fn next(&mut self, ticket: &Ticket) -> Result<CampaignResponse, Error> {
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
                State::Superseded => std::future::pending().await,
            }
        };
        let admitted = result.and_then(|response| {
            self.wires.admit(response.tenure)?;
            Ok(response)
        });
        match admitted {
            Ok(response) => Ok(response),
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
        self.opened = clock::now();
        self.state = State::Opening(Box::pin(async move { open(&wires, request).await }));
    }

    fn close(&mut self, broken: &Break) {
        if let State::Open { stream, .. } = &self.state {
            self.wires.calls.broke(stream.link, broken);
        }
        if clock::now().since(self.opened) >= GOOD_STREAM {
            self.backoff.reset();
        }
        self.state = match &broken.error {
            Error::Refused { reason: Reason::Superseded, .. } => State::Superseded,
            error => State::Closed { until: clock::now().plus(self.backoff.after(error)) },
        };
    }
}

/// Opens a stream and waits for its first message.
///
/// No gRPC deadline is set: the service would take it for the time in which the candidacy is to be granted.
///
/// A new candidacy of a tenure that isn't heard any more is resigned at once: it would stand in the
/// queue, be granted, and nobody would lead until its ttl is over.
pub(crate) async fn open(wires: &Wires, request: CampaignRequest) -> Result<(Stream, CampaignResponse), Error> {
    let is_new = request.ticket.is_empty();
    let opening = wires.calls.open("Campaign", CALL_TIMEOUT, |mut client| async move {
        let (metadata, mut stream, extensions) = client.campaign(request).await?.into_parts();
        match stream.message().await? {
            Some(first) => {
                if is_new && wires.is_outdated(first.tenure) {
                    disown(&mut client, &first).await;
                }
                Ok(Response::from_parts(metadata, (stream, first), extensions))
            }
            None => Err(Status::unavailable("the stream ended before its first message")),
        }
    });
    let ((messages, first), link) = opening.await?;
    Ok((Stream { messages, link }, first))
}

/// Resigns what was entered in vain, at the replica that has it. Its ticket is used for nothing
/// else, so whatever becomes of this call, nobody leads by it.
async fn disown(client: &mut ElectionServiceClient<Line>, first: &CampaignResponse) {
    let Some(Event::Enrolled(Enrolled { ticket, .. })) = &first.event else { return };
    let request = ResignRequest { ticket: ticket.clone() };
    if !matches!(tokio::time::timeout(LONGEST_DISOWNING, client.resign(request)).await, Ok(Ok(_))) {
        tracing::debug!("a candidacy of a lower tenure couldn't be resigned; it runs out after its ttl");
    }
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
