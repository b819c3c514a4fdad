//! The gRPC services: requests are checked and converted here, in the callers' tasks; the loop sees the core's types only.

mod admin;
mod campaign;
mod convert;
pub(crate) mod deadline;
mod election;
mod observe;

pub(crate) use admin::Admin;
pub(crate) use election::Elections;

use crate::errors::Refusal;
use crate::gate::Held;
use crate::handle::Handle;
use crate::ledger::Peer;
use crate::line::{Line, Owner, Turn};
use crate::metrics::Metrics;
use crate::observers::Observers;
use crate::task_token::Signer;
use crate::ticket::Sealer;
use leasehold_core::Active;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::codegen::http::Extensions;
use tonic::{Response, Status};

/// Streams carry something at least this often. Some load balancers cut what is idle for 60 s, and don't count PINGs.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// When a stream on which something has just been sent needs its next heartbeat.
#[allow(clippy::disallowed_methods)] // a timer of tokio's: being late after a suspension does no harm
pub(crate) fn next_heartbeat() -> tokio::time::Instant {
    tokio::time::Instant::now() + HEARTBEAT
}

/// What the services share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) handle: Handle,
    pub(crate) observers: Arc<Observers>,
    pub(crate) sealer: Sealer,
    pub(crate) signer: Signer,
    /// Before calls that cost much.
    pub(crate) line: Arc<Line>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_ttl: Duration,
    /// The name of this replica, and the Lease as NAMESPACE/NAME; empty for a server that is the only one.
    pub(crate) replica: (String, String),
    /// Whom this replica forwards to.
    pub(crate) active: watch::Receiver<Option<Active>>,
}

/// Who calls, as far as one is told from another.
pub(crate) struct Caller(Option<Peer>);

impl Caller {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        Self(extensions.get::<Peer>().cloned())
    }

    /// For work that costs little.
    pub(crate) fn connection(&self) -> Owner {
        self.0.as_ref().map_or(Owner::Connection(0), Peer::connection)
    }

    /// For work that costs much.
    pub(crate) fn host(&self) -> Owner {
        self.0.as_ref().map_or(Owner::Connection(0), Peer::host)
    }

    /// A turn for a call that costs much. Nobody gets one who doesn't read the answers that were made before.
    pub(crate) async fn turn(&self, line: &Arc<Line>, cost: usize) -> Turn {
        loop {
            if let Some(peer) = &self.0 {
                peer.room().await;
            }
            let turn = line.turn(self.host(), cost as u64).await;
            if self.0.as_ref().is_none_or(Peer::has_room) {
                return turn;
            }
        }
    }
}

/// An answer that was worked at in a turn: the turn ends when the answer's bytes have been made.
pub(crate) fn held<T>(message: T, turn: Turn) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(Held(Arc::new(turn)));
    response
}

impl Context {
    /// Counts what is refused outside the loop.
    pub(crate) fn refuse(&self, refusal: Refusal) -> Status {
        if !matches!(refusal, Refusal::Core(_)) {
            self.metrics.refused(refusal.code_and_reason().1);
        }
        refusal.into()
    }
}
