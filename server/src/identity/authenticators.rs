//! All the ways in which callers may say who they are. What isn't among them isn't accepted.

use super::cache::{self, Cache, LastShown};
use super::claims::{IssuerKind, IssuerRules};
use super::issuer::Issuer;
use super::jwt;
use super::source::KeySource;
use super::{BadToken, Identity, MAX_TOKEN_BYTES, subject_of_certificate};
use crate::errors::shown;
use crate::settings::{AuthSettings, OidcKeys, OidcSettings};
use std::sync::Arc;

/// The ways that are on.
#[derive(Debug, Default)]
pub(crate) struct Authenticators {
    issuers: Vec<Arc<Issuer>>,
    certificates: bool,
    cache: Arc<Cache>,
}

/// What a call shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown<'a> {
    /// Its metadata `authorization`.
    pub(crate) authorization: Option<&'a [u8]>,
    /// The certificate of its connection (DER), whose chain was checked.
    pub(crate) certificate: Option<&'a [u8]>,
    /// Where its connection remembers who that is.
    pub(crate) last: Option<&'a LastShown>,
}

/// Why nobody knows who calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unauthenticated {
    /// It shows nothing that counts.
    #[error("this server asks who calls, and this call doesn't say: {0}")]
    Nothing(&'static str),
    /// Its token is no good.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// Its certificate names nobody.
    #[error("{0}")]
    Certificate(String),
}

impl Authenticators {
    /// None yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Those that the settings say.
    pub(crate) fn of(settings: &AuthSettings) -> Self {
        let mut these = Self::new();
        these.certificates = settings.certificates;
        if settings.kubernetes {
            // The cluster says what it is called.
            let (issuer, audience) = (String::new(), settings.audience.clone());
            these =
                these.with_issuer(IssuerRules { issuer, audience, kind: IssuerKind::Kubernetes }, KeySource::Cluster);
        }
        for OidcSettings { issuer, audience, claim, keys } in settings.oidc.clone() {
            let source = match keys {
                Some(OidcKeys::File(path)) => KeySource::File(path),
                Some(OidcKeys::Url(url)) => KeySource::Url(url),
                None => KeySource::Provider(issuer.clone()),
            };
            these = these.with_issuer(IssuerRules { issuer, audience, kind: IssuerKind::Oidc { claim } }, source);
        }
        these
    }

    /// Accepts tokens of this issuer.
    #[must_use]
    pub(crate) fn with_issuer(mut self, rules: IssuerRules, source: KeySource) -> Self {
        self.issuers.push(Arc::new(Issuer::new(rules, source, Arc::clone(&self.cache))));
        self
    }

    /// Accepts client certificates, once TLS has checked them.
    #[cfg(test)]
    pub(crate) fn with_certificates(mut self) -> Self {
        self.certificates = true;
        self
    }

    /// Keeps the keys of all issuers up to date, until the runtime ends.
    pub(crate) fn look_after(&self) {
        for issuer in &self.issuers {
            tokio::spawn(Arc::clone(issuer).look_after());
        }
    }

    /// Who calls with this, if it was checked before. `last` is what the same connection showed
    /// last.
    pub(crate) fn known(
        &self,
        authorization: Option<&[u8]>,
        last: Option<&LastShown>,
        now: u64,
    ) -> Option<Arc<Identity>> {
        let Some(authorization) = authorization else { return last?.certificate() };
        // Before the cache is asked: what it says may be over a moment later.
        let epoch = self.cache.epoch();
        if let Some(identity) = last.and_then(|last| last.get(authorization, epoch, now)) {
            return Some(identity);
        }
        let token = bearer(authorization).ok().filter(|token| token.len() <= MAX_TOKEN_BYTES)?;
        let identity = self.cache.get(&cache::hash(token), now)?;
        if let Some(last) = last {
            last.keep(authorization, epoch, &identity);
        }
        Some(identity)
    }

    /// Who calls; `now` in seconds since 1970. A token goes before a certificate: it is the
    /// caller's own, and the connection may be that of a proxy.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub(crate) async fn authenticate(&self, shown: Shown<'_>, now: u64) -> Result<Arc<Identity>, Unauthenticated> {
        match (shown.authorization, shown.certificate) {
            (Some(authorization), _) => Ok(self.of_token(bearer(authorization)?, now).await?),
            (None, Some(der)) if self.certificates => {
                let subject =
                    subject_of_certificate(der).map_err(|why| Unauthenticated::Certificate(why.to_string()))?;
                // TLS has looked at the certificate's dates, and the connection lasts as it lasts.
                let identity = Arc::new(Identity { subject, pod: None, until: u64::MAX });
                if let Some(last) = shown.last {
                    last.keep_certificate(&identity);
                }
                Ok(identity)
            }
            _ if self.issuers.is_empty() => Err(Unauthenticated::Nothing("connect with a client certificate")),
            _ => Err(Unauthenticated::Nothing("send a token in the metadata \"authorization: Bearer TOKEN\"")),
        }
    }

    async fn of_token(&self, token: &str, now: u64) -> Result<Arc<Identity>, BadToken> {
        if token.len() > MAX_TOKEN_BYTES {
            let why = format!("it has {} bytes; none is longer than {MAX_TOKEN_BYTES}", token.len());
            return Err(BadToken::Invalid(why));
        }
        let hash = cache::hash(token);
        if let Some(identity) = self.cache.get(&hash, now) {
            return Ok(identity);
        }
        let name = jwt::issuer_of(token)?;
        if let Some(issuer) = self.issuers.iter().find(|issuer| issuer.name().as_deref() == Some(&*name)) {
            return issuer.authenticate(token, hash, now).await;
        }
        if self.issuers.iter().any(|issuer| issuer.name().is_none()) {
            return Err(BadToken::KeysUnknown("the issuer of the cluster isn't known here yet".to_owned()));
        }
        Err(BadToken::Invalid(format!("its issuer {:?} isn't one that this server accepts", shown(&name))))
    }

    /// Reads the keys of all issuers now.
    #[cfg(test)]
    pub(super) async fn read_keys(&self) -> Result<(), String> {
        for issuer in &self.issuers {
            issuer.read_keys().await?;
        }
        Ok(())
    }

    /// As if that had been long ago.
    #[cfg(test)]
    pub(super) async fn forget_when_keys_were_read(&self) {
        for issuer in &self.issuers {
            issuer.forget_when_keys_were_read().await;
        }
    }
}

/// The token in `Bearer TOKEN`.
pub(crate) fn bearer(authorization: &[u8]) -> Result<&str, Unauthenticated> {
    let text = std::str::from_utf8(authorization).ok().and_then(|text| text.split_once(' '));
    let token = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    token.filter(|token| !token.is_empty()).ok_or(Unauthenticated::Nothing("its authorization isn't \"Bearer TOKEN\""))
}
