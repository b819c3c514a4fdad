//! TLS on the gRPC port: which certificate it shows, and what a client's certificate is taken for.

mod config;
mod files;

pub(crate) use config::TlsError;
pub(crate) use files::{WatchedFiles, serve_files};

use crate::net::TcpStream;
use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use std::io;
use std::sync::Arc;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// The name under which replicas ask each other for the certificate that only replicas have.
pub(crate) const REPLICA_NAME: &str = "replica.leasehold.internal";

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

/// What the port shows now. Each connection takes what is here when its first bytes come.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    /// For everybody.
    pub(crate) public: ArcSwapOption<ServerConfig>,
    /// For other replicas, who ask for [`REPLICA_NAME`].
    pub(crate) replicas: ArcSwapOption<ServerConfig>,
}

impl ClientCertificate {
    /// The leaf as DER.
    #[expect(dead_code, reason = "identities read it")]
    pub(crate) fn der(&self) -> &[u8] {
        &self.0
    }
}

impl Tls {
    /// Shakes hands. Whoever calls this sets the limit of time.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Presented)> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let is_replica = start.client_hello().server_name() == Some(REPLICA_NAME);
        let config = if is_replica { self.replicas.load_full() } else { self.public.load_full() };
        let config = config.ok_or_else(|| io::Error::other("this server has no certificate for that"))?;
        let stream = start.into_stream(config).await?;
        if is_replica {
            // Its configuration takes nobody else.
            return Ok((stream, Presented::Replica));
        }
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = leaf.map(|leaf| ClientCertificate(Arc::new(leaf.clone().into_owned())));
        Ok((stream, certificate.map_or(Presented::Nothing, Presented::Certificate)))
    }
}

#[cfg(test)]
mod tests;
