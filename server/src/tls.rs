//! TLS on the gRPC port: which certificate it shows, and what a client's certificate is taken for.

mod authority;
mod config;
mod files;
mod issuing;
mod links;
mod start;
mod trust;

pub(crate) use authority::Authorities;
pub(crate) use config::TlsError;
pub(crate) use links::ReplicaLinks;
pub(crate) use start::ServerTls;
pub(crate) use trust::{Trust, Trusted};

use crate::net::TcpStream;
use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// The name under which replicas ask each other for the certificate that only replicas have.
pub(crate) const REPLICA_NAME: &str = "replica.leasehold.internal";

/// How long a client that is refused may take to read why, and what it may send meanwhile.
const REFUSED_READS: Duration = Duration::from_millis(500);
const REFUSED_BYTES: usize = 64 << 10;

/// A client's certificate, verified: the leaf as DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate(Arc<CertificateDer<'static>>);

/// What the other end of a connection has proved by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presented {
    /// Nothing.
    #[default]
    Nothing,
    /// That it has the key of this certificate, which an authority of `--tls-client-ca` has signed.
    Certificate(ClientCertificate),
    /// That it is a replica of this service.
    Replica,
}

/// A connection whose handshake is over. In boxes: the buffers of TLS are large.
#[derive(Debug)]
pub(crate) enum Accepted {
    Client(Box<TlsStream<TcpStream>>),
    Replica(Box<Trusted<TlsStream<TcpStream>>>),
}

/// What the port shows now. Each connection takes what is here when its first bytes come.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    /// For everybody.
    pub(crate) public: ArcSwapOption<ServerConfig>,
    /// For other replicas, who ask for [`REPLICA_NAME`].
    pub(crate) replicas: ArcSwapOption<ServerConfig>,
    /// For how long they are trusted.
    pub(crate) trust: Trust,
}

impl ClientCertificate {
    /// The leaf as DER.
    pub(crate) fn der(&self) -> &[u8] {
        &self.0
    }
}

impl Tls {
    /// Shakes hands. Whoever calls this sets the limit of time.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(Accepted, Presented)> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let start = match (&mut acceptor).await {
            Ok(start) => start,
            Err(error) => return Err(refused(error, acceptor.take_io()).await),
        };
        let is_replica = start.client_hello().server_name() == Some(REPLICA_NAME);
        let config = if is_replica { self.replicas.load_full() } else { self.public.load_full() };
        let config = config.ok_or_else(|| io::Error::other("this server has no certificate for that"))?;
        let stream = match start.into_stream(config).into_fallible().await {
            Ok(stream) => stream,
            Err((error, stream)) => return Err(refused(error, Some(stream)).await),
        };
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|leaf| leaf.clone().into_owned());
        if is_replica {
            // Its configuration takes nobody else.
            let stream = self.trust.guard(stream, leaf.as_ref());
            return Ok((Accepted::Replica(Box::new(stream)), Presented::Replica));
        }
        let certificate = leaf.map(|leaf| ClientCertificate(Arc::new(leaf)));
        let stream = Accepted::Client(Box::new(stream));
        Ok((stream, certificate.map_or(Presented::Nothing, Presented::Certificate)))
    }
}

/// Lets a client that is refused read why: a socket that is closed with unread bytes takes back
/// what was sent on it. The same error.
async fn refused(error: io::Error, stream: Option<TcpStream>) -> io::Error {
    if let Some(mut stream) = stream {
        let reads = async {
            stream.shutdown().await?;
            let mut sink = [0; 1024];
            let mut left = REFUSED_BYTES;
            while left > 0 {
                match stream.read(&mut sink).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(REFUSED_READS, reads).await;
    }
    error
}

#[cfg(test)]
mod tests;
