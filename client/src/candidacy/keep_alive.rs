//! The KeepAlives of one candidacy: when the next is due, and the one that is in flight.

use super::protocol::Answer;
use super::ticket::Ticket;
use crate::clock::{self, Moment};
use crate::error::Error;
use crate::proto::{KeepAliveItem, KeepAliveRequest, KeepAliveResult};
use crate::transport::{Backoff, Connections};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// The longest time that the answer to one KeepAlive may take; a sixth of the ttl if that is less.
/// After it the next one goes over a new connection: a connection can go silent without ever
/// breaking.
const LONGEST_CALL: Duration = Duration::from_secs(5);
/// The first delay after a KeepAlive that failed.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// The longest delay after a KeepAlive that failed; a tenth of the ttl if that is less.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// What it is time for.
#[derive(Debug)]
pub(super) enum Tick {
    /// It is time to [`send`](KeepAlives::send) a KeepAlive.
    Due,
    /// A KeepAlive was answered, or failed.
    Answered(Result<Answer, Error>),
}

pub(super) struct KeepAlives {
    connections: Arc<Connections>,
    ttl: Duration,
    backoff: Backoff,
    due: Moment,
    in_flight: Option<InFlight>,
}

struct InFlight {
    /// The moment before it was sent.
    sent: Moment,
    call: BoxFuture<'static, Result<Answer, Error>>,
}

impl KeepAlives {
    /// The Campaign that was sent at this moment counts as the first KeepAlive.
    pub(super) fn new(connections: Arc<Connections>, sent: Moment, ttl: Duration) -> Self {
        let backoff = Backoff::between(FIRST_RETRY, LONGEST_RETRY.min(ttl / 10), connections.endpoints());
        Self { connections, ttl, backoff, due: sent.plus(ttl / 3), in_flight: None }
    }

    /// Waits for the next tick. Cancel-safe: a KeepAlive in flight stays in flight.
    pub(super) async fn tick(&mut self) -> Tick {
        let Some(InFlight { sent, call }) = &mut self.in_flight else {
            clock::sleep_until(self.due).await;
            return Tick::Due;
        };
        let (result, sent) = (call.as_mut().await, *sent);
        self.in_flight = None;
        let due = match &result {
            Ok(_) => {
                self.backoff.reset();
                sent.plus(self.ttl / 3)
            }
            Err(error) => clock::now().plus(self.backoff.after(error)),
        };
        // A hurry that came while this KeepAlive was in flight stands.
        self.due = self.due.min(due);
        Tick::Answered(result)
    }

    /// Sends a KeepAlive.
    pub(super) fn send(&mut self, ticket: &Ticket) {
        let item = KeepAliveItem { ticket: ticket.bytes().to_vec(), want_task_token: true };
        let (connections, patience) = (Arc::clone(&self.connections), LONGEST_CALL.min(self.ttl / 6));
        let sent = clock::now();
        let call = Box::pin(async move { keep_alive(&connections, item, sent, patience).await });
        self.in_flight = Some(InFlight { sent, call });
        self.due = sent.plus(self.ttl);
    }

    /// The next KeepAlive is due now, or as soon as the one in flight is answered.
    pub(super) fn hurry(&mut self) {
        self.due = self.due.min(clock::now());
    }
}

async fn keep_alive(
    connections: &Connections,
    item: KeepAliveItem,
    sent: Moment,
    patience: Duration,
) -> Result<Answer, Error> {
    let request = KeepAliveRequest { items: vec![item] };
    let answer = connections
        .keep_alives
        .call("KeepAlive", patience, |mut client| async move { client.keep_alive(request).await });
    let answer = answer.await?;
    let [result]: [KeepAliveResult; 1] = answer.results.try_into().map_err(|results: Vec<_>| Error::Unreachable {
        detail: format!("a KeepAlive of one candidacy was answered with {} results", results.len()),
    })?;
    Ok(Answer { sent, tenure: answer.tenure, result })
}
