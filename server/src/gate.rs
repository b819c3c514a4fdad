//! Before all services: what isn't gRPC isn't served, and of what nobody reads there is only so
//! much.

mod body;

use crate::errors::Refusal;
use crate::ledger::{Begun, Class, Peer};
use crate::line::Turn;
use crate::metrics::Metrics;
use crate::unread::read_away;
use body::{Counted, Ends};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::header::{ACCEPT, CONTENT_TYPE};
use tonic::codegen::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataValue};
use tower::{Layer, Service};

/// Reflection is for people who look around: whoever does so for longer opens another stream.
const REFLECTION_LASTS: Duration = Duration::from_secs(60);

/// A right to work that ends when the answer's first bytes have been made.
#[derive(Clone, Debug)]
struct HeldTurn(#[expect(dead_code, reason = "it is kept, and dropped")] Arc<Turn>);

/// An answer that was worked at in a turn: the turn ends when the answer's bytes have been made.
pub(crate) fn held<T>(message: T, turn: Turn) -> tonic::Response<T> {
    let mut response = tonic::Response::new(message);
    response.extensions_mut().insert(HeldTurn(Arc::new(turn)));
    response
}

/// The same for an answer whose message is somebody else's.
pub(crate) fn hold(response: &mut Response<Body>, turn: Turn) {
    response.extensions_mut().insert(HeldTurn(Arc::new(turn)));
}

/// Says of a stream that its candidacy lives as long as it. A standby hands this on.
const BOUND: &str = "leasehold-bound-to-stream";

/// The answer of a stream without which a leader would lose its lead: it stays open when its
/// connection is old.
pub(crate) fn bound_to_stream<T>(mut response: tonic::Response<T>) -> tonic::Response<T> {
    response.metadata_mut().insert(BOUND, MetadataValue::from_static("true"));
    response
}

/// Puts [`Gate`] before the services.
#[derive(Clone, Debug)]
pub(crate) struct GateLayer {
    pub(crate) metrics: Arc<Metrics>,
}

/// Lets calls through.
#[derive(Clone, Debug)]
pub(crate) struct Gate<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, metrics: Arc::clone(&self.metrics) }
    }
}

impl<S> Service<Request<Body>> for Gate<S>
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
        if let Some(refused) = not_grpc(&request) {
            self.metrics.refused("NOT_GRPC");
            return Box::pin(async { Ok(refused) });
        }
        // A test calls without a connection.
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return Box::pin(self.inner.call(request));
        };
        let class = class(request.uri().path());
        match peer.try_begin(class) {
            Ok(Some(begun)) => Box::pin(answered(class, begun, self.inner.call(request))),
            Ok(None) => {
                // The one that is ready.
                let next = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, next);
                let metrics = Arc::clone(&self.metrics);
                Box::pin(async move {
                    match peer.begin(class).await {
                        Ok(begun) => answered(class, begun, inner.call(request)).await,
                        Err(refusal) => {
                            read_away(request).await;
                            Ok(refused(&metrics, refusal))
                        }
                    }
                })
            }
            Err(refusal) => {
                let response = refused(&self.metrics, refusal);
                Box::pin(async {
                    read_away(request).await;
                    Ok(response)
                })
            }
        }
    }
}

/// The answer of a call that was begun, which is in the ledger until it is sent.
async fn answered<E>(
    class: Class,
    Begun { call, at_work }: Begun,
    answer: impl Future<Output = Result<Response<Body>, E>>,
) -> Result<Response<Body>, E> {
    let mut response = answer.await?;
    // A stream that has begun does nothing most of its time.
    drop(at_work);
    let turn = response.extensions_mut().remove::<HeldTurn>();
    let ends = match class {
        Class::Unary => Ends::WithItsMessage,
        Class::Reflection => Ends::after(REFLECTION_LASTS),
        Class::Stream | Class::Watch if response.headers().contains_key(BOUND) => Ends::WithItsMessage,
        Class::Stream | Class::Watch => Ends::with_connection(call.peer()),
    };
    Ok(response.map(|body| Body::new(Counted::new(body, call, turn, ends))))
}

fn refused(metrics: &Metrics, refusal: Refusal) -> Response<Body> {
    metrics.refused(refusal.code_and_reason().1);
    Status::from(refusal).into_http()
}

/// What a call is, by the name of its method. What isn't known is answered at once.
pub(crate) fn class(path: &str) -> Class {
    match path {
        "/leasehold.v1.ElectionService/Campaign"
        | "/leasehold.v1.ElectionService/Observe"
        | "/leasehold.v1.ReplicaService/Mirror" => Class::Stream,
        "/grpc.health.v1.Health/Watch" => Class::Watch,
        _ if path.starts_with("/grpc.reflection.") => Class::Reflection,
        _ => Class::Unary,
    }
}

/// Whether this is what gRPC calls a content type of its own: `application/grpc`, with the name of
/// an encoding or without.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let rest = content_type.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// The answer to what isn't gRPC, as its specification wants it: a browser can be made to send that
/// by any page that it shows.
fn not_grpc(request: &Request<Body>) -> Option<Response<Body>> {
    let (status, name, value) = if request.method() != Method::POST {
        (StatusCode::METHOD_NOT_ALLOWED, tonic::codegen::http::header::ALLOW, HeaderValue::from_static("POST"))
    } else if !is_grpc(request.headers()) {
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, ACCEPT, GRPC_CONTENT_TYPE)
    } else {
        return None;
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(name, value);
    Some(response)
}

#[cfg(test)]
mod tests;
