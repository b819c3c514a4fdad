//! A proxy that understands HTTP, between a replica and the API server: it refuses requests in the
//! API server's name.

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use leasehold_kube_harness::{HttpApi, Kubectl};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A way to the API server that a test can make refuse. Ends when it is dropped.
#[derive(Debug)]
pub struct HttpFaults {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    api: HttpApi,
    /// The status of the answers to writes; 0: they pass.
    writes: AtomicU16,
    /// The same for reads and watches.
    reads: AtomicU16,
    /// Writes are done, and nobody is told.
    loses_answers: AtomicBool,
    /// Requests that were refused.
    refused: AtomicU64,
}

impl HttpFaults {
    /// Makes one before what this user reaches.
    ///
    /// # Errors
    ///
    /// When it doesn't start.
    pub async fn before(user: &Kubectl) -> anyhow::Result<Self> {
        let (writes, reads, refused) = (AtomicU16::new(0), AtomicU16::new(0), AtomicU64::new(0));
        let (api, loses_answers) = (user.serve_http().await?, AtomicBool::new(false));
        let shared = Arc::new(Shared { api, writes, reads, loses_answers, refused });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers writes with this status from now on.
    pub fn refuse_writes(&self, status: u16) {
        self.shared.writes.store(status, Ordering::Relaxed);
    }

    /// Answers everything with this status from now on. Watches that are open go on.
    pub fn refuse_all(&self, status: u16) {
        self.shared.reads.store(status, Ordering::Relaxed);
        self.refuse_writes(status);
    }

    /// Passes on writes from now on, and never their answers. Reads and watches pass.
    pub fn lose_answers_to_writes(&self) {
        self.shared.loses_answers.store(true, Ordering::Relaxed);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.refuse_all(0);
        self.shared.loses_answers.store(false, Ordering::Relaxed);
    }

    /// Requests that were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

impl Drop for HttpFaults {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let reads = request.method().is_safe();
    let status = if reads { &shared.reads } else { &shared.writes };
    if let Ok(status) = StatusCode::from_u16(status.load(Ordering::Relaxed)) {
        shared.refused.fetch_add(1, Ordering::Relaxed);
        let words = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "refused by the test", "code": status.as_u16(),
        });
        return (status, Json(words)).into_response();
    }
    let answer = pass(shared.api.address(), request).await;
    if !reads && shared.loses_answers.load(Ordering::Relaxed) {
        return std::future::pending().await;
    }
    match answer {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

/// A connection for each request: a watch takes its own for long.
async fn pass(api: SocketAddr, request: Request) -> anyhow::Result<Response> {
    let stream = TcpStream::connect(api).await.context("kubectl proxy can't be reached")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.context("kubectl proxy doesn't answer")?;
    Ok(response.map(Body::new))
}
