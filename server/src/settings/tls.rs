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
    /// Names for which replicas sign, beside those that every service has.
    pub names: Vec<String>,
    /// The ClusterTrustBundle in which replicas publish their authority, if they do.
    pub trust_bundle: Option<String>,
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

/// Where the certificate comes from, as it may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// From an authority that the replicas share. The first replica makes it.
    Auto,
    /// From nowhere: plain text.
    Off,
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
        let is_replica = flags.kubernetes.unwrap_or(false);
        let auto = match flags.tls {
            Some(TlsMode::Auto) if insecure => {
                return clash("--insecure means plain text, and --tls auto means TLS; leave out one of them");
            }
            Some(TlsMode::Auto) if !is_replica => {
                return clash(
                    "--tls auto means nothing without --kubernetes, where replicas share an authority; give --tls-cert and \
                     --tls-key, or leave it out",
                );
            }
            Some(TlsMode::Auto) => TlsSource::Auto,
            Some(TlsMode::Off) => TlsSource::Off,
            None if is_replica && !insecure => TlsSource::Auto,
            None => TlsSource::Off,
        };
        let source = match (&flags.tls_cert, &flags.tls_key) {
            (None, None) => auto,
            (Some(_), Some(_)) if flags.tls.is_some() => {
                return clash(
                    "--tls says where the certificate comes from, and so does --tls-cert; leave out one of them",
                );
            }
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
        let mut names = flags.tls_names.clone().unwrap_or_default();
        // A variable that is set to nothing.
        names.retain(|name| !name.is_empty());
        if !names.is_empty() && source != TlsSource::Auto {
            return clash("--tls-names means nothing without --tls auto: other certificates have their names already");
        }
        let trust_bundle = flags.ca_trust_bundle.clone().filter(|name| !name.is_empty());
        if trust_bundle.is_some() && source != TlsSource::Auto {
            return clash("--ca-trust-bundle means nothing without --tls auto: there is no authority to publish");
        }
        Ok(Self { source, client_ca, names, trust_bundle })
    }

    /// Whether the replicas sign for the gRPC port themselves.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.source == TlsSource::Auto
    }

    /// Whether the gRPC port speaks TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.source != TlsSource::Off
    }
}
