//! The HTTP port: health, metrics and public keys, for probes, Prometheus and whoever checks task tokens.

use crate::metrics::{CONTENT_TYPE, Metrics};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE as CONTENT_TYPE_HEADER};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What connections may take.
const LIMITS: Limits = Limits { connection_life: Duration::from_secs(10), connections: 256 };
/// What a connection may hold of a request. No request here has a body worth reading.
const BUFFER_BYTES: usize = 16 * 1024;
/// How long requests that are under way may take when the server stops.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);
/// After an accept that failed for want of file descriptors, trying at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A connection serves one request and must be through with it by then, however slowly its client sends or reads.
    connection_life: Duration,
    /// At a time. More wait to be accepted, at most for `connection_life`.
    connections: usize,
}

const INDEX: &str = "\
leasehold-server: leader election over gRPC. This port speaks HTTP:

/healthz                 200 while the process works
/readyz                  200 while it serves calls, otherwise 503 and why not
/metrics                 OpenMetrics
/.well-known/jwks.json   public keys of task tokens
";

/// How the server is, as its loop says. When the loop is gone, so is the sender of this, and that is all it takes to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It doesn't serve calls yet.
    Starting,
    /// It serves calls.
    Ready,
    /// It doesn't serve calls for this reason, and may again.
    NotReady(String),
    /// It is being shut down.
    Stopping,
}

/// What the HTTP port shows.
#[derive(Clone, Debug)]
pub struct HttpState {
    /// Kept up to date by whoever drives the replica.
    pub health: watch::Receiver<Health>,
    /// Of this server.
    pub metrics: Arc<Metrics>,
    /// Public keys: [`TaskTokens::jwks`](crate::task_token::TaskTokens::jwks).
    pub jwks: serde_json::Value,
}

/// Serves until `shutdown`, then ends what is under way within a second.
pub async fn serve(listener: TcpListener, state: HttpState, shutdown: CancellationToken) {
    serve_within(LIMITS, listener, state, shutdown).await;
}

async fn serve_within(limits: Limits, listener: TcpListener, state: HttpState, shutdown: CancellationToken) {
    let router = router(state);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let accept = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes the semaphore");
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), shutdown.clone());
                connections.spawn(async move {
                    let _ = timeout(limits.connection_life, connection).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept an HTTP connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    let _ = timeout(SHUTDOWN_PATIENCE + ACCEPT_PAUSE, connections.wait()).await;
}

async fn connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let cut = async {
        shutdown.cancelled().await;
        sleep(SHUTDOWN_PATIENCE).await;
    };
    tokio::select! {
        result = connection => if let Err(error) = result {
            tracing::debug!(%error, "an HTTP connection broke off");
        },
        () = cut => {}
    }
}

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(state)
}

/// Whether whoever drives the replica is still there. A process that stops in good order is well.
fn alive(state: &HttpState) -> bool {
    state.health.has_changed().is_ok() || *state.health.borrow() == Health::Stopping
}

async fn healthz(State(state): State<HttpState>) -> (StatusCode, &'static str) {
    if alive(&state) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop has ended: restart this process\n")
    }
}

async fn readyz(State(state): State<HttpState>) -> (StatusCode, String) {
    let why_not = match state.health.borrow().clone() {
        _ if !alive(&state) => "the loop has ended: restart this process".to_owned(),
        Health::Ready => return (StatusCode::OK, "ok\n".to_owned()),
        Health::Starting => "starting".to_owned(),
        Health::NotReady(why) => why,
        Health::Stopping => "stopping".to_owned(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why_not}\n"))
}

async fn metrics(State(state): State<HttpState>) -> Response {
    ([(CONTENT_TYPE_HEADER, CONTENT_TYPE)], state.metrics.encode()).into_response()
}

async fn jwks(State(state): State<HttpState>) -> Response {
    let headers = [(CONTENT_TYPE_HEADER, "application/json"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, state.jwks.to_string()).into_response()
}

#[cfg(test)]
mod tests;
