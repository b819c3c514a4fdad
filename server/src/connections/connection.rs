//! A connection on its way to tonic: what was read of it comes first, its frames are counted, and
//! it can be cut.

use super::addresses::Place;
use super::frames::Frames;
use super::room::Taken;
use super::wire::Wire;
use crate::ledger::{Peer, Registered};
use crate::metrics::Metrics;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection and its places.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Wire,
    /// What was read before, and is still to be given.
    preface: &'static [u8],
    frames: Frames,
    peer: Peer,
    metrics: Arc<Metrics>,
    _registered: Registered,
    _places: (Place, Taken),
}

impl Connection {
    pub(super) fn new(
        stream: Wire,
        preface: &'static [u8],
        (peer, registered): (Peer, Registered),
        places: (Place, Taken),
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { stream, preface, frames: Frames::default(), peer, metrics, _registered: registered, _places: places }
    }

    /// Its other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Fails when the connection was cut; otherwise whoever waits here is woken when it is.
    fn check(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.peer.poll_cut(cx) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        if !self.preface.is_empty() {
            let (now, later) = self.preface.split_at(self.preface.len().min(buf.remaining()));
            buf.put_slice(now);
            self.preface = later;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if self.frames.see(&buf.filled()[before..]).is_err() {
            self.metrics.connection_closed("FRAMES_THAT_DO_NOTHING");
            self.peer.cut();
            let address = self.peer.address();
            tracing::warn!(%address, "closed a connection: it carries thousands of HTTP/2 frames that do nothing");
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
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
