//! Certificates, keys and authorities as files have them, made into what rustls takes.

use crate::settings::ClientAuth;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::PathBuf;
use std::sync::Arc;

/// What clients of gRPC ask for.
const ALPN: &[u8] = b"h2";

/// Why a certificate, a key or an authority can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsError {
    /// The file can't be read.
    #[error("can't read {} ({flag}): {why}", path.display())]
    Unreadable { flag: &'static str, path: PathBuf, why: String },
    /// It isn't what it should be.
    #[error("{} ({flag}) can't be used: {why}", path.display())]
    Unusable { flag: &'static str, path: PathBuf, why: String },
    /// Certificate and key don't belong together.
    #[error(
        "the key in {} (--tls-key) isn't that of the first certificate in {} (--tls-cert): give the two that were made together",
        key.display(), cert.display()
    )]
    Mismatch { cert: PathBuf, key: PathBuf },
    /// Nothing can be signed with the authority that replicas share.
    #[error("the authority that replicas share can't sign: {0}")]
    Issue(String),
    /// What rustls says.
    #[error("the certificate can't be served: {0}")]
    Rustls(String),
}

/// The cryptography of this process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates in this text, leaf first, or why there are none.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| format!("it isn't PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("it has no certificate; PEM begins with -----BEGIN CERTIFICATE-----".to_owned());
    }
    for certificate in &certificates {
        ParsedCertificate::try_from(certificate).map_err(|error| format!("a certificate in it is broken: {error}"))?;
    }
    Ok(certificates)
}

/// The key in this text, or why there is none.
pub(crate) fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            "it has no private key; PEM begins with -----BEGIN PRIVATE KEY-----".to_owned()
        }
        error => format!("it isn't PEM: {error}"),
    })
}

/// The authorities in this text, or why there are none.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("a certificate in it is no authority's: {error}"))?;
    }
    Ok(roots)
}

/// Certificates and key together, if they belong together.
pub(crate) fn identity(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let key = provider().key_provider.load_private_key(key)?;
    let identity = CertifiedKey::new(certificates, key);
    match identity.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(identity)),
        Err(error) => Err(error),
    }
}

/// Shows this identity, and asks for clients' certificates where there are authorities for them.
pub(crate) fn server_config(
    identity: Arc<CertifiedKey>,
    clients: Option<(RootCertStore, ClientAuth)>,
) -> Result<ServerConfig, TlsError> {
    let rustls = |error: rustls::Error| TlsError::Rustls(error.to_string());
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(rustls)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((roots, auth)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = match auth {
                ClientAuth::Required => verifier,
                ClientAuth::Optional => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| TlsError::Rustls(error.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// What a replica connects to others with: it shows that it is one, and takes nobody else.
pub(crate) fn replica_client(identity: Arc<CertifiedKey>, roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let rustls = |error: rustls::Error| TlsError::Rustls(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(rustls)?.with_root_certificates(roots);
    let mut config = builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Seconds since 1970 at which this certificate ends.
pub(crate) fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}
