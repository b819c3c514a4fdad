//! The way from one replica to another: inside TLS, in which both prove that they are replicas.

use super::{REPLICA_NAME, Trust, Trusted};
use crate::net::{self, TcpStream};
use arc_swap::ArcSwapOption;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;

/// What this replica shows to others, and whom it trusts. Each connection takes what is here when
/// it is made, and ends when its other end isn't trusted any more.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaLinks {
    shown: Arc<ArcSwapOption<ClientConfig>>,
    trust: Trust,
}

impl ReplicaLinks {
    pub(super) fn new(trust: Trust) -> Self {
        Self { shown: Arc::default(), trust }
    }

    pub(super) fn trust(&self, config: ClientConfig) {
        self.shown.store(Some(Arc::new(config)));
    }

    /// Connects to a replica.
    pub(crate) async fn dial(self, uri: Uri) -> io::Result<TokioIo<Trusted<TlsStream<TcpStream>>>> {
        let config = self.shown.load_full().ok_or_else(|| io::Error::other("this replica has no certificate yet"))?;
        let name = ServerName::try_from(REPLICA_NAME).map_err(io::Error::other)?;
        let stream = net::dial(&uri).await?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        let explained = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("TLS with that replica failed (do all use one Secret, and TLS?): {error}"),
            )
        };
        let stream = connected.map_err(explained)?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        Ok(TokioIo::new(self.trust.guard(stream, leaf.as_ref())))
    }
}
