//! The HTTP port: health, metrics and public keys, for probes, Prometheus and whoever checks task tokens.

use crate::clock;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::net::{TcpListener, TcpStream};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE as CONTENT_TYPE_HEADER};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use leasehold_core::{Millis, Time};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
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
/// A loop that hasn't gone round for so long hangs, and a restart is the better part: tickets carry the elections over.
const LOOP_HANGS: Millis = Millis(10_000);
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
    /// When the loop went round last.
    pub beat: Arc<Beat>,
}

/// When the loop went round last: it does so several times a second, whatever happens.
#[derive(Debug)]
pub struct Beat(AtomicU64);

impl Default for Beat {
    fn default() -> Self {
        Self(AtomicU64::new(clock::now().0))
    }
}

impl Beat {
    /// It goes round.
    pub(crate) fn mark(&self) {
        self.0.store(clock::now().0, Ordering::Relaxed);
    }

    /// It hasn't for so long that it never will.
    fn has_stopped(&self) -> bool {
        clock::now().since(Time(self.0.load(Ordering::Relaxed))) > LOOP_HANGS
    }
}

/// Serves probes while the server can't start yet because the API server can't be reached: the process is well, and not ready.
#[cfg(not(turmoil))]
pub(crate) async fn serve_while_waiting(listener: TcpListener) {
    let (_sender, health) = watch::channel(Health::NotReady("waiting for the API server, to read the keys".to_owned()));
    let beat = Arc::new(Beat::default());
    let jwks = serde_json::json!({"keys": []});
    let state = HttpState { health, metrics: Arc::new(Metrics::new()), jwks, beat: Arc::clone(&beat) };
    let marks = async {
        loop {
            beat.mark();
            sleep(Duration::from_millis(LOOP_HANGS.0 / 10)).await;
        }
    };
    tokio::select! {
        () = serve(listener, state, CancellationToken::new()) => {}
        () = marks => {}
    }
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

/// Whether whoever drives the replica is still there, and goes round. A process that stops in good order is well.
fn alive(state: &HttpState) -> Result<(), &'static str> {
    if *state.health.borrow() == Health::Stopping {
        Ok(())
    } else if state.health.has_changed().is_err() {
        Err("the loop has ended: restart this process")
    } else if state.beat.has_stopped() {
        Err("the loop hangs: restart this process")
    } else {
        Ok(())
    }
}

async fn healthz(State(state): State<HttpState>) -> (StatusCode, String) {
    match alive(&state) {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn readyz(State(state): State<HttpState>) -> (StatusCode, String) {
    let health = state.health.borrow().clone();
    let why_not = match (alive(&state), health) {
        (Err(why), _) => why.to_owned(),
        (Ok(()), health) => match health {
            Health::Ready => return (StatusCode::OK, "ok\n".to_owned()),
            Health::Starting => "starting".to_owned(),
            Health::NotReady(why) => why,
            Health::Stopping => "stopping".to_owned(),
        },
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
