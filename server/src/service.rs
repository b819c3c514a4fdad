//! The gRPC services: requests are checked and converted here, in the callers' tasks; the loop sees
//! the core's types only.

mod admin;
mod campaign;
mod convert;
pub(crate) mod deadline;
mod election;
mod observe;

pub(crate) use admin::Admin;
pub(crate) use election::Elections;

use crate::access::Access;
use crate::errors::Refusal;
use crate::handle::Handle;
use crate::line::Line;
use crate::metrics::Metrics;
use crate::observers::Observers;
use crate::task_token::Signer;
use crate::ticket::Sealer;
use leasehold_core::Active;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Response, Status};

/// Streams carry something at least this often. Some load balancers cut what is idle for 60 s, and
/// don't count PINGs.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// When a stream on which something has just been sent needs its next heartbeat.
#[allow(clippy::disallowed_methods)] // a timer of tokio's: being late after a suspension does no harm
pub(crate) fn next_heartbeat() -> tokio::time::Instant {
    tokio::time::Instant::now() + HEARTBEAT
}

/// What a replica says of itself; empty for a server that is the only one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplicaNames {
    /// Its name.
    pub(crate) replica: String,
    /// The Lease as NAMESPACE/NAME.
    pub(crate) lease: String,
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
    pub(crate) names: ReplicaNames,
    /// What callers may do.
    pub(crate) access: Arc<Access>,
    /// Whom this replica forwards to.
    pub(crate) active: watch::Receiver<Option<Active>>,
}

impl Context {
    /// The end of a call.
    pub(crate) fn respond<T>(&self, result: Result<T, Refusal>) -> Result<Response<T>, Status> {
        result.map(Response::new).map_err(|refusal| self.refuse(refusal))
    }

    /// Counts what is refused outside the loop.
    pub(crate) fn refuse(&self, refusal: Refusal) -> Status {
        if !matches!(refusal, Refusal::Core(_)) {
            self.metrics.refused(refusal.code_and_reason().1);
        }
        refusal.into()
    }
}
