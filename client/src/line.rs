//! A connection on which only gRPC counts as an answer. A proxy's page, or that of another program,
//! is told for what it is.

use futures::future::BoxFuture;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response, StatusCode};
use tonic::codegen::{Service, StdError};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How much is shown of what somebody else calls its content.
const SHOWN_CHARS: usize = 64;

/// A channel, and what it goes to.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    channel: Channel,
    address: Arc<str>,
}

impl Line {
    pub(crate) fn new(channel: Channel, address: &Arc<str>) -> Self {
        Self { channel, address: Arc::clone(address) }
    }
}

impl Service<Request<Body>> for Line {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<'static, Result<Response<Body>, StdError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (address, path) = (Arc::clone(&self.address), request.uri().path().to_owned());
        let answer = self.channel.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            match objection(&address, &path, answer.status(), answer.headers()) {
                None => Ok(answer),
                // Whoever it is, Leasehold may answer there soon, or does so elsewhere.
                Some(objection) => Err(Status::unavailable(objection).into()),
            }
        })
    }
}

/// Why this isn't an answer of Leasehold, if it can't be one.
fn objection(address: &str, path: &str, status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(code) = header("grpc-status") {
        // Leasehold knows its own calls. Refusals of its own have details.
        let is_unknown =
            code == (Code::Unimplemented as i32).to_string() && header("grpc-status-details-bin").is_none();
        return is_unknown.then(|| not_leasehold(address, &format!("it doesn't know {path}")));
    }
    let content = header("content-type").unwrap_or("no content");
    if status == StatusCode::OK && is_grpc(content) {
        return None;
    }
    if is_of_a_proxy(status) {
        return Some(format!("a proxy at {address} answered {status}"));
    }
    let content: String = content.chars().take(SHOWN_CHARS).collect();
    Some(not_leasehold(address, &format!("HTTP {status} with {content}")))
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

/// Somebody else answers at this address.
pub(crate) fn not_leasehold(address: &str, who: &str) -> String {
    format!("something answers at http://{address}, but not Leasehold's gRPC (default port 7400): {who}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(status: u16, headers: &[(&'static str, &str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        objection("a:1", "/leasehold.v1.X/Y", StatusCode::from_u16(status).unwrap(), &map)
    }

    #[test]
    fn grpc_is_an_answer_whatever_it_says() {
        for content in ["application/grpc", "application/grpc+proto", "application/grpc; charset=x"] {
            assert_eq!(said(200, &[("content-type", content)]), None, "{content}");
        }
        assert_eq!(said(200, &[("content-type", "application/grpc"), ("grpc-status", "14")]), None);
        assert_eq!(said(503, &[("grpc-status", "14")]), None, "a proxy that speaks gRPC");
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
        let ours = [("content-type", "application/grpc"), ("grpc-status", "12"), ("grpc-status-details-bin", "CAw")];
        assert_eq!(said(200, &ours), None, "a refusal of its own");
        assert!(said(200, &[("content-type", "application/grpc-web+proto")]).is_some());
    }
}
