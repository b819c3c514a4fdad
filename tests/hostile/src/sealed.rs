//! TLS: a server with an authority of its own, and honest workers who show certificates.

use anyhow::Context as _;
use leasehold_harness::{Authority, Files, ServerBuilder};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// For whom the server's certificate is.
const SERVER: &str = "localhost";
/// Whom the honest workers' certificate names.
const WORKER: &str = "honest";

/// An authority, and what it has signed for a server and its workers.
#[derive(Debug)]
pub(crate) struct Sealed {
    authority: Authority,
    server: Files,
    worker: Files,
}

impl Sealed {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let authority = Authority::new("ours")?;
        let (server, worker) = (authority.issue("server", &[SERVER])?, authority.issue("worker", &[WORKER])?);
        Ok(Self { authority, server, worker })
    }

    /// A server that asks who calls, and lets these workers do what they do.
    pub(crate) fn serve(&self, builder: ServerBuilder) -> ServerBuilder {
        let ca = format!("--tls-client-ca={}", self.authority.ca().display());
        builder.tls(&self.server).arg(ca).arg("--auth=mtls").arg(format!("--admin=dns:{WORKER}"))
    }

    /// How these workers shake hands.
    pub(crate) fn connector(&self) -> anyhow::Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.authority.ca()).context("the authority")?)?;
        let cert = CertificateDer::from_pem_file(&self.worker.cert).context("the worker's certificate")?;
        let key = PrivateKeyDer::from_pem_file(&self.worker.key).context("the worker's key")?;
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_client_auth_cert(vec![cert], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// Whom a worker wants to reach.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER).expect("this is a name")
}

/// The first message of a handshake.
pub(crate) fn client_hello() -> anyhow::Result<Vec<u8>> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), server_name())?.write_tls(&mut hello)?;
    Ok(hello)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
