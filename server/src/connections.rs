//! gRPC connections: accepted up to a limit, and served once their client has spoken HTTP/2, with
//! TLS around it or without.

mod addresses;
mod connection;
mod frames;
mod room;
mod wire;

pub(crate) use connection::Connection;

use crate::accept::Port;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::net::{TcpListener, TcpStream};
use crate::tls::{Presented, Tls};
use addresses::{Addresses, Place};
use futures::Stream;
use room::Room;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::Wire;

/// The most connections, whatever the system would allow.
const MOST: usize = 16_384;
/// Files kept free for the record, HTTP, and what else the process opens.
const RESERVED_FILES: usize = 400;
/// The most connections whose clients haven't spoken yet. When one more comes, the oldest is
/// closed.
const MOST_NEWCOMERS: usize = 1024;
/// What a client sends first (RFC 9113, 3.4). Nothing is known of a client before that.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long the whole preface may take, and the handshake of TLS before it.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a client that has spoken waits for a place, when all are taken.
const PLACE_PATIENCE: Duration = Duration::from_secs(10);
/// Connections that have spoken and wait to be served.
const READY: usize = 16;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// Altogether.
    pub(crate) connections: usize,
    /// From one address.
    pub(crate) per_address: usize,
    /// Whose clients haven't spoken yet. They aren't among the others.
    pub(crate) newcomers: usize,
}

impl ConnectionLimits {
    /// Raises the limit on open files as far as this process may, and says what fits below it.
    pub(crate) fn of_this_process(per_address: Option<usize>) -> Self {
        let now = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
        let files =
            getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files.try_into().unwrap_or(usize::MAX));
        Self::below(files, per_address)
    }

    fn below(files: usize, per_address: Option<usize>) -> Self {
        let newcomers = (files / 8).clamp(16, MOST_NEWCOMERS);
        let connections = files.saturating_sub(RESERVED_FILES + newcomers).clamp(16, MOST);
        // One host alone can't take all places.
        let per_address = per_address.unwrap_or(connections / 4);
        Self { connections, per_address, newcomers }
    }
}

/// Accepts connections for as long as the stream is there, with TLS if `tls` is given.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
) -> impl Stream<Item = Connection> + Send {
    let (ready, connections) = mpsc::channel(READY);
    let addresses = Addresses::new(limits.per_address);
    let room = Room::new(limits.connections, Arc::clone(&metrics));
    let admission = Admission { tls, room, ready, metrics, ledger };
    let port = Port { listener, name: "gRPC", newcomers: limits.newcomers };
    tokio::spawn(async move {
        let admit = |stream, from| {
            let Some(place) = addresses.enter(from) else {
                admission.metrics.connection_closed("ADDRESS_FULL");
                tracing::warn!(
                    address = %from, limit = limits.per_address,
                    "closed a connection: its address has as many as one may have (setting max_connections_per_address)"
                );
                return None;
            };
            let (others_come, admission) = (CancellationToken::new(), admission.clone());
            tokio::spawn(others_come.clone().run_until_cancelled_owned(admission.admit(stream, place)));
            Some(others_come)
        };
        port.accept(admission.ready.closed(), admit).await;
    });
    tokio_stream::wrappers::ReceiverStream::new(connections)
}

/// The way of a connection from the listener to whoever serves it.
#[derive(Clone)]
struct Admission {
    tls: Option<Arc<Tls>>,
    room: Room,
    ready: mpsc::Sender<Connection>,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
}

impl Admission {
    async fn admit(self, stream: TcpStream, place: Place) {
        let (wire, presented) = match timeout(PREFACE_TIMEOUT, self.greeted(stream, &place)).await {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(reason)) => return self.metrics.connection_closed(reason),
            Err(_) => return self.metrics.connection_closed("NO_PREFACE"),
        };
        let Ok(among_all) = timeout(PLACE_PATIENCE, self.room.take()).await else {
            return self.metrics.connection_closed("ALL_PLACES_TAKEN");
        };
        let peer = self.ledger.register_as(place.address(), presented);
        let connection = Connection::new(wire, PREFACE, peer, (place, among_all), self.metrics);
        // A server that is gone serves nobody.
        let _ = self.ready.send(connection).await;
    }

    /// The connection once its client has spoken, and what it has proved; or why it is closed.
    async fn greeted(&self, stream: TcpStream, place: &Place) -> Result<(Wire, Presented), &'static str> {
        // Without it the answers to a client wait for each other. A connection that is gone already
        // says so when it is read.
        let _ = stream.set_nodelay(true);
        let (mut wire, presented) = match &self.tls {
            None => (Wire::Plain(stream), Presented::Nothing),
            Some(tls) => {
                // In a box: newcomers in plain text need no room for it.
                let (stream, presented) = Box::pin(tls.accept(stream)).await.map_err(|error| {
                    tracing::debug!(address = %place.address(), %error, "closed a connection: no TLS came about");
                    "TLS_FAILED"
                })?;
                (Wire::Tls(stream), presented)
            }
        };
        let mut preface = [0; PREFACE.len()];
        match wire.read_exact(&mut preface).await {
            Ok(_) if preface == *PREFACE => Ok((wire, presented)),
            _ => Err("NO_PREFACE"),
        }
    }
}

#[cfg(test)]
mod tests;
