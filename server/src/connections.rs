//! gRPC connections: accepted up to a limit, and served once their client has spoken HTTP/2.

mod addresses;
mod connection;
mod frames;
mod room;

pub(crate) use connection::Connection;

use crate::accept::Port;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::net::{TcpListener, TcpStream};
use addresses::{Addresses, Place};
use futures::Stream;
use room::Room;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The most connections, whatever the system would allow.
const MOST: usize = 16_384;
/// Files kept free for the record, HTTP, and what else the process opens.
const RESERVED_FILES: usize = 400;
/// The most connections whose clients haven't spoken yet. When one more comes, the oldest is
/// closed.
const MOST_NEWCOMERS: usize = 1024;
/// What a client sends first (RFC 9113, 3.4). Nothing is known of a client before that.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long the whole preface may take.
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

/// Accepts connections for as long as the stream is there.
pub(crate) fn incoming(
    listener: TcpListener,
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let (ready, connections) = mpsc::channel(READY);
    let addresses = Addresses::new(limits.per_address);
    let room = Room::new(limits.connections, Arc::clone(&metrics));
    let admission = Admission { room, ready, metrics, ledger };
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

/// The way of a connection from the listener to tonic.
#[derive(Clone)]
struct Admission {
    room: Room,
    ready: mpsc::Sender<io::Result<Connection>>,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
}

impl Admission {
    async fn admit(self, mut stream: TcpStream, place: Place) {
        let mut preface = [0; PREFACE.len()];
        let speaks = timeout(PREFACE_TIMEOUT, stream.read_exact(&mut preface)).await;
        if !matches!(speaks, Ok(Ok(_))) || preface != *PREFACE {
            return self.metrics.connection_closed("NO_PREFACE");
        }
        let Ok(among_all) = timeout(PLACE_PATIENCE, self.room.take()).await else {
            return self.metrics.connection_closed("ALL_PLACES_TAKEN");
        };
        if stream.set_nodelay(true).is_ok() {
            let peer = self.ledger.register(place.address());
            let connection = Connection::new(stream, PREFACE, peer, (place, among_all), self.metrics);
            // A server that is gone serves nobody.
            let _ = self.ready.send(Ok(connection)).await;
        }
    }
}

#[cfg(test)]
mod tests;
