//! How one client connects.

use super::Kind;
use anyhow::{Context as _, Result, bail, ensure};
use hyper_util::rt::TokioIo;
use leasehold_harness::Server;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// For whom the server's certificate is.
pub(super) const SERVER: &str = "localhost";

/// What one client needs, and remembers.
pub(super) struct Way {
    kind: Kind,
    address: SocketAddr,
    endpoint: Endpoint,
    tls: TlsConnector,
    /// Whether there was a connection in this round: its session can be resumed.
    has_met: AtomicBool,
}

impl Way {
    pub(super) fn new(server: &Server, kind: Kind, ca: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).context("the authority")?)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        if kind == Kind::Full {
            config.resumption = Resumption::disabled();
        }
        let (address, endpoint) = (server.address(), Endpoint::from_shared(server.endpoint())?.tcp_nodelay(true));
        Ok(Self { kind, address, endpoint, tls: Arc::new(config).into(), has_met: AtomicBool::new(false) })
    }

    /// Another round begins. The server remembers a few hundred sessions, and others have had
    /// theirs since.
    pub(super) fn begin(&self) {
        self.has_met.store(false, Ordering::Relaxed);
    }

    pub(super) async fn connect(&self) -> Result<Channel> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        if self.kind == Kind::Plain {
            return self.over(stream).await;
        }
        let name = ServerName::try_from(SERVER).context("it is a name")?;
        let stream = self.tls.connect(name, stream).await?;
        self.check(&stream)?;
        self.over(stream).await
    }

    /// The connection on which HTTP/2 is spoken now.
    async fn over<S>(&self, stream: S) -> Result<Channel>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let mut stream = Some(stream);
        let once = tower::service_fn(move |_| {
            let stream = stream.take().map(TokioIo::new);
            async move { stream.ok_or_else(|| std::io::Error::other("the connection is made once")) }
        });
        Ok(self.endpoint.connect_with_connector(once).await?)
    }

    /// Whether it was the handshake that is measured.
    fn check(&self, stream: &TlsStream<TcpStream>) -> Result<()> {
        let Some(made) = stream.get_ref().1.handshake_kind() else { bail!("the handshake isn't over") };
        let is_first = !self.has_met.swap(true, Ordering::Relaxed);
        let resumed = made == HandshakeKind::Resumed;
        let due = self.kind == Kind::Resumed;
        ensure!(is_first || resumed == due, "{}: this handshake was {made:?}", self.kind.name());
        Ok(())
    }
}
