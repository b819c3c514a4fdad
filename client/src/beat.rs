//! KeepAlives of one candidacy: when the next is due, and the one that is in flight.

use crate::Error;
use crate::backoff::Backoff;
use crate::clock::{self, Moment};
use crate::proto::{KeepAliveItem, KeepAliveRequest, KeepAliveResult};
use crate::ticket::Ticket;
use crate::wire::Wires;
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

/// What happened.
#[derive(Debug)]
pub(crate) enum Tick {
    /// It is time to [`send`](Beat::send) one.
    Due,
    /// One was answered, or failed.
    Answered(Answer),
}

/// The answer to one KeepAlive.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The moment before it was sent.
    pub(crate) sent: Moment,
    /// The tenure, and the result.
    pub(crate) result: Result<(u64, KeepAliveResult), Error>,
}

pub(crate) struct Beat {
    wires: Arc<Wires>,
    ttl: Duration,
    backoff: Backoff,
    due: Moment,
    flight: Option<Flight>,
}

struct Flight {
    sent: Moment,
    call: BoxFuture<'static, Result<(u64, KeepAliveResult), Error>>,
}

impl Beat {
    /// The Campaign that was sent at this moment counts as the first KeepAlive.
    pub(crate) fn new(wires: Arc<Wires>, sent: Moment, ttl: Duration) -> Self {
        let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY.min(ttl / 10), wires.endpoints());
        Self { wires, ttl, backoff, due: sent.plus(ttl / 3), flight: None }
    }

    /// Waits for the next tick. Cancel-safe: what is in flight stays in flight.
    pub(crate) async fn tick(&mut self) -> Tick {
        let Some(flight) = &mut self.flight else {
            clock::sleep_until(self.due).await;
            return Tick::Due;
        };
        let result = flight.call.as_mut().await;
        let sent = flight.sent;
        self.flight = None;
        // A hurry that came while this was in flight stands.
        let due = match &result {
            Ok(_) => {
                self.backoff.reset();
                sent.plus(self.ttl / 3)
            }
            Err(error) => clock::now().plus(self.backoff.after(error)),
        };
        self.due = self.due.min(due);
        Tick::Answered(Answer { sent, result })
    }

    /// Sends one.
    pub(crate) fn send(&mut self, ticket: &Ticket) {
        let item = KeepAliveItem { ticket: ticket.bytes().to_vec(), want_task_token: true };
        let (wires, patience) = (Arc::clone(&self.wires), LONGEST_CALL.min(self.ttl / 6));
        let sent = clock::now();
        let call = Box::pin(async move { keep_alive(&wires, item, patience).await });
        self.flight = Some(Flight { sent, call });
        self.due = sent.plus(self.ttl);
    }

    /// The next one is due now, or as soon as the one in flight is answered.
    pub(crate) fn hurry(&mut self) {
        self.due = self.due.min(clock::now());
    }
}

async fn keep_alive(wires: &Wires, item: KeepAliveItem, patience: Duration) -> Result<(u64, KeepAliveResult), Error> {
    let request = KeepAliveRequest { items: vec![item] };
    let answer =
        wires.keeper.call("KeepAlive", patience, |mut client| async move { client.keep_alive(request).await }).await?;
    let [result]: [KeepAliveResult; 1] = answer.results.try_into().map_err(|results: Vec<_>| Error::Unreachable {
        detail: format!("a KeepAlive of one candidacy was answered with {} results", results.len()),
    })?;
    Ok((answer.tenure, result))
}
