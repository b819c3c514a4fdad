//! Streams that are open, and how they break.

use super::connection::ConnectionNumber;
use super::status::{error_of, is_of_connection, is_of_somebody_else};
use crate::clock::{self, Moment};
use crate::error::Error;
use std::time::Duration;
use tonic::{Status, Streaming};

/// The server sends something on each stream every 20 s. A stream that was silent for longer than
/// two of these is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
/// A stream that lasted as long was a good one: the delays before it is opened again begin with the
/// first. There are proxies that cut each stream after some seconds.
pub(crate) const GOOD_STREAM: Duration = Duration::from_secs(1);

/// A stream that is open.
#[derive(Debug)]
pub(crate) struct OpenStream<T> {
    /// The call that opened it.
    pub(crate) name: &'static str,
    pub(crate) messages: Streaming<T>,
    /// The connection that it was opened on.
    pub(crate) connection: ConnectionNumber,
}

impl<T> OpenStream<T> {
    /// The next message. The stream is dead if nothing has come since `heard` for too long.
    pub(crate) async fn next(&mut self, heard: Moment) -> Result<T, Break> {
        let ended = || format!("the {} stream ended without saying why", self.name);
        tokio::select! {
            biased;
            message = self.messages.message() => {
                Ok(message?.ok_or_else(|| Error::Unreachable { detail: ended() })?)
            }
            () = clock::sleep_until(heard.plus(LONGEST_SILENCE)) => {
                Err(Break { error: Error::silent(self.name), connection: true })
            }
        }
    }
}

/// How a stream broke.
#[derive(Debug)]
pub(crate) struct Break {
    pub(crate) error: Error,
    /// Whether its connection broke with it, or goes to somebody else than Leasehold.
    pub(crate) connection: bool,
}

impl From<Status> for Break {
    fn from(status: Status) -> Self {
        let connection = is_of_connection(&status) || is_of_somebody_else(&status);
        Self { error: error_of(status), connection }
    }
}

impl From<Error> for Break {
    fn from(error: Error) -> Self {
        Self { error, connection: false }
    }
}
