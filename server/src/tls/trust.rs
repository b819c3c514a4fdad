//! For how long another replica is trusted: as long as the authority that has signed for it is.
//! Connections between replicas never get old, so they end when that trust does.

use rustls::pki_types::CertificateDer;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// The names of the authorities that are trusted to sign for replicas.
#[derive(Clone, Debug)]
pub(crate) struct Trust(watch::Sender<BTreeSet<String>>);

impl Default for Trust {
    fn default() -> Self {
        Self(watch::channel(BTreeSet::new()).0)
    }
}

impl Trust {
    /// Trusts these from now on, and nobody else.
    pub(super) fn only(&self, names: BTreeSet<String>) {
        self.0.send_replace(names);
    }

    /// The connection to a replica that has shown this certificate. It breaks when whoever has
    /// signed that is trusted no more, or isn't already.
    pub(super) fn guard<S>(&self, stream: S, leaf: Option<&CertificateDer<'_>>) -> Trusted<S> {
        let (mut trusted, signer) = (self.0.subscribe(), leaf.and_then(signer));
        let distrusted = Box::pin(async move {
            // An error: this replica is stopping.
            let _ = trusted.wait_for(|names| !signer.as_ref().is_some_and(|signer| names.contains(signer))).await;
        });
        Trusted { stream, distrusted: Some(distrusted) }
    }
}

/// A connection, for as long as its other end is trusted.
pub(crate) struct Trusted<S> {
    stream: S,
    /// Over when that end isn't trusted any more; `None` from then on.
    distrusted: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S: fmt::Debug> fmt::Debug for Trusted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trusted").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S> Trusted<S> {
    /// Fails when the other end isn't trusted any more; otherwise whoever waits here is woken then.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(distrusted) = &mut self.distrusted {
            if distrusted.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            tracing::info!(
                "closed a connection between replicas: the authority of its other end isn't trusted any more"
            );
            self.distrusted = None;
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "that replica's authority isn't trusted any more"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Trusted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trusted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // Whoever reads it notices in time: HTTP/2 always reads.
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

/// The common name of whoever has signed this.
fn signer(leaf: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let name = parsed.issuer().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}
