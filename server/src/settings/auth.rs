//! Settings of who may call, and what they may do, as meant.

use super::{Flags, MOST, SettingsError};
use clap::ValueEnum;
use leasehold_policy::Glob;
use serde::Deserialize;
use std::path::PathBuf;

/// What tokens must be meant for, unless told otherwise.
const DEFAULT_AUDIENCE: &str = "leasehold";
const DEFAULT_CALLS: usize = 10_000;
const DEFAULT_OBSERVERS: usize = 2_500;
/// A subject has 256 bytes, and an issuer is a part of it.
const MAX_ISSUER_BYTES: usize = 200;

/// A way in which callers say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthWay {
    /// Nobody is asked.
    None,
    /// Tokens of the cluster's service accounts.
    Kubernetes,
    /// Client certificates.
    Mtls,
}

/// Who is asked who they are, and what they may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthSettings {
    /// Tokens of the cluster's service accounts are accepted.
    pub kubernetes: bool,
    /// Client certificates are.
    pub certificates: bool,
    /// What tokens of service accounts must be meant for.
    pub audience: String,
    /// Tokens of these issuers are accepted.
    pub oidc: Vec<OidcSettings>,
    /// Who may do what; `None`: service accounts may do some things under their namespaces.
    pub policy: Option<PathBuf>,
    /// Who may do everything.
    pub admins: Vec<Glob>,
    /// The file with the token that `/metrics` asks for; `None`: it is open.
    pub http_token: Option<PathBuf>,
    /// How many calls a second one subject may make.
    pub calls_per_subject: usize,
    /// How many Observe streams one subject may have open.
    pub observers_per_subject: usize,
}

/// An OpenID issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// Its `iss`: a URL.
    pub issuer: String,
    /// What its tokens must be meant for.
    pub audience: String,
    /// The claim that is the subject.
    pub claim: String,
    /// Where its keys are; `None`: where it publishes them itself.
    pub keys: Option<OidcKeys>,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcKeys {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(String),
}

impl AuthSettings {
    /// Whether anybody is asked.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.kubernetes || self.certificates || !self.oidc.is_empty()
    }

    pub(super) fn resolve(flags: &Flags, insecure: bool) -> Result<Self, SettingsError> {
        let bad = |flag, why: String| SettingsError::Auth { flag, why };
        // In plain text whoever reads along has the token of everybody.
        let asks_the_cluster = flags.kubernetes.unwrap_or(false) && !insecure;
        let unless_told: &[AuthWay] = if asks_the_cluster { &[AuthWay::Kubernetes] } else { &[] };
        let ways = flags.auth.as_deref().unwrap_or(unless_told);
        if ways.contains(&AuthWay::None) && ways.len() > 1 {
            return Err(bad("--auth", "it says none, and more; leave one out".to_owned()));
        }
        let audience = flags.audience.clone().unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned());
        if audience.is_empty() {
            return Err(bad("--audience", "it is empty; name what tokens must be meant for".to_owned()));
        }
        let oidc = flags.oidc.iter().flatten().filter(|spec| !spec.is_empty());
        let oidc = oidc.map(|spec| OidcSettings::read(spec, &audience).map_err(|why| bad("--oidc", why)));
        let oidc = oidc.collect::<Result<_, _>>()?;
        let admins = flags.admin.iter().flatten().filter(|admin| !admin.is_empty());
        let admins = admins.map(|admin| Glob::subject(admin).map_err(|why| bad("--admin", why.to_string())));
        let settings = Self {
            kubernetes: ways.contains(&AuthWay::Kubernetes),
            certificates: ways.contains(&AuthWay::Mtls),
            audience,
            oidc,
            policy: flags.policy.clone(),
            http_token: flags.http_auth.clone(),
            admins: admins.collect::<Result<_, _>>()?,
            calls_per_subject: flags.max_calls_per_subject.unwrap_or(DEFAULT_CALLS),
            observers_per_subject: flags.max_observers_per_subject.unwrap_or(DEFAULT_OBSERVERS),
        };
        settings.check(flags)?;
        Ok(settings)
    }

    fn check(&self, flags: &Flags) -> Result<(), SettingsError> {
        for (index, one) in self.oidc.iter().enumerate() {
            if self.oidc[..index].iter().any(|other| other.issuer == one.issuer) {
                return Err(SettingsError::Auth { flag: "--oidc", why: format!("{} is named twice", one.issuer) });
            }
        }
        let set = [
            (flags.audience.is_some(), "--audience"),
            (self.policy.is_some(), "--policy"),
            (!self.admins.is_empty(), "--admin"),
            (flags.max_calls_per_subject.is_some(), "--max-calls-per-subject"),
            (flags.max_observers_per_subject.is_some(), "--max-observers-per-subject"),
        ];
        if let Some((_, flag)) = set.into_iter().find(|(set, _)| *set && !self.asks()) {
            let why = "it means nothing where nobody is asked who calls; add --auth or --oidc".to_owned();
            return Err(SettingsError::Auth { flag, why });
        }
        for (flag, value) in [
            ("max-calls-per-subject", self.calls_per_subject),
            ("max-observers-per-subject", self.observers_per_subject),
        ] {
            if value == 0 || value > MOST {
                return Err(SettingsError::OutOfRange { flag, value, most: MOST });
            }
        }
        Ok(())
    }
}

impl OidcSettings {
    /// From `issuer=URL,audience=NAME,claim=NAME,keys=FILE or URL`.
    fn read(spec: &str, audience: &str) -> Result<Self, String> {
        let mut issuer = String::new();
        let (mut audience, mut claim, mut keys) = (audience.to_owned(), "sub".to_owned(), None);
        for part in spec.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if value.is_empty() {
                return Err(format!(
                    "{part:?} isn't NAME=VALUE; write it like issuer=https://sso.example,audience=leasehold"
                ));
            }
            match name {
                "issuer" => value.clone_into(&mut issuer),
                "audience" => value.clone_into(&mut audience),
                "claim" => value.clone_into(&mut claim),
                "keys" if value.contains("://") => keys = Some(OidcKeys::Url(value.to_owned())),
                "keys" => keys = Some(OidcKeys::File(value.into())),
                _ => return Err(format!("{name:?} is none of issuer, audience, claim and keys")),
            }
        }
        if issuer.is_empty() {
            return Err(format!(
                "{spec:?} names no issuer; write it like issuer=https://sso.example,audience=leasehold"
            ));
        }
        // The subject is oidc:ISSUER#SUB: with a # in the issuer two could be the same.
        if issuer.contains(['#', '?']) || issuer.chars().any(char::is_control) || issuer.len() > MAX_ISSUER_BYTES {
            return Err(format!(
                "the issuer {issuer:?} can't be one: a URL of at most {MAX_ISSUER_BYTES} bytes without # and ?"
            ));
        }
        let url = match &keys {
            Some(OidcKeys::Url(url)) => Some(url),
            Some(OidcKeys::File(_)) => None,
            None => Some(&issuer),
        };
        url.map_or(Ok(()), |url| crate::kubernetes::Published::check(url))?;
        Ok(Self { issuer, audience, claim, keys })
    }
}
