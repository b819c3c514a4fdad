//! One gRPC connection, from its first call to its last. It ends when its client leaves, when the
//! server stops, or when it is old: so new certificates and new replicas come to be used.

use crate::connections::Connection;
use crate::ledger::Peer;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Service, ServiceExt as _};

/// A client that is gone without a word is noticed after both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// So many calls of a connection may be begun and given up by their caller before this server has
/// looked at them. h2 closes a connection that has more, at 20 unless told otherwise: it takes them
/// for an attack (rapid reset, CVE-2023-44487). But a server that stands still for a second finds
/// as many as its clients made in it. All of them are begun at once when it looks, and whoever
/// floods it holds up the others for as long as that takes: with 1000 for a tenth of a second at
/// most, with 4096 for two seconds (tests/resets.rs, in a debug build).
const MAX_PENDING_RESETS: usize = 1000;
/// From the word that a connection takes no new calls (GOAWAY) to the end of its streams: it is on
/// its way before they are, so that the client opens them on another connection.
const WARNING: Duration = Duration::from_millis(20);

/// What holds for all connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionTerms {
    /// Open streams of one.
    pub(crate) max_streams: u32,
    /// How old one gets, give or take a tenth.
    pub(crate) max_age: Duration,
}

/// Serves calls until the connection is closed. Takes no new ones from `closing` on.
pub(crate) async fn serve<S>(connection: Connection, service: S, terms: ConnectionTerms, closing: CancellationToken)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let peer = connection.peer().clone();
    let lasts = lasts(&peer, terms.max_age);
    let answers = {
        let peer = peer.clone();
        service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            service.clone().oneshot(request)
        })
    };
    let connection = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(terms.max_streams)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .serve_connection(TokioIo::new(connection), answers);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            _ = connection.await;
            return;
        }
        () = sleep(lasts) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = &mut connection => return,
        () = sleep(WARNING) => peer.old().cancel(),
    }
    // A stream without which a leader would lose its lead stays open, and the connection with it.
    _ = connection.await;
}

/// How old this connection gets. Connections that were made together don't end together: all of a
/// crowd would come back at once.
fn lasts(peer: &Peer, max_age: Duration) -> Duration {
    if peer.is_replica() {
        // It ends with the tenure.
        return Duration::MAX;
    }
    jittered(max_age, peer.number())
}

/// Between nine tenths and eleven tenths of a time; which, is spread evenly over the numbers.
fn jittered(time: Duration, number: u64) -> Duration {
    // The golden ratio: each number lies in the largest gap that those before it have left.
    let fraction = (number as f64 * 0.618_033_988_749_895).fract();
    time.mul_f64(0.9 + 0.2 * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_were_made_together_end_one_after_the_other() {
        let hour = Duration::from_secs(3600);
        let mut ages: Vec<_> = (0..100).map(|number| jittered(hour, number)).collect();
        ages.sort();
        assert!(ages[0] >= hour * 9 / 10 && ages[99] <= hour * 11 / 10);
        let apart = ages.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            apart.clone().min().unwrap() > Duration::from_secs(2) && apart.max().unwrap() < Duration::from_secs(15)
        );
    }
}
