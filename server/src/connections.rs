//! gRPC connections: accepted up to a limit, so that idle ones never take the files that the record needs.

mod room;

use crate::metrics::Metrics;
use crate::net::{self, TcpListener, TcpStream};
use futures::Stream;
use room::{Room, Taken};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// The most connections, whatever the system would allow.
const MOST: usize = 16_384;
/// Files kept free for the record, HTTP, and what else the process opens.
const RESERVED_FILES: usize = 400;
/// A connection on which nothing has come for so long is closed: a client speaks first.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// After a connection couldn't be accepted, because the system has no files left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that have said something and wait to be served.
const READY: usize = 16;

/// A connection and its place.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    _place: Taken,
}

/// Raises the limit on open files as far as this process may, and says how many connections fit below it.
pub(crate) fn limit() -> usize {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    let files = getrlimit(Resource::Nofile).current.map_or(MOST, |files| usize::try_from(files).unwrap_or(MOST));
    files.saturating_sub(RESERVED_FILES).clamp(16, MOST)
}

/// Accepts connections for as long as the stream is there. One above the limit waits here, and the others in the listener's queue.
pub(crate) fn incoming(
    listener: TcpListener,
    limit: usize,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let (ready, connections) = mpsc::channel(READY);
    let room = Room::new(limit, metrics);
    tokio::spawn(async move {
        while !ready.is_closed() {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let place = tokio::select! {
                        place = room.take() => place,
                        () = ready.closed() => return,
                    };
                    let ready = ready.clone();
                    tokio::spawn(hand_over(Connection { stream, _place: place }, ready));
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(connections)
}

/// Gives a connection to tonic once something has come on it.
async fn hand_over(mut connection: Connection, ready: mpsc::Sender<io::Result<Connection>>) {
    let speaks = tokio::time::timeout(FIRST_BYTE, net::something_comes(&mut connection.stream)).await;
    if matches!(speaks, Ok(Ok(()))) && connection.stream.set_nodelay(true).is_ok() {
        // A server that is gone serves nobody.
        let _ = ready.send(Ok(connection)).await;
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.stream.local_addr().ok(), remote_addr: self.stream.peer_addr().ok() }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
