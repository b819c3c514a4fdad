//! TLS around a connection: whom to trust, what to show, and what went wrong in words.

use crate::access::Access;
use crate::error::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No file of certificates is longer.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How a connection to one target is sealed.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    access: Arc<Access>,
    host: Arc<str>,
    name: ServerName<'static>,
    /// The service that has named this target. Its replicas may have certificates for the service
    /// alone.
    said_by: Option<ServerName<'static>>,
    /// What the last connection broke with.
    refusal: Arc<Mutex<Option<String>>>,
}

impl Tls {
    /// For a host of an endpoint. None: no certificate can be for that.
    pub(super) fn new(access: &Arc<Access>, host: &str) -> Option<Self> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).ok()?;
        Some(Self { access: Arc::clone(access), host: Arc::from(bare), name, said_by: None, refusal: Arc::default() })
    }

    /// The same, for an address that a replica of this target has named.
    pub(super) fn said_by(self, by: &Self) -> Self {
        let said_by = by.said_by.clone().unwrap_or_else(|| by.name.clone());
        Self { said_by: Some(said_by), ..self }
    }

    /// What the service has said about this client's certificate, if it said so after the
    /// handshake.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Shakes hands. The files are read anew.
    pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<Sealed<S>> {
        let this = self.clone();
        let config = tokio::task::spawn_blocking(move || this.config()).await.map_err(io::Error::other)?;
        let config = config.map_err(|error| io::Error::other(error.to_string()))?;
        let connected = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream).await;
        let stream = connected.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => io::Error::new(
                error.kind(),
                "it broke off while TLS began: does it speak TLS? For plain text give http://",
            ),
            _ => self.explained(error),
        })?;
        _ = self.refusal();
        Ok(Sealed { stream, tls: self.clone() })
    }

    /// What the files say now.
    fn config(&self) -> Result<ClientConfig, Error> {
        config(&self.access, self.said_by.clone())
    }

    fn explained(&self, error: io::Error) -> io::Error {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(cause) => {
                let text = explain(cause, &self.host);
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.clone());
                io::Error::new(error.kind(), text)
            }
            None => error,
        }
    }
}

/// What went wrong, and what to do about it.
fn explain(error: &rustls::Error, host: &str) -> String {
    use AlertDescription as Alert;
    use rustls::Error as Rustls;
    match error {
        Rustls::InvalidCertificate(error) => explain_certificate(error, host),
        Rustls::AlertReceived(Alert::CertificateRequired) => {
            "the service wants a certificate of this client: give --cert and --key (LEASEHOLD_CERT, LEASEHOLD_KEY)"
                .to_owned()
        }
        Rustls::AlertReceived(Alert::NoApplicationProtocol) => "it speaks TLS, but no HTTP/2 in it".to_owned(),
        Rustls::AlertReceived(Alert::HandshakeFailure) => {
            "the service refuses the handshake of TLS: it may want a certificate of this client (--cert and --key, or \
             LEASEHOLD_CERT and LEASEHOLD_KEY)"
                .to_owned()
        }
        Rustls::AlertReceived(alert) if is_of_certificate(*alert) => format!(
            "the service doesn't accept the certificate of this client ({alert:?}): give one that its authority has signed and \
             that is still good (--cert and --key, or LEASEHOLD_CERT and LEASEHOLD_KEY)"
        ),
        Rustls::InvalidMessage(_) => "it doesn't speak TLS: for plain text give http://".to_owned(),
        error => format!("TLS failed: {error}"),
    }
}

fn is_of_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::AccessDenied
            | Alert::DecryptError
    )
}

fn explain_certificate(error: &CertificateError, host: &str) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is signed by an authority that isn't trusted here: give the service's own with --ca (LEASEHOLD_CA)"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: it must be renewed at the service, unless the clock of this machine is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate isn't valid yet: is the clock of this machine right?".to_owned()
        }
        CertificateError::NotValidForName => {
            format!("its certificate isn't for {host}: name the service as its certificate does")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let presented = if presented.is_empty() { "nobody".to_owned() } else { presented.join(", ") };
            format!("its certificate isn't for {host}, but for {presented}: name the service as its certificate does")
        }
        error => format!("its certificate isn't accepted: {error}"),
    }
}

/// Checks that the files can be used, before there is a connection.
pub(super) fn check(access: &Access) -> Result<(), Error> {
    config(access, None).map(|_| ())
}

fn config(access: &Access, said_by: Option<ServerName<'static>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let invalid = |what, detail: String| Error::Invalid { what, detail };
    let roots = Arc::new(match &access.ca {
        Some(file) => roots_of(file).map_err(|why| invalid("the authority (--ca, LEASEHOLD_CA)", why))?,
        None => roots_of_the_system()?,
    });
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let verifier =
        verifier.build().map_err(|error| invalid("the authority (--ca, LEASEHOLD_CA)", error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| invalid("the settings of TLS", error.to_string()))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(EitherName { verifier, said_by }));
    let mut config = match access.identity()? {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let certs =
                certificates(cert).map_err(|why| invalid("the client's certificate (--cert, LEASEHOLD_CERT)", why))?;
            let pem = read(key).map_err(|why| invalid("the client's key (--key, LEASEHOLD_KEY)", why))?;
            let key_der = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
                invalid("the client's key (--key, LEASEHOLD_KEY)", format!("{}: {error}", key.display()))
            })?;
            builder.with_client_auth_cert(certs, key_der).map_err(|error| {
                let detail = format!("{} and {}: {error}", cert.display(), key.display());
                invalid("the client's certificate with its key (--cert, --key)", detail)
            })?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots_of(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let detail = "this machine trusts nobody by itself: give the service's own".to_owned();
        return Err(Error::Invalid { what: "the authority (--ca, LEASEHOLD_CA)", detail });
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| format!("{}: {error}", file.display()))?;
    if certificates.is_empty() {
        return Err(format!("{} has no certificate; PEM begins with -----BEGIN CERTIFICATE-----", file.display()));
    }
    Ok(certificates)
}

/// What a small file has.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let unreadable = |error: io::Error| format!("can't read {}: {error}", file.display());
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{} is longer than {MAX_FILE_BYTES} bytes: is it the right file?", file.display()));
    }
    Ok(bytes)
}

/// Takes a certificate that is for the target, or for the service that has named it.
#[derive(Debug)]
struct EitherName {
    verifier: Arc<WebPkiServerVerifier>,
    said_by: Option<ServerName<'static>>,
}

impl ServerCertVerifier for EitherName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |name| self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        match (verify(server_name), &self.said_by) {
            (
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )),
                Some(said_by),
            ) => verify(said_by),
            (verified, _) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// A connection inside TLS. A server may refuse the client's certificate after the handshake: what
/// is read then says so in words.
#[derive(Debug)]
pub(super) struct Sealed<S> {
    stream: TlsStream<S>,
    tls: Tls,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Sealed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf).map_err(|error| self.tls.explained(error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Sealed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf).map_err(|error| self.tls.explained(error))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs).map_err(|error| self.tls.explained(error))
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
