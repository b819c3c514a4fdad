//! Forwarding: a standby hands every call to the active replica, streams included, and says who
//! that is.
//!
//! A standby's clients share its connections to the active replica. So it takes in a whole request
//! before it hands it on, and a whole answer: a client that sends or reads slowly holds up nobody
//! else. A stream that isn't read has little room there.
//!
//! A call belongs to a tenure. A standby sends along the one that it knew when the call arrived,
//! and an active replica of another tenure refuses it: a KeepAlive that was held up on the way
//! doesn't revive what has been resigned meanwhile.
//!
//! A standby asks each caller itself who it is, and says so with a passport that only replicas can
//! make. Without identities nobody is asked.

mod body;
mod links;
mod whole;

pub(crate) use links::{Links, Target};

use crate::caller::{Caller, TENURE};
use crate::clock;
use crate::errors::Refusal;
use crate::gate;
use crate::identity::{CALLER, Identified, Passports};
use crate::ledger::Class;
use crate::line::{Line, Turn};
use crate::metrics::Metrics;
use crate::right::SharedRight;
use body::Guarded;
use http_body::Body as _;
use leasehold_core::Tenure;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service, ServiceExt as _};
use whole::{NotWhole, Whole};

/// Names the address of the active replica, so that whoever can reach it goes straight there.
const ACTIVE: HeaderName = HeaderName::from_static("leasehold-active");

/// The services whose calls are forwarded.
const SERVICES: [&str; 2] = ["/leasehold.v1.ElectionService/", "/leasehold.v1.AdminService/"];
/// A request has one message, of 1 MiB at most, and five bytes before it.
const MAX_REQUEST_BYTES: usize = (1 << 20) + 5;
/// Answers to KeepAlive are longer than their requests, by a ticket and a task token for each item.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// A longer request costs much.
const COSTLY_REQUEST_BYTES: usize = 8 << 10;
/// So does this, whatever its request.
const LIST: &str = "/leasehold.v1.ElectionService/ListElections";
/// Asked of one replica, answered by that one.
const OWN: &str = "/leasehold.v1.AdminService/GetStatus";

/// Puts [`Forward`] before the services.
#[derive(Clone, Debug)]
pub(crate) struct ForwardLayer {
    pub(crate) right: Arc<SharedRight>,
    pub(crate) links: Arc<Links>,
    pub(crate) metrics: Arc<Metrics>,
    /// Before calls that cost much.
    pub(crate) line: Arc<Line>,
    /// Tells who calls; `None`: nobody is asked.
    pub(crate) passports: Option<Passports>,
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
    /// It is answered here. What a standby has forwarded is answered if this is the tenure that it
    /// is meant for.
    Here,
    To(Target),
}

impl ForwardLayer {
    fn way(&self, request: &Request<Body>) -> Way {
        let path = request.uri().path();
        if path == OWN || !SERVICES.iter().any(|service| path.starts_with(service)) {
            return Way::Here;
        }
        // Never forwarded twice: two replicas that each believe the other one active would play
        // ball with it.
        if request.headers().contains_key(&TENURE) || self.right.lasts() {
            return Way::Here;
        }
        self.links.target().map_or(Way::Here, Way::To)
    }

    async fn forward(self, target: Target, request: Request<Body>) -> Response<Body> {
        self.metrics.forwarded.inc();
        let forwarded = async {
            let path = request.uri().path().to_owned();
            let (request, turn) = self.taken_in(&path, request).await?;
            let response = self.exchange(&target, &path, request).await?;
            Ok((response, turn))
        };
        let answer = tokio::select! {
            answer = forwarded => answer,
            () = target.gone.cancelled() => Err(Refusal::ActiveChanged),
        };
        match answer {
            Ok((mut response, turn)) => {
                response.headers_mut().insert(ACTIVE, target.header.clone());
                if let Some(turn) = turn {
                    gate::hold(&mut response, turn);
                }
                response
            }
            Err(refusal) => self.refuse(&target, refusal),
        }
    }

    /// The request, when all of it is there, and a turn if it costs much.
    async fn taken_in(&self, path: &str, request: Request<Body>) -> Result<(Request<Body>, Option<Turn>), Refusal> {
        let caller = Caller::with(request.headers(), request.extensions());
        let (head, body) = request.into_parts();
        let body = Whole::of(body, MAX_REQUEST_BYTES).await.map_err(|why| match why {
            NotWhole::TooLong(most) => Refusal::Argument(format!("the request is longer than {most} bytes")),
            NotWhole::Broken(status) => Refusal::Argument(format!("the request broke off: {}", status.message())),
        })?;
        let costs = path == LIST || body.bytes() > COSTLY_REQUEST_BYTES;
        let turn = if costs { Some(caller.turn(&self.line, body.bytes().max(1 << 10)).await) } else { None };
        Ok((Request::from_parts(head, Body::new(body)), turn))
    }

    async fn exchange(
        &self,
        target: &Target,
        path: &str,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Refusal> {
        request.headers_mut().insert(TENURE, HeaderValue::from(target.active.tenure.0));
        self.show_passport(&mut request, target.active.tenure, path);
        let address = &target.active.address;
        let unreachable = |why: String| Refusal::ActiveUnreachable { address: address.to_string(), why };
        let answer = target.channel(path).oneshot(request).await;
        let answer = answer.map_err(|error| unreachable(Status::from_error(Box::new(error)).message().to_owned()))?;
        if !gate::is_grpc(answer.headers()) {
            // Whatever stands between: its page of errors is no answer to a call.
            return Err(unreachable(format!("it answered HTTP {} without a content type of gRPC", answer.status())));
        }
        let (head, body) = answer.into_parts();
        let body = if body.is_end_stream() {
            body
        } else if gate::class(path) == Class::Unary {
            let broke = |why: String| Refusal::ActiveBroke { why };
            Body::new(Whole::of(body, MAX_ANSWER_BYTES).await.map_err(|why| match why {
                NotWhole::TooLong(most) => broke(format!("its answer is longer than {most} bytes")),
                NotWhole::Broken(status) => broke(status.message().to_owned()),
            })?)
        } else {
            Body::new(Guarded::new(body, target.gone.clone()))
        };
        Ok(Response::from_parts(head, body))
    }

    /// The active replica asks no more who calls: this one has, and says so. Tokens go no further.
    fn show_passport(&self, request: &mut Request<Body>, tenure: Tenure, path: &str) {
        let passport = match (&self.passports, request.extensions().get::<Identified>()) {
            (Some(passports), Some(caller)) => Some(passports.issue(caller, tenure, path, clock::unix_seconds())),
            _ => None,
        };
        let headers = request.headers_mut();
        headers.remove(CALLER);
        if let Some(passport) = passport {
            headers.remove(AUTHORIZATION);
            headers.insert(CALLER, passport);
        }
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
            Way::To(target) => {
                let layer = self.layer.clone();
                Box::pin(async move { Ok(layer.forward(target, request).await) })
            }
        }
    }
}
