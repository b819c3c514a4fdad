//! A connection on which only gRPC counts as an answer. A proxy's page, or that of another program,
//! is told for what it is.

use super::endpoint::Target;
use super::status;
use super::tls::Tls;
use super::token::TokenFile;
use bytes::Bytes;
use futures::future::{BoxFuture, poll_fn};
use http_body::{Body as _, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderMap, Request, Response, StatusCode};
use tonic::codegen::{Service, StdError};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How many characters are shown of what somebody else calls its content.
const SHOWN_CHARS: usize = 64;

/// A channel to this address, on which a call is answered by gRPC or fails.
#[derive(Debug, Clone)]
pub(crate) struct GrpcOnly {
    channel: Channel,
    url: Arc<str>,
    tls: Option<Tls>,
    token: Option<Arc<TokenFile>>,
}

impl GrpcOnly {
    pub(super) fn new(channel: Channel, target: &Target) -> Self {
        Self { channel, url: Arc::from(target.url()), tls: target.tls.clone(), token: target.token.clone() }
    }

    /// Makes the call, and once more if its connection was closed before it was sent: a connection
    /// that is old takes no new calls, and its client knows that only when it tries.
    async fn exchange(channel: &mut Channel, request: Request<Body>) -> Result<Response<Body>, StdError> {
        let (head, body) = request.into_parts();
        let message = whole(body).await?;
        let request = || Request::from_parts(head.clone(), Body::new(Message(message.clone())));
        match channel.call(request()).await {
            Err(error) if was_not_sent(&error) => {
                poll_fn(|context| channel.poll_ready(context)).await?;
                Ok(channel.call(request()).await?)
            }
            answer => Ok(answer?),
        }
    }
}

impl Service<Request<Body>> for GrpcOnly {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<'static, Result<Response<Body>, StdError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (url, path) = (Arc::clone(&self.url), request.uri().path().to_owned());
        // The one that is ready.
        let next = self.channel.clone();
        let mut channel = std::mem::replace(&mut self.channel, next);
        let (tls, token) = (self.tls.clone(), self.token.clone());
        Box::pin(async move {
            if let Some(token) = token {
                request.headers_mut().insert(AUTHORIZATION, token.header().await?);
            }
            let answer = Self::exchange(&mut channel, request).await.map_err(|error| {
                // A server refuses this client's certificate after the handshake, when the call is
                // under way.
                let refused = tls.and_then(|tls| tls.refusal());
                refused.map_or(error, |refused| std::io::Error::other(refused).into())
            })?;
            match objection(&url, &path, answer.status(), answer.headers()) {
                None => Ok(answer),
                // Leasehold may answer there soon, or elsewhere now.
                Some(objection) => Err(Status::unavailable(objection).into()),
            }
        })
    }
}

/// The one message of a request.
async fn whole(mut body: Body) -> Result<Bytes, Status> {
    let mut pieces = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        pieces.extend(frame?.into_data());
    }
    Ok(match &pieces[..] {
        [one] => one.clone(),
        pieces => Bytes::from(pieces.concat()),
    })
}

/// A request's body that can be sent once more.
struct Message(Bytes);

impl http_body::Body for Message {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let message = std::mem::take(&mut self.0);
        Poll::Ready((!message.is_empty()).then_some(Ok(Frame::data(message))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a call was given up before any of it was sent.
fn was_not_sent(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled))
}

/// Why this isn't an answer of Leasehold, if it can't be one.
fn objection(url: &str, path: &str, status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(said) = Status::from_header_map(headers) {
        // Refusals of Leasehold have details, and it knows its own calls.
        let who = status::said_by_somebody_else(&said)?;
        let is_unknown = said.code() == Code::Unimplemented;
        return Some(not_leasehold(url, &if is_unknown { format!("it doesn't know {path}") } else { who }));
    }
    let content = header("content-type").unwrap_or("no content");
    if status == StatusCode::OK && is_grpc(content) {
        return None;
    }
    if is_of_a_proxy(status) {
        let address = url.split_once("://").map_or(url, |(_, address)| address);
        return Some(format!("a proxy at {address} answered {status}"));
    }
    let content: String = content.chars().take(SHOWN_CHARS).collect();
    Some(not_leasehold(url, &format!("HTTP {status} with {content}")))
}

fn is_grpc(content: &str) -> bool {
    content.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// What a proxy says whose service isn't there, isn't well, or isn't for everybody.
fn is_of_a_proxy(status: StatusCode) -> bool {
    status.is_server_error()
        || [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&status)
}

/// Somebody else answers there.
pub(super) fn not_leasehold(url: &str, who: &str) -> String {
    format!("something answers at {url}, but not Leasehold's gRPC (default port 7400): {who}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::{ErrorDetails, StatusExt as _};

    fn said(status: u16, headers: &[(&'static str, &str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        objection("http://a:1", "/leasehold.v1.X/Y", StatusCode::from_u16(status).unwrap(), &map)
    }

    #[test]
    fn grpc_is_an_answer_whatever_it_says() {
        for content in ["application/grpc", "application/grpc+proto", "application/grpc; charset=x"] {
            assert_eq!(said(200, &[("content-type", content)]), None, "{content}");
        }
        for (status, code) in [(200, "0"), (200, "1"), (200, "4"), (503, "4")] {
            assert_eq!(said(status, &[("grpc-status", code)]), None, "it says nothing of who has answered");
        }
    }

    #[test]
    fn a_proxys_page_names_the_proxy() {
        for (status, name) in [(502, "502 Bad Gateway"), (429, "429 Too Many Requests"), (403, "403 Forbidden")] {
            let said = said(status, &[("content-type", "text/html")]);
            assert_eq!(said.unwrap(), format!("a proxy at a:1 answered {name}"));
        }
    }

    #[test]
    fn another_program_is_named_for_what_it_is() {
        let page = said(200, &[("content-type", "text/html")]).unwrap();
        assert_eq!(
            page,
            "something answers at http://a:1, but not Leasehold's gRPC (default port 7400): HTTP 200 OK with text/html"
        );
        assert!(said(404, &[]).unwrap().ends_with("HTTP 404 Not Found with no content"));
        let other = said(200, &[("content-type", "application/grpc"), ("grpc-status", "12")]).unwrap();
        assert!(other.ends_with("it doesn't know /leasehold.v1.X/Y"), "{other}");
        let refused = said(200, &[("grpc-status", "7"), ("grpc-message", "not%20you")]).unwrap();
        assert!(refused.ends_with("(default port 7400): gRPC status 7 (PermissionDenied): not you"), "{refused}");
        assert!(said(503, &[("grpc-status", "14")]).is_some(), "a proxy that speaks gRPC");
        for (domain, is_ours) in [("leasehold", true), ("proxy.example", false)] {
            let details = ErrorDetails::with_error_info("UNKNOWN_METHOD", domain, HashMap::new());
            let status = Status::with_error_details(Code::Unimplemented, "", details);
            let mut map = HeaderMap::new();
            status.add_header(&mut map).unwrap();
            assert_eq!(objection("http://a:1", "/x", StatusCode::OK, &map).is_none(), is_ours, "{domain}");
        }
        assert!(said(200, &[("content-type", "application/grpc-web+proto")]).is_some());
    }
}
