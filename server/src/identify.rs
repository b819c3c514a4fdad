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
use leasehold_core::Tenure;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

/// The services that ask who calls.
const SERVICES: [&str; 2] = ["/leasehold.v1.ElectionService/", "/leasehold.v1.AdminService/"];

/// The certificate (DER) of a connection whose chain TLS has checked.
#[derive(Clone, Debug)]
pub(crate) struct PeerCertificate(pub(crate) Arc<[u8]>);

/// How callers are asked who they are.
#[derive(Debug)]
pub(crate) struct Door {
    authenticators: Authenticators,
    passports: Passports,
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
    pub(crate) fn open(settings: &AuthSettings, keys: &Keys, metrics: Arc<Metrics>) -> Option<Arc<Self>> {
        if !settings.asks() {
            return None;
        }
        let authenticators = Authenticators::of(settings);
        authenticators.look_after();
        let calls = CallQuota::new(settings.calls_per_subject);
        Some(Arc::new(Self { authenticators, passports: Passports::new(keys), calls, metrics }))
    }

    /// Makes what a standby says of a caller.
    pub(crate) fn passports(&self) -> &Passports {
        &self.passports
    }

    /// Who sends this, and where from.
    async fn identify(&self, head: &Head) -> Result<Identified, Refusal> {
        let now = clock::unix_seconds();
        let caller = match head.headers.get(&CALLER) {
            Some(passport) => {
                let tenure =
                    head.headers.get(&TENURE).and_then(|tenure| tenure.to_str().ok()?.parse().ok()).map(Tenure);
                self.passports.open(passport, tenure, &head.path, now).ok_or(Refusal::UnprovenCaller)?
            }
            None => {
                let mut tokens = head.headers.get_all(AUTHORIZATION).iter();
                let (token, another) = (tokens.next(), tokens.next());
                if another.is_some() {
                    return Err(Unauthenticated::Nothing("it has several tokens, and must have one").into());
                }
                let certificate = head.certificate.as_ref().map(|certificate| &*certificate.0);
                let shown = Shown { authorization: token.map(|token| token.as_bytes()), certificate };
                let identity = self.authenticators.authenticate(shown, now).await?;
                Identified { identity, from: head.peer.as_ref().map(Peer::address) }
            }
        };
        self.calls.take(&caller.identity.subject, clock::now())?;
        Ok(caller)
    }
}

/// What is looked at of a request: the rest may be none that can be shared between threads.
struct Head {
    path: String,
    headers: HeaderMap,
    certificate: Option<PeerCertificate>,
    peer: Option<Peer>,
}

impl Head {
    fn of(request: &Request<Body>) -> Self {
        let mut headers = HeaderMap::new();
        for name in [&CALLER, &TENURE, &AUTHORIZATION] {
            for value in request.headers().get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let extensions = request.extensions();
        let (certificate, peer) = (extensions.get().cloned(), extensions.get().cloned());
        Self { path: request.uri().path().to_owned(), headers, certificate, peer }
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
        // The one that is ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let head = Head::of(&request);
        Box::pin(async move {
            match door.identify(&head).await {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(refusal) => {
                    let reason = refusal.code_and_reason().1;
                    tracing::debug!(reason, path = head.path, peer = ?head.peer.map(|peer| peer.address()), "{refusal}");
                    door.metrics.refused(reason);
                    Ok(Status::from(refusal).into_http())
                }
            }
        })
    }
}
