//! Something at an endpoint that isn't Leasehold: a proxy, or another program.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

/// What it answers to each call of a worker, always without `ErrorInfo`.
#[derive(Debug, Clone, Copy)]
pub enum Foreign {
    /// A gRPC status, without a message before it.
    Grpc(Code),
    /// A page of HTML with this HTTP status.
    Page(u16),
}

/// Answers calls so, over HTTP/2.
#[derive(Debug, Clone)]
pub struct Stranger {
    /// Where it listens.
    pub address: SocketAddr,
    answer: Foreign,
    calls: Arc<AtomicUsize>,
}

impl Stranger {
    /// Starts it on a free port.
    ///
    /// # Errors
    ///
    /// When it can't listen.
    pub async fn start(answer: Foreign) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stranger = Self { address: listener.local_addr()?, answer, calls: Arc::default() };
        let server = tonic::transport::Server::builder().add_service(stranger.clone());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(stranger)
    }

    /// How many calls it has answered.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl NamedService for Stranger {
    const NAME: &'static str = "leasehold.v1.ElectionService";
}

impl<B> Service<http::Request<B>> for Stranger {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<B>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok(match self.answer {
            Foreign::Grpc(code) => Status::new(code, "upstream connect error\nreset").into_http(),
            Foreign::Page(status) => {
                let mut page = http::Response::new(Body::new("<html>a proxy's page</html>".to_owned()));
                *page.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
                page.headers_mut().insert("content-type", http::HeaderValue::from_static("text/html"));
                page
            }
        }))
    }
}
