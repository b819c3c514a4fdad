//! The connections of a standby to the active replica.

use crate::net;
use crate::tls::ReplicaLinks;
use leasehold_core::Active;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codegen::http::HeaderValue;
use tonic::transport::Channel;

/// A connection that is silent is noticed after both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// What the active replica may send of a stream before somebody reads it, and of all streams of a
/// connection together: as many as a connection may have, so that those that aren't read never hold
/// up the others.
const STREAM_WINDOW: u32 = 16 * 1024;
const CONNECTION_WINDOW: u32 = 4096 * STREAM_WINDOW;
/// KeepAlives have connections of their own, so that they wait behind nothing; and observers, who
/// may read slowly.
const FOR_KEEP_ALIVES: usize = 1;
const FOR_OBSERVERS: usize = 2;
/// For all other calls: each connection holds as many streams as `max_streams_per_connection`
/// allows.
const FOR_CALLS: usize = 5;

/// Connections to whoever is active now.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// None: in plain text.
    tls: Option<ReplicaLinks>,
    now: RwLock<Option<(Target, DropGuard)>>,
}

/// The active replica, and the way there.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) active: Active,
    pub(crate) header: HeaderValue,
    /// It isn't the active one any more, as far as this replica knows.
    pub(crate) gone: CancellationToken,
    channels: Arc<Vec<Channel>>,
    next: Arc<AtomicUsize>,
}

impl Links {
    pub(crate) fn new(tls: Option<ReplicaLinks>) -> Self {
        Self { tls, now: RwLock::default() }
    }

    /// Another replica is active, or none is known to be. What is under way to the former one ends.
    pub(crate) fn follow(&self, active: Option<Active>) {
        let target = active.map(|active| Target::new(active, self.tls.as_ref())).map(|target| {
            let guard = target.gone.clone().drop_guard();
            (target, guard)
        });
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Whom to forward to.
    pub(crate) fn target(&self) -> Option<Target> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(target, _)| target.clone())
    }
}

impl Target {
    fn new(active: Active, tls: Option<&ReplicaLinks>) -> Self {
        let header = HeaderValue::from_str(active.address.as_str()).expect("an address is printable ASCII");
        let endpoint = net::endpoint(&active.address)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let channels =
            (0..FOR_KEEP_ALIVES + FOR_OBSERVERS + FOR_CALLS).map(|_| net::connect_lazy(&endpoint, tls)).collect();
        Self {
            active,
            header,
            gone: CancellationToken::new(),
            channels: Arc::new(channels),
            next: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// A connection for a call to this method.
    pub(crate) fn channel(&self, path: &str) -> Channel {
        let (first, count) = match path.rsplit('/').next() {
            Some("KeepAlive") => (0, FOR_KEEP_ALIVES),
            Some("Observe") => (FOR_KEEP_ALIVES, FOR_OBSERVERS),
            _ => (FOR_KEEP_ALIVES + FOR_OBSERVERS, FOR_CALLS),
        };
        self.channels[first + self.next.fetch_add(1, Ordering::Relaxed) % count].clone()
    }
}
