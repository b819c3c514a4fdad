//! Who calls: found out before a call is handed on or answered, and put beside the request. Health
//! and reflection are open to everybody who has a connection, and what replicas say to each other
//! is sealed by itself.

use crate::access::CallQuota;
use crate::caller::TENURE;
use crate::clock;
use crate::errors::Refusal;
use crate::identity::{Authenticators, BadToken, CALLER, Identified, Passports, Shown, Unauthenticated};
use crate::keys::Keys;
use crate::ledger::Peer;
use crate::metrics::Metrics;
use crate::settings::AuthSettings;
use crate::unread::read_away;
use leasehold_core::Tenure;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, Service};

/// The services that ask who calls.
const SERVICES: [&str; 2] = ["/leasehold.v1.ElectionService/", "/leasehold.v1.AdminService/"];

/// How callers are asked who they are.
#[derive(Debug)]
pub(crate) struct Door {
    authenticators: Authenticators,
    passports: Passports,
    /// Replicas prove by TLS what they are.
    over_tls: bool,
    calls: CallQuota,
    metrics: Arc<Metrics>,
}

/// Puts [`Identify`] before the services. Without a [`Door`] nobody is asked.
#[derive(Clone, Debug)]
pub(crate) struct IdentifyLayer(pub(crate) Option<Arc<Door>>);

/// Finds out who calls.
#[derive(Clone, Debug)]
pub(crate) struct Identify<S> {
    inner: S,
    door: Option<Arc<Door>>,
}

impl Door {
    /// As the settings say; `None`: nobody is asked. Keys of issuers are kept up to date from now
    /// on.
    pub(crate) fn open(
        settings: &AuthSettings,
        keys: &Keys,
        over_tls: bool,
        metrics: Arc<Metrics>,
    ) -> Option<Arc<Self>> {
        if !settings.asks() {
            return None;
        }
        let authenticators = Authenticators::of(settings);
        authenticators.look_after();
        let calls = CallQuota::new(settings.calls_per_subject);
        Some(Arc::new(Self { authenticators, passports: Passports::new(keys), over_tls, calls, metrics }))
    }

    /// Makes what a standby says of a caller.
    pub(crate) fn passports(&self) -> &Passports {
        &self.passports
    }

    /// Who sends this and where from, where that can be said at once: a replica says it, or the
    /// token was checked before.
    fn known(&self, request: &Request<Body>) -> Option<Result<Identified, Refusal>> {
        let (headers, now) = (request.headers(), clock::unix_seconds());
        let peer = request.extensions().get::<Peer>();
        if let Some(passport) = headers.get(&CALLER) {
            // Where replicas prove by TLS what they are, nobody else hands calls on.
            if self.over_tls && !peer.is_some_and(Peer::is_replica) {
                return Some(Err(Refusal::UnprovenCaller));
            }
            let tenure = headers.get(&TENURE).and_then(|tenure| tenure.to_str().ok()?.parse().ok()).map(Tenure);
            let caller = self.passports.open(passport, tenure, request.uri().path(), now);
            return Some(caller.ok_or(Refusal::UnprovenCaller));
        }
        let authorization = one_token(headers).ok()?.map(HeaderValue::as_bytes);
        let identity = self.authenticators.known(authorization, peer.map(Peer::last_shown), now)?;
        Some(Ok(Identified { identity, from: peer.map(Peer::address) }))
    }

    /// Who sends this and where from.
    async fn identify(&self, asked: Asked) -> Result<Identified, Refusal> {
        let token = asked.token?;
        let certificate = asked.peer.as_ref().and_then(Peer::certificate);
        let last = asked.peer.as_ref().map(Peer::last_shown);
        let shown = Shown { authorization: token.as_ref().map(HeaderValue::as_bytes), certificate, last };
        let identity = self.authenticators.authenticate(shown, clock::unix_seconds()).await?;
        Ok(Identified { identity, from: asked.peer.as_ref().map(Peer::address) })
    }

    /// Counts a call of this caller.
    fn admit(&self, caller: Result<Identified, Refusal>) -> Result<Identified, Refusal> {
        let caller = caller?;
        self.calls.take(&caller.identity.subject, clock::now())?;
        Ok(caller)
    }

    fn refuse(&self, refusal: Refusal, path: &str) -> Response<Body> {
        let reason = refusal.code_and_reason().1;
        tracing::debug!(reason, path, "{refusal}");
        self.metrics.refused(reason);
        Status::from(refusal).into_http()
    }
}

/// What a caller shows: the rest of its request isn't looked at, and can't be shared by threads.
struct Asked {
    token: Result<Option<HeaderValue>, Refusal>,
    peer: Option<Peer>,
}

impl Asked {
    fn of(request: &Request<Body>) -> Self {
        let extensions = request.extensions();
        let token = one_token(request.headers()).map(|token| token.cloned());
        Self { token, peer: extensions.get().cloned() }
    }
}

/// The token of a call: of several nobody knows which one counts.
fn one_token(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Refusal> {
    let mut tokens = headers.get_all(AUTHORIZATION).iter();
    match (tokens.next(), tokens.next()) {
        (token, None) => Ok(token),
        _ => Err(Unauthenticated::Nothing("it has several tokens, and must have one").into()),
    }
}

impl From<Unauthenticated> for Refusal {
    fn from(why: Unauthenticated) -> Self {
        let text = why.to_string();
        match why {
            Unauthenticated::Nothing(_) => Self::NoToken(text),
            Unauthenticated::Certificate(_) => Self::InvalidCertificate(text),
            Unauthenticated::Token(BadToken::Invalid(_)) => Self::InvalidToken(text),
            Unauthenticated::Token(BadToken::Expired { .. }) => Self::TokenExpired(text),
            Unauthenticated::Token(BadToken::KeysUnknown(_)) => Self::IssuerKeysUnknown(text),
        }
    }
}

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identify<S>;

    fn layer(&self, inner: S) -> Identify<S> {
        Identify { inner, door: self.0.clone() }
    }
}

impl<S> Service<Request<Body>> for Identify<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let is_asked = SERVICES.iter().any(|service| request.uri().path().starts_with(service));
        let Some(door) = self.door.clone().filter(|_| is_asked) else { return Box::pin(self.inner.call(request)) };
        match door.known(&request).map(|caller| door.admit(caller)) {
            Some(Ok(caller)) => {
                request.extensions_mut().insert(caller);
                return Box::pin(self.inner.call(request));
            }
            Some(Err(refusal)) => {
                let response = door.refuse(refusal, request.uri().path());
                return Box::pin(async {
                    read_away(request).await;
                    Ok(response)
                });
            }
            None => {}
        }
        // The one that is ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let asked = Asked::of(&request);
        Box::pin(async move {
            match door.admit(door.identify(asked).await) {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(refusal) => {
                    let response = door.refuse(refusal, request.uri().path());
                    read_away(request).await;
                    Ok(response)
                }
            }
        })
    }
}
