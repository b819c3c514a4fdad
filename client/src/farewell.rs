//! Resigning: tried again for a while, because the next candidate waits for it.

use crate::Error;
use crate::backoff::Backoff;
use crate::clock;
use crate::hold::Resignation;
use crate::proto::ResignRequest;
use crate::ticket::Ticket;
use crate::wire::Wires;
use std::time::Duration;

/// How long to go on trying in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one try may take.
const LONGEST_TRY: Duration = Duration::from_secs(2);
/// The first delay after a try that failed.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest one.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// Resigns, and says how it went if somebody asked.
pub(crate) async fn resign(wires: &Wires, ticket: &Ticket, asked: Option<Resignation>) {
    let result = say(wires, ticket).await;
    if let Err(error) = &result {
        tracing::warn!(%error, "couldn't resign; the candidacy runs out after its ttl");
    }
    if let Some(asked) = asked {
        // Nobody listens any more if the caller's future was dropped.
        let _ = asked.send(result);
    }
}

/// Resigns at a service whose answer won't be believed: once, and whatever it says is the end of
/// it.
pub(crate) async fn disown(wires: &Wires, ticket: &Ticket) {
    let request = ResignRequest { ticket: ticket.bytes().to_vec() };
    let call = wires.calls.call("Resign", LONGEST_TRY, |mut client| async move { client.resign(request).await });
    let result = call.await;
    tracing::debug!(?result, "left the queue of a service that has fallen back");
}

async fn say(wires: &Wires, ticket: &Ticket) -> Result<(), Error> {
    let end = clock::now().plus(PATIENCE);
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY, wires.endpoints());
    loop {
        let request = ResignRequest { ticket: ticket.bytes().to_vec() };
        let patience = LONGEST_TRY.min(end.remaining());
        let call = wires.calls.call("Resign", patience, |mut client| async move { client.resign(request).await });
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
