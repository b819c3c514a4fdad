//! Forwarding: a standby hands every call to the active replica, streams included, and says who that is.
//!
//! A call belongs to a tenure. A standby sends along the one that it knew when the call arrived, and an active replica of another
//! tenure refuses it: a KeepAlive that was held up on the way doesn't revive what has been resigned meanwhile.

mod body;
mod links;

pub(crate) use links::{Links, Target};

use crate::errors::Refusal;
use crate::metrics::Metrics;
use crate::right::Right;
use body::Guarded;
use http_body::Body as _;
use leasehold_core::Tenure;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service, ServiceExt as _};

/// Names the tenure that a call is meant for.
const TENURE: HeaderName = HeaderName::from_static("leasehold-tenure");
/// Names the address of the active replica, so that whoever can reach it goes straight there.
const ACTIVE: HeaderName = HeaderName::from_static("leasehold-active");

/// The services whose calls are forwarded.
const SERVICES: [&str; 2] = ["/leasehold.v1.ElectionService/", "/leasehold.v1.AdminService/"];
/// Asked of one replica, answered by that one.
const OWN: &str = "/leasehold.v1.AdminService/GetStatus";

tokio::task_local! {
    /// Whom the call that is being handled is meant for, if a standby has forwarded it.
    static MEANT_FOR: Tenure;
}

/// Whom the call that is being handled is meant for; `None` if it came straight from its sender.
pub(crate) fn meant_for() -> Option<Tenure> {
    MEANT_FOR.try_with(|tenure| *tenure).ok()
}

/// Puts [`Forward`] before the services.
#[derive(Clone, Debug)]
pub(crate) struct ForwardLayer {
    pub(crate) right: Arc<Right>,
    pub(crate) links: Arc<Links>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Forwards what this replica can't answer, and lets through the rest.
#[derive(Clone, Debug)]
pub(crate) struct Forward<S> {
    inner: S,
    layer: ForwardLayer,
}

impl<S> Layer<S> for ForwardLayer {
    type Service = Forward<S>;

    fn layer(&self, inner: S) -> Forward<S> {
        Forward { inner, layer: self.clone() }
    }
}

/// What becomes of a call.
enum Way {
    /// It is answered here.
    Here,
    /// It is answered here, if this is the tenure that it is meant for.
    HereFor(Tenure),
    To(Target),
}

impl ForwardLayer {
    fn way(&self, request: &Request<Body>) -> Way {
        let path = request.uri().path();
        if path == OWN || !SERVICES.iter().any(|service| path.starts_with(service)) {
            return Way::Here;
        }
        // Never forwarded twice: two replicas that each believe the other one active would play ball with it.
        if let Some(tenure) = request.headers().get(&TENURE) {
            let tenure = tenure.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            return Way::HereFor(Tenure(tenure));
        }
        if self.right.lasts() {
            return Way::Here;
        }
        self.links.target().map_or(Way::Here, Way::To)
    }

    async fn forward(self, target: Target, mut request: Request<Body>) -> Response<Body> {
        self.metrics.forwarded.inc();
        request.headers_mut().insert(TENURE, HeaderValue::from(target.active.tenure.0));
        let path = request.uri().path().to_owned();
        let answer = tokio::select! {
            answer = target.channel(&path).oneshot(request) => answer,
            () = target.gone.cancelled() => return self.refuse(&target, Refusal::ActiveChanged),
        };
        let mut response = match answer {
            Ok(response) => response.map(|body| {
                if body.is_end_stream() { body } else { Body::new(Guarded::new(body, target.gone.clone())) }
            }),
            Err(error) => {
                let why = Status::from_error(Box::new(error)).message().to_owned();
                let address = target.active.address.clone();
                return self.refuse(&target, Refusal::ActiveUnreachable { address, why });
            }
        };
        response.headers_mut().insert(ACTIVE, target.header.clone());
        response
    }

    fn refuse(&self, target: &Target, refusal: Refusal) -> Response<Body> {
        self.metrics.refused(refusal.code_and_reason().1);
        let mut response = Status::from(refusal).into_http();
        response.headers_mut().insert(ACTIVE, target.header.clone());
        response
    }
}

impl<S> Service<Request<Body>> for Forward<S>
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.layer.way(&request) {
            Way::Here => Box::pin(self.inner.call(request)),
            Way::HereFor(tenure) => Box::pin(MEANT_FOR.scope(tenure, self.inner.call(request))),
            Way::To(target) => {
                let layer = self.layer.clone();
                Box::pin(async move { Ok(layer.forward(target, request).await) })
            }
        }
    }
}
