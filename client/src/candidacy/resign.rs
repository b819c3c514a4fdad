//! Resigning: tried again for a while, because the next candidate waits for it.

use super::handle::Resignation;
use super::ticket::Ticket;
use crate::clock;
use crate::error::Error;
use crate::proto::ResignRequest;
use crate::transport::{Backoff, Connections};
use std::time::Duration;

/// How long to go on trying in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one try may take.
const LONGEST_TRY: Duration = Duration::from_secs(2);
/// The first delay after a try that failed.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// Resigns, and says how it went if somebody asked.
pub(super) async fn resign(connections: &Connections, ticket: &Ticket, asked: Option<Resignation>) {
    let result = try_until_told(connections, ticket).await;
    if let Err(error) = &result {
        tracing::warn!(%error, "couldn't resign; the candidacy runs out after its ttl");
    }
    if let Some(asked) = asked {
        // Nobody listens any more if the caller's future was dropped.
        let _ = asked.send(result);
    }
}

/// Resigns once, at a service that has fallen back: its answer isn't believed, whatever it says.
pub(super) async fn disown(connections: &Connections, ticket: &Ticket) {
    let request = ResignRequest { ticket: ticket.bytes().to_vec() };
    let call = connections.calls.call("Resign", LONGEST_TRY, |mut client| async move { client.resign(request).await });
    let result = call.await;
    tracing::debug!(?result, "left the queue of a service that has fallen back");
}

async fn try_until_told(connections: &Connections, ticket: &Ticket) -> Result<(), Error> {
    let end = clock::now().plus(PATIENCE);
    let mut backoff = Backoff::between(FIRST_RETRY, LONGEST_RETRY, connections.endpoints());
    loop {
        let request = ResignRequest { ticket: ticket.bytes().to_vec() };
        let patience = LONGEST_TRY.min(end.since(clock::now()));
        let call = connections.calls.call("Resign", patience, |mut client| async move { client.resign(request).await });
        let error = match call.await {
            Ok(_) | Err(Error::Ended { .. }) => return Ok(()),
            Err(error) => error,
        };
        let retry = clock::now().plus(backoff.after(&error));
        if !error.is_temporary() || retry >= end {
            return Err(error);
        }
        clock::sleep_until(retry).await;
    }
}
