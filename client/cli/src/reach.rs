//! Reaching a service that may be just starting.

use std::time::Duration;

use leasehold::Client;
use tokio::time::{Instant, sleep};

use crate::commands::Context;
use crate::output::words;
use crate::signals::Signals;
use crate::voice::Voice;

/// From one try to the next.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// How reaching the service ended.
pub(crate) enum Reached {
    /// The service answers.
    Client {
        client: Client,
        /// What is left of the patience.
        patience: Duration,
    },
    /// This signal came first.
    Interrupted(i32),
}

/// Connects to the service, and goes on trying for this long while it doesn't answer.
pub(crate) async fn reach(
    context: &Context,
    patience: Duration,
    signals: &mut Signals,
    voice: Voice,
) -> Result<Reached, leasehold::Error> {
    let end = Instant::now() + patience;
    let mut is_told = false;
    loop {
        let error = tokio::select! {
            connected = context.client() => match connected {
                Ok(client) => {
                    return Ok(Reached::Client { client, patience: end.saturating_duration_since(Instant::now()) });
                }
                Err(error) => error,
            },
            signal = signals.next_end() => return Ok(Reached::Interrupted(signal)),
        };
        let left = end.saturating_duration_since(Instant::now());
        if !error.is_temporary() || left < RETRY_INTERVAL {
            return Err(error);
        }
        if !is_told {
            is_told = true;
            voice.say(format_args!("{error}; trying for another {}", words::time(left)));
        }
        tokio::select! {
            () = sleep(RETRY_INTERVAL) => {}
            signal = signals.next_end() => return Ok(Reached::Interrupted(signal)),
        }
    }
}
