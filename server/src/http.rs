//! The HTTP port: health, metrics and public keys, for probes, Prometheus and whoever checks task
//! tokens.

mod bearer;
mod port;

pub(crate) use bearer::Bearer;
pub use port::serve;

use crate::clock;
use crate::metrics::{CONTENT_TYPE, Metrics};
#[cfg(not(turmoil))]
use crate::net::TcpListener;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE as CONTENT_TYPE_HEADER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use leasehold_shell::Beat;
use std::sync::Arc;
#[cfg(not(turmoil))]
use std::time::Duration;
use tokio::sync::watch;
#[cfg(not(turmoil))]
use tokio_util::sync::CancellationToken;

const INDEX: &str = "\
leasehold-server: leader election over gRPC. This port speaks HTTP:

/healthz                 200 while the process works
/readyz                  200 while it serves calls, otherwise 503 and why not
/metrics                 OpenMetrics
/.well-known/jwks.json   public keys of task tokens
/ca.crt                  whom to trust for the certificate of the gRPC port, with --tls auto
";

/// How the server is, as its loop says. When the loop is gone, so is the sender of this, and that
/// is all it takes to know.
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
    /// The authorities that sign for the gRPC port, as PEM; `None` where others do.
    pub ca: Option<watch::Receiver<String>>,
    /// Who may read the metrics; `None`: everybody.
    pub(crate) bearer: Option<Bearer>,
}

/// Serves probes while the server can't start yet because the API server can't be reached: the
/// process is well, and not ready.
#[cfg(not(turmoil))]
pub(crate) async fn serve_while_waiting(listener: TcpListener) {
    let (_sender, health) = watch::channel(Health::NotReady("waiting for the API server, to read the keys".to_owned()));
    let beat = Arc::new(Beat::new(clock::now()));
    let jwks = serde_json::json!({"keys": []});
    // There are no metrics yet that anybody would have to be kept from.
    let (metrics, ca, bearer) = (Arc::new(Metrics::new()), None, None);
    let state = HttpState { health, metrics, jwks, beat: Arc::clone(&beat), ca, bearer };
    let marks = async {
        loop {
            beat.mark(clock::now());
            tokio::time::sleep(Duration::from_millis(Beat::HANGS.0 / 10)).await;
        }
    };
    tokio::select! {
        () = serve(listener, state, CancellationToken::new()) => {}
        () = marks => {}
    }
}

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/ca.crt", get(ca))
        .with_state(state)
}

/// Whether whoever drives the replica is still there, and goes round. A process that stops in good
/// order is well.
fn alive(state: &HttpState) -> Result<(), &'static str> {
    if *state.health.borrow() == Health::Stopping {
        Ok(())
    } else if state.health.has_changed().is_err() {
        Err("the loop has ended: restart this process")
    } else if state.beat.has_stopped(clock::now()) {
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

async fn metrics(State(state): State<HttpState>, headers: HeaderMap) -> Response {
    if let Some(bearer) = &state.bearer
        && let Err(refused) = bearer.check(&headers).await
    {
        return ([(WWW_AUTHENTICATE, "Bearer")], refused).into_response();
    }
    ([(CONTENT_TYPE_HEADER, CONTENT_TYPE)], state.metrics.encode()).into_response()
}

async fn jwks(State(state): State<HttpState>) -> Response {
    let headers = [(CONTENT_TYPE_HEADER, "application/json"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, state.jwks.to_string()).into_response()
}

async fn ca(State(state): State<HttpState>) -> Response {
    match state.ca.map(|ca| ca.borrow().clone()) {
        Some(pem) => ([(CONTENT_TYPE_HEADER, "application/x-pem-file")], pem).into_response(),
        None => {
            let why = "the certificate of the gRPC port, if it has one, is signed by somebody else: see --tls\n";
            (StatusCode::NOT_FOUND, why).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
