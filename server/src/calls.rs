//! What every gRPC call gets, whatever becomes of it: an answer in time, and a reason with each
//! refusal.
//!
//! tonic refuses a call by itself whose request it can't read, or whose method it doesn't know. It
//! says so in words of its own, without `ErrorInfo`. Clients decide by the reason, so none of that
//! gets out.

use crate::errors::{Refusal, shown};
use crate::metrics::Metrics;
use crate::service::deadline;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

/// How long a request may take to arrive and be answered; a stream may last as long as it likes
/// after its first message.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// How tonic begins what it says of a message that is too long.
const TOO_LONG: &str = "Error, decoded message length too large: ";

/// Puts [`Calls`] before all services.
#[derive(Clone, Debug)]
pub(crate) struct CallsLayer {
    pub(crate) limit: Duration,
    pub(crate) metrics: Arc<Metrics>,
}

/// Answers in time, and says why not.
#[derive(Clone, Debug)]
pub(crate) struct Calls<S> {
    inner: S,
    layer: CallsLayer,
}

impl<S> Layer<S> for CallsLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls { inner, layer: self.clone() }
    }
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let own = deadline::timeout(request.headers());
        let CallsLayer { limit, metrics } = self.layer.clone();
        let (limit, too_late) = match own {
            Some(own) if own < limit => (own, Refusal::DeadlineExceeded),
            _ => (limit, Refusal::CallTimedOut { limit }),
        };
        let answer = tokio::time::timeout(limit, self.inner.call(request));
        Box::pin(async move {
            let (mut response, refusal) = match answer.await {
                Ok(answer) => {
                    let response = answer?;
                    let refusal = unexplained(&path, response.headers());
                    (response, refusal)
                }
                Err(_) => (Response::new(Body::empty()), Some(too_late)),
            };
            if let Some(refusal) = refusal {
                metrics.refused(refusal.code_and_reason().1);
                explain(&mut response, refusal);
            }
            Ok(response)
        })
    }
}

/// The reason for a refusal that has none. A refusal without a message is headers only, so nothing
/// else can have one: our own streams say theirs in trailers.
fn unexplained(path: &str, headers: &HeaderMap) -> Option<Refusal> {
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return None;
    }
    let status = Status::from_header_map(headers)?;
    let why = status.message();
    Some(match status.code() {
        Code::Unimplemented if why.is_empty() => Refusal::UnknownMethod { path: shown(path) },
        Code::Unimplemented => Refusal::Compressed { why: shown(why) },
        Code::OutOfRange => Refusal::TooLong { found: shown(why.strip_prefix(TOO_LONG).unwrap_or(why)) },
        // A message that isn't one of protobuf, or that isn't whole.
        Code::Internal => Refusal::Argument(format!("the request can't be read: {}", shown(why))),
        // What gRPC health says of services that it doesn't know is as its protocol wants it.
        _ => return None,
    })
}

/// Says so in the answer's headers, beside what else stands there.
fn explain(response: &mut Response<Body>, refusal: Refusal) {
    let explained = Status::from(refusal).into_http::<Body>();
    response.headers_mut().extend(explained.headers().clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    async fn answer<F>(path: &str, timeout: Option<&str>, answer: F) -> Status
    where
        F: Future<Output = Result<Response<Body>, Status>> + Send + 'static,
    {
        let mut request = Request::builder().uri(format!("http://here{path}"));
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", timeout);
        }
        let mut answer = Some(answer);
        let inner = service_fn(move |_: Request<Body>| answer.take().expect("it is asked once"));
        let layer = CallsLayer { limit: Duration::from_millis(200), metrics: Arc::new(Metrics::new()) };
        let response = layer.layer(inner).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        Status::from_header_map(response.headers()).expect("it is a refusal")
    }

    fn reason(status: &Status) -> String {
        status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
    }

    async fn explained(status: Status) -> Status {
        answer("/leasehold.v1.ElectionService/Campain", None, async { Ok(status.into_http()) }).await
    }

    #[tokio::test]
    async fn what_the_grpc_layer_refuses_has_a_reason() {
        for (status, code, expected, says) in [
            (Status::unimplemented(""), Code::Unimplemented, "UNKNOWN_METHOD", "no method /leasehold.v1.Elec"),
            (Status::unimplemented("with `gzip`"), Code::Unimplemented, "COMPRESSED_REQUEST", "with `gzip`"),
            (
                Status::out_of_range(format!("{TOO_LONG}found 9")),
                Code::InvalidArgument,
                "REQUEST_TOO_LONG",
                ": found 9",
            ),
            (Status::internal("wire type"), Code::InvalidArgument, "INVALID_REQUEST", "be read: wire type"),
        ] {
            let told = explained(status).await;
            assert_eq!((told.code(), reason(&told).as_str()), (code, expected), "{told:?}");
            assert!(told.message().contains(says), "{told:?}");
        }
    }

    #[tokio::test]
    async fn what_has_a_reason_keeps_it_and_other_services_keep_their_words() {
        let told = explained(Refusal::Internal("x").into()).await;
        assert_eq!((told.code(), reason(&told).as_str()), (Code::Internal, "INTERNAL"));
        let told = explained(Status::not_found("service not registered")).await;
        assert_eq!(
            (told.code(), told.message(), reason(&told).as_str()),
            (Code::NotFound, "service not registered", "")
        );
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up_with_a_reason() {
        let told = answer("/x/Y", None, std::future::pending()).await;
        assert_eq!((told.code(), reason(&told).as_str()), (Code::Unavailable, "CALL_TIMED_OUT"));
        assert!(told.message().contains("gave the call up after 200ms"), "{told:?}");
        for (timeout, code, expected) in [
            ("100m", Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            ("1n", Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            ("11S", Code::Unavailable, "CALL_TIMED_OUT"),
        ] {
            let told = answer("/x/Y", Some(timeout), std::future::pending()).await;
            assert_eq!((told.code(), reason(&told).as_str()), (code, expected), "{timeout}");
        }
    }
}
