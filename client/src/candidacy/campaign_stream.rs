//! The Campaign stream of one candidacy: opened, and opened again with the latest ticket when it
//! breaks.

use super::ticket::Ticket;
use crate::clock::{self, Moment};
use crate::error::Error;
use crate::proto::campaign_response::Event;
use crate::proto::election_service_client::ElectionServiceClient;
use crate::proto::{CampaignRequest, CampaignResponse, Enrolled, ResignRequest};
use crate::refusal::Reason;
use crate::transport::{Backoff, Break, CALL_TIMEOUT, Connections, GOOD_STREAM, GrpcOnly, OpenStream, Opened, Tenured};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Response, Status, Streaming};

/// How long the answer to a Resign may take for a candidacy that was entered in vain.
const LONGEST_DISOWNING: Duration = Duration::from_secs(1);

/// A stream that was opened, and the first message that came on it.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) stream: OpenStream<CampaignResponse>,
    pub(super) first: CampaignResponse,
}

pub(super) struct CampaignStream {
    connections: Arc<Connections>,
    backoff: Backoff,
    opened: Moment,
    state: StreamState,
}

enum StreamState {
    Closed {
        until: Moment,
    },
    Opening(BoxFuture<'static, Result<Begun, Error>>),
    Open {
        stream: Box<OpenStream<CampaignResponse>>,
        /// When the last message came.
        heard: Moment,
    },
    /// Somebody else reads the stream of this candidacy. To open it again would take it back, and
    /// lose it again, for ever. KeepAlives tell all that the stream would.
    Superseded,
}

impl CampaignStream {
    /// For a candidacy whose first stream was opened at this moment.
    pub(super) fn new(connections: Arc<Connections>, opened: Moment, stream: OpenStream<CampaignResponse>) -> Self {
        let state = StreamState::Open { stream: Box::new(stream), heard: clock::now() };
        let backoff = Backoff::new(connections.endpoints());
        Self { connections, backoff, opened, state }
    }

    /// Waits for the next event; opens the stream when it is closed. Cancel-safe.
    ///
    /// After an error the stream is closed, and the next call waits before it opens it again.
    pub(super) async fn next(&mut self, ticket: &Ticket) -> Result<CampaignResponse, Error> {
        let result = loop {
            match &mut self.state {
                StreamState::Closed { until } => {
                    clock::sleep_until(*until).await;
                    self.open(ticket);
                }
                StreamState::Opening(call) => match call.as_mut().await {
                    Ok(Begun { stream, first }) => {
                        self.state = StreamState::Open { stream: Box::new(stream), heard: clock::now() };
                        break Ok(first);
                    }
                    Err(error) => break Err(error.into()),
                },
                StreamState::Open { stream, heard } => {
                    let result = stream.next(*heard).await;
                    *heard = clock::now();
                    break result;
                }
                StreamState::Superseded => std::future::pending().await,
            }
        };
        let admitted = result.and_then(|response| {
            self.connections.admit(response.tenure)?;
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
        let connections = Arc::clone(&self.connections);
        self.opened = clock::now();
        self.state = StreamState::Opening(Box::pin(async move { open(&connections, request).await }));
    }

    fn close(&mut self, broken: &Break) {
        if let StreamState::Open { stream, .. } = &self.state {
            self.connections.calls.broke(stream.connection, broken);
        }
        if clock::now().since(self.opened) >= GOOD_STREAM {
            self.backoff.reset();
        }
        self.state = match &broken.error {
            Error::Refused { reason: Reason::Superseded, .. } => StreamState::Superseded,
            error => StreamState::Closed { until: clock::now().plus(self.backoff.after(error)) },
        };
    }
}

/// The stream and its first message, before its connection is known.
struct FirstMessage {
    messages: Streaming<CampaignResponse>,
    first: CampaignResponse,
}

impl Tenured for FirstMessage {
    fn tenure(&self) -> Option<u64> {
        Some(self.first.tenure)
    }
}

/// Opens a stream and waits for its first message.
///
/// No gRPC deadline is set: it would cut the stream.
///
/// A new candidacy of a tenure that isn't heard any more is resigned at once: it would stand in the
/// queue, be granted, and nobody would lead until its ttl is over.
pub(super) async fn open(connections: &Connections, request: CampaignRequest) -> Result<Begun, Error> {
    let is_new = request.ticket.is_empty();
    let opening = connections.calls.open("Campaign", CALL_TIMEOUT, |mut client| async move {
        let (metadata, mut messages, extensions) = client.campaign(request).await?.into_parts();
        match messages.message().await? {
            Some(first) => {
                if is_new && connections.is_outdated(first.tenure) {
                    disown(&mut client, &first).await;
                }
                Ok(Response::from_parts(metadata, FirstMessage { messages, first }, extensions))
            }
            None => Err(Status::unavailable("the stream ended before its first message")),
        }
    });
    let Opened { answer: FirstMessage { messages, first }, connection } = opening.await?;
    Ok(Begun { stream: OpenStream { name: "Campaign", messages, connection }, first })
}

/// Resigns what was entered in vain, at the replica that has it. Its ticket is used for nothing
/// else, so nobody leads by it even if this call fails.
async fn disown(client: &mut ElectionServiceClient<GrpcOnly>, first: &CampaignResponse) {
    let Some(Event::Enrolled(Enrolled { ticket, .. })) = &first.event else { return };
    let request = ResignRequest { ticket: ticket.clone() };
    if !matches!(tokio::time::timeout(LONGEST_DISOWNING, client.resign(request)).await, Ok(Ok(_))) {
        tracing::debug!("a candidacy of a lower tenure couldn't be resigned; it runs out after its ttl");
    }
}
