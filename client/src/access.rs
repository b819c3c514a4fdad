//! What a client trusts, and how it shows who it is.

use crate::error::Error;
use std::env;
use std::path::{Path, PathBuf};

/// What a client trusts, and how it shows who it is: files, which are read anew for each
/// connection, as they may be replaced at any time.
///
/// ```no_run
/// # async fn example() -> Result<(), leasehold::Error> {
/// let access =
/// leasehold::Access::new().ca("/etc/leasehold/ca.crt").token_file("/var/run/secrets/leasehold/token");
/// let client = leasehold::Client::connect_with("https://leasehold.leasehold.svc:7400",
/// access).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Access {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
}

impl Access {
    /// Trusts the authorities that this machine trusts, and shows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the environment says: `LEASEHOLD_CA`, `LEASEHOLD_CERT`, `LEASEHOLD_KEY` and
    /// `LEASEHOLD_TOKEN_FILE` name the files. An empty variable says nothing.
    pub fn from_environment() -> Self {
        let file = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            ca: file("LEASEHOLD_CA"),
            cert: file("LEASEHOLD_CERT"),
            key: file("LEASEHOLD_KEY"),
            token_file: file("LEASEHOLD_TOKEN_FILE"),
        }
    }

    /// Trusts the authorities in this PEM file, and no others.
    pub fn ca(self, file: impl Into<PathBuf>) -> Self {
        Self { ca: Some(file.into()), ..self }
    }

    /// Shows the certificate in this PEM file, if the service asks for one. Its key is needed, too.
    pub fn cert(self, file: impl Into<PathBuf>) -> Self {
        Self { cert: Some(file.into()), ..self }
    }

    /// The key of that certificate, in a PEM file.
    pub fn key(self, file: impl Into<PathBuf>) -> Self {
        Self { key: Some(file.into()), ..self }
    }

    /// Shows the token in this file with each call, as `authorization: Bearer ...`.
    ///
    /// The file is read again when what was read of it is 10 s old, and not for each connection
    /// alone: a connection lives for an hour, and each KeepAlive on it needs a token that is good
    /// then. So a new token must be there 10 s before the former one ends; the kubelet writes one
    /// when a fifth of the former one's time is left, which is two minutes or more. While the file
    /// can't be read, the former token stays in use.
    pub fn token_file(self, file: impl Into<PathBuf>) -> Self {
        Self { token_file: Some(file.into()), ..self }
    }

    /// Certificate and key, if they are given.
    pub(crate) fn identity(&self) -> Result<Option<(&Path, &Path)>, Error> {
        let lone = |what, other| Error::Invalid { what, detail: format!("it is given without {other}") };
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (Some(_), None) => Err(lone("the client's certificate", "its key (--key, LEASEHOLD_KEY)")),
            (None, Some(_)) => Err(lone("the client's key", "its certificate (--cert, LEASEHOLD_CERT)")),
        }
    }

    /// Whether an endpoint without a scheme means TLS: whoever names an authority or a certificate
    /// believes that it does.
    pub(crate) fn means_tls(&self) -> bool {
        self.ca.is_some() || self.cert.is_some()
    }
}
