//! Certificates in files: read at the start, and read again for as long as the server runs. Whoever
//! writes them may swap a link, as Kubernetes does, or write one after the other.

use super::Tls;
use super::config::{self, TlsError};
use crate::clock;
use crate::metrics::Metrics;
use crate::settings::{ClientCa, TlsSettings, TlsSource};
use arc_swap::ArcSwapOption;
use ring::digest::{Context, Digest, SHA256};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// No certificate, key or list of authorities is longer.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What this server was issued to show, where no file has a certificate for it.
pub(crate) type Issued = Arc<ArcSwapOption<CertifiedKey>>;

/// The files, and what of them is in use.
#[derive(Debug)]
pub(crate) struct WatchedFiles {
    settings: TlsSettings,
    in_use: Option<Digest>,
    /// What couldn't be used when it was looked at last, and whether that was said.
    broken: Option<(String, bool)>,
    issued: Issued,
}

/// What the files have.
struct Contents {
    pair: Option<(Vec<u8>, Vec<u8>)>,
    issued: Option<Arc<CertifiedKey>>,
    client_ca: Option<Vec<u8>>,
}

impl WatchedFiles {
    pub(crate) fn new(settings: TlsSettings, issued: Issued) -> Self {
        Self { settings, in_use: None, broken: None, issued }
    }

    /// Puts what the files have into use, unless it is there already. Says whether it was new.
    pub(crate) async fn look(&mut self, tls: &Tls, metrics: &Metrics) -> Result<bool, TlsError> {
        let contents = self.read().await?;
        let digest = contents.digest();
        if self.in_use.is_some_and(|in_use| in_use.as_ref() == digest.as_ref()) {
            return Ok(false);
        }
        let identity = match (&contents.pair, &contents.issued) {
            (Some((cert, key)), _) => self.pair(cert, key)?,
            (None, Some(issued)) => Arc::clone(issued),
            (None, None) => return Ok(false),
        };
        let clients = match (&contents.client_ca, &self.settings.client_ca) {
            (Some(pem), Some(ClientCa { path, auth })) => Some((authorities(path, pem)?, *auth)),
            _ => None,
        };
        let not_after = identity.end_entity_cert().ok().and_then(config::not_after).unwrap_or(0);
        tls.public.store(Some(Arc::new(config::server_config(identity, clients)?)));
        metrics.tls_certificate_not_after.set(not_after);
        if u64::try_from(not_after).is_ok_and(|end| end <= clock::unix_seconds()) {
            tracing::warn!("the certificate of this server has expired: clients refuse it until it is replaced");
        }
        self.in_use = Some(digest);
        Ok(true)
    }

    async fn read(&self) -> Result<Contents, TlsError> {
        let pair = match &self.settings.source {
            TlsSource::Files { cert, key } => Some((read("--tls-cert", cert).await?, read("--tls-key", key).await?)),
            TlsSource::Off | TlsSource::Auto => None,
        };
        let client_ca = match &self.settings.client_ca {
            Some(client_ca) => Some(read("--tls-client-ca", &client_ca.path).await?),
            None => None,
        };
        Ok(Contents { pair, issued: self.issued.load_full(), client_ca })
    }

    fn pair(&self, cert: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, TlsError> {
        let TlsSource::Files { cert: cert_path, key: key_path } = &self.settings.source else {
            unreachable!("a pair is read for files only")
        };
        let unusable = |flag, path: &Path, why| TlsError::Unusable { flag, path: path.to_owned(), why };
        let certificates = config::certificates(cert).map_err(|why| unusable("--tls-cert", cert_path, why))?;
        let key = config::key(key).map_err(|why| unusable("--tls-key", key_path, why))?;
        config::identity(certificates, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { cert: cert_path.clone(), key: key_path.clone() },
            error => unusable("--tls-key", key_path, error.to_string()),
        })
    }

    /// Says once what can't be used, when it has stayed so for two looks: two files that belong
    /// together may be written one after the other.
    fn complain(&mut self, error: &TlsError, metrics: &Metrics) {
        let text = error.to_string();
        match &mut self.broken {
            Some((known, said)) if *known == text => {
                if !*said {
                    *said = true;
                    metrics.tls_files_broken.set(1);
                    tracing::warn!(%error, "new TLS files can't be used: the former ones stay in use");
                }
            }
            broken => *broken = Some((text, false)),
        }
    }
}

impl Contents {
    fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        let (cert, key) = self.pair.as_ref().map_or((&[][..], &[][..]), |(cert, key)| (cert, key));
        let issued = self.issued.as_ref().and_then(|issued| issued.cert.first()).map_or(&[][..], |leaf| leaf);
        for part in [cert, key, issued, self.client_ca.as_deref().unwrap_or_default()] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        context.finish()
    }
}

/// Reads the files again and again, and puts what is new into use.
pub(crate) async fn serve_files(mut files: WatchedFiles, tls: Arc<Tls>, metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(LOOK).await;
        match files.look(&tls, &metrics).await {
            Ok(is_new) => {
                files.broken = None;
                metrics.tls_files_broken.set(0);
                if is_new {
                    tracing::info!("new TLS files are in use; connections that are open keep the former ones");
                }
            }
            Err(error) => files.complain(&error, &metrics),
        }
    }
}

fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let unusable = |why| TlsError::Unusable { flag: "--tls-client-ca", path: path.to_owned(), why };
    config::authorities(pem).map_err(unusable)
}

async fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable =
        |error: std::io::Error| TlsError::Unreadable { flag, path: path.to_owned(), why: error.to_string() };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let why = format!("it is longer than {MAX_FILE_BYTES} bytes: is it the right one?");
        return Err(TlsError::Unusable { flag, path: path.to_owned(), why });
    }
    Ok(bytes)
}
