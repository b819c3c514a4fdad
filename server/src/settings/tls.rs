//! Settings of TLS, as meant.

use super::{Flags, SettingsError};
use clap::ValueEnum;
use serde::Deserialize;
use std::path::PathBuf;

/// What the gRPC port shows, and what it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Where its certificate comes from.
    pub source: TlsSource,
    /// Who signs for clients; `None`: they aren't asked for certificates.
    pub client_ca: Option<ClientCa>,
}

/// Where the certificate of the gRPC port comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsSource {
    /// There is none: the port speaks plain text.
    #[default]
    Off,
    /// Two files.
    Files {
        /// The certificate, with those between it and its authority.
        cert: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// The authority that the replicas share.
    Auto,
}

/// Authorities whose certificates clients may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// The file.
    pub path: PathBuf,
    /// Whether they must.
    pub auth: ClientAuth,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// It may; one that is shown must be good.
    Optional,
    /// It must.
    Required,
}

impl TlsSettings {
    pub(super) fn resolve(flags: &Flags, insecure: bool) -> Result<Self, SettingsError> {
        let clash = |what| Err(SettingsError::Tls(what));
        let source = match (&flags.tls_cert, &flags.tls_key) {
            (None, None) => TlsSource::Off,
            (Some(_), None) => {
                return clash("--tls-cert is given without --tls-key; give the key of that certificate, too");
            }
            (None, Some(_)) => {
                return clash("--tls-key is given without --tls-cert; give the certificate of that key, too");
            }
            (Some(_), Some(_)) if insecure => {
                return clash("--insecure means plain text, and --tls-cert means TLS; leave out one of them");
            }
            (Some(cert), Some(key)) => TlsSource::Files { cert: cert.clone(), key: key.clone() },
        };
        let client_ca = match (&flags.tls_client_ca, flags.tls_client_auth) {
            (None, None) => None,
            (None, Some(_)) => {
                return clash(
                    "--tls-client-auth is given without --tls-client-ca; give the file with the authorities of clients",
                );
            }
            (Some(_), _) if source == TlsSource::Off => {
                return clash("--tls-client-ca means nothing in plain text; give --tls-cert and --tls-key, too");
            }
            (Some(path), auth) => Some(ClientCa { path: path.clone(), auth: auth.unwrap_or(ClientAuth::Required) }),
        };
        Ok(Self { source, client_ca })
    }

    /// Whether the gRPC port speaks TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.source != TlsSource::Off
    }
}
