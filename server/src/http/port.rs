//! Connections to the HTTP port: whoever is silent or slow there takes no place that a probe needs.

use super::{HttpState, router};
use crate::accept::{ACCEPT_PAUSE, Port};
use crate::net::{TcpListener, TcpStream};
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What connections may take.
pub(super) const LIMITS: HttpLimits =
    HttpLimits { head: Duration::from_secs(1), life: Duration::from_secs(10), newcomers: 128, probes: 32, others: 128 };
/// What a connection may hold of a request. No request here has a body worth reading.
pub(super) const BUFFER_BYTES: usize = 16 * 1024;
/// Who restarts or avoids this process asks for these. They have places of their own.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// How long requests that are under way may take when the server stops.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(super) struct HttpLimits {
    /// The whole head of a request must have come by then.
    pub(super) head: Duration,
    /// A connection serves one request and must be through with it by then, however slowly its
    /// client reads.
    pub(super) life: Duration,
    /// Connections whose request hasn't come. When one more comes, the oldest is closed.
    pub(super) newcomers: usize,
    /// Connections that are answered whether the process lives, or is ready.
    pub(super) probes: usize,
    /// Connections that are answered anything else.
    pub(super) others: usize,
}

/// Serves until `shutdown`, then ends what is under way within a second.
pub async fn serve(listener: TcpListener, state: HttpState, shutdown: CancellationToken) {
    serve_within(LIMITS, listener, state, shutdown).await;
}

pub(super) async fn serve_within(
    limits: HttpLimits,
    listener: TcpListener,
    state: HttpState,
    shutdown: CancellationToken,
) {
    let port = HttpPort {
        limits,
        router: router(state),
        probes: Arc::new(Semaphore::new(limits.probes)),
        others: Arc::new(Semaphore::new(limits.others)),
        shutdown,
    };
    let connections = TaskTracker::new();
    let admit = |stream, _| {
        let others_come = CancellationToken::new();
        connections.spawn(port.clone().connection(stream, others_come.clone()));
        Some(others_come)
    };
    let accepting = Port { listener, name: "HTTP", newcomers: limits.newcomers };
    accepting.accept(port.shutdown.cancelled(), admit).await;
    connections.close();
    let _ = timeout(SHUTDOWN_PATIENCE + ACCEPT_PAUSE, connections.wait()).await;
}

/// What all connections share.
#[derive(Clone)]
struct HttpPort {
    limits: HttpLimits,
    router: Router,
    probes: Arc<Semaphore>,
    others: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// The place that a connection takes when its request has come, and keeps to its end.
type RequestPlace = Arc<OnceLock<OwnedSemaphorePermit>>;

impl HttpPort {
    /// Serves one connection. `others_come`: unless its request has come, it must make room.
    async fn connection(self, stream: TcpStream, others_come: CancellationToken) {
        let place = RequestPlace::default();
        let service = {
            let (port, place) = (self.clone(), Arc::clone(&place));
            service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let places = if PROBES.contains(&request.uri().path()) { &port.probes } else { &port.others };
                let taken = Arc::clone(places).try_acquire_owned().map(|permit| place.set(permit));
                let answer = taken.map(|_| TowerToHyperService::new(port.router.clone()).call(request));
                async move {
                    match answer {
                        Ok(answer) => answer.await,
                        Err(_) => Ok::<_, Infallible>(all_taken()),
                    }
                }
            })
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let cut = async {
            tokio::select! {
                () = others_come.cancelled() => {}
                () = sleep(self.limits.head) => {}
            }
            if place.get().is_some() {
                sleep(self.limits.life).await;
            }
        };
        let closing = async {
            self.shutdown.cancelled().await;
            sleep(SHUTDOWN_PATIENCE).await;
        };
        tokio::select! {
            result = &mut connection => if let Err(error) = result {
                tracing::debug!(%error, "an HTTP connection broke off");
            },
            () = cut => {}
            () = closing => {}
        }
    }
}

fn all_taken() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once; try again\n").into_response()
}
