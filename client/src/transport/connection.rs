//! The connection that calls go over, and its replacement in the background: by one to the active
//! replica itself.

use super::dial;
use super::endpoint::Target;
use super::failover::Failover;
use super::fault::Fault;
use super::grpc_only::GrpcOnly;
use super::status::error_of;
use crate::clock::{self, Moment};
use crate::error::Error;
use crate::proto::admin_service_client::AdminServiceClient;
use crate::proto::{GetStatusRequest, GetStatusResponse, Role};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::{Response, Status};

/// How long it may take until an address that was named as the active replica's has answered.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection to the only endpoint there is isn't made anew more often, if all that is wrong is
/// what the replica says. The endpoint may be a balancer's, with a better replica behind the next
/// connection.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// How often a connection is pinged, if not as often as all others are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pings {
    pub(super) interval: Duration,
    /// How long an answer may take.
    pub(super) timeout: Duration,
}

/// Tells the connections of one [`Reconnecting`] apart: each has a higher number than the one
/// before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionNumber(u64);

/// One connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) channel: GrpcOnly,
    pub(super) number: ConnectionNumber,
    pub(super) target: Target,
    /// Whether it goes to an address that a standby named, and not to an endpoint.
    direct: bool,
    since: Moment,
}

/// The connection that the next call takes.
#[derive(Debug, Clone)]
pub(super) struct Reconnecting {
    failover: Arc<Failover>,
    pings: Option<Pings>,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Default)]
struct Current {
    /// None before the first call.
    connection: Option<Connection>,
    number: ConnectionNumber,
    /// Makes a connection to the active replica.
    following: Option<JoinHandle<()>>,
}

impl Current {
    fn set(&mut self, target: Target, channel: GrpcOnly, direct: bool) -> Connection {
        self.number.0 += 1;
        let connection = Connection { channel, number: self.number, target, direct, since: clock::now() };
        self.connection = Some(connection.clone());
        connection
    }
}

impl Reconnecting {
    pub(super) fn new(failover: Arc<Failover>, pings: Option<Pings>) -> Self {
        Self { failover, pings, current: Arc::default() }
    }

    /// Begins with a connection to the endpoint that is made already.
    pub(super) fn begin_with(&self, channel: GrpcOnly) {
        self.current().set(self.failover.endpoint(), channel, false);
    }

    /// The connection to use. Never waits: a connection is made when the call is made, if need be.
    pub(super) fn get(&self) -> Connection {
        let mut current = self.current();
        let target = match &current.connection {
            // A call over another connection heard there what this call would hear.
            Some(connection)
                if connection.direct && self.failover.was_refused_by(&connection.target.address, clock::now()) =>
            {
                self.failover.instead_of(&connection.target.address)
            }
            Some(connection) => return connection.clone(),
            None => self.failover.endpoint(),
        };
        let channel = self.dial(&target);
        current.set(target, channel, false)
    }

    /// A connection that is made when it is needed first.
    fn dial(&self, target: &Target) -> GrpcOnly {
        GrpcOnly::new(dial::connect_lazy(&self.pinged(target)), target)
    }

    fn pinged(&self, target: &Target) -> Target {
        match self.pings {
            Some(Pings { interval, timeout }) => target.clone().pinged(interval, timeout),
            None => target.clone(),
        }
    }

    /// Gives up the connection of this number, unless it was given up before. Streams that are open
    /// on it stay.
    pub(super) fn leave(&self, number: ConnectionNumber, fault: Fault) {
        let mut current = self.current();
        let Some(left) = current.connection.as_ref().filter(|connection| connection.number == number) else { return };
        let now = clock::now();
        if left.direct {
            self.failover.shun(&left.target.address, fault, now);
        } else if self.failover.len() == 1 {
            let keep = match fault {
                // A connection whose packets vanish looks alive until its ping times out, which is
                // too late for a leader.
                Fault::Silent => false,
                // It is made again by the next call.
                Fault::Broken => true,
                Fault::Refused => now.since(left.since) < SHORTEST_LIFE,
            };
            if keep {
                return;
            }
        }
        let target = self.failover.instead_of(&left.target.address);
        tracing::debug!(from = %left.target.address, to = %target.address, ?fault, "going to another address");
        let channel = self.dial(&target);
        current.set(target, channel, false);
    }

    /// A stream broke that was opened on the connection of this number, or the whole connection
    /// did.
    ///
    /// An endpoint isn't left for a stream: a standby ends its streams when the active replica
    /// changes, and opening the stream again tells whether the connection is good. An endpoint is
    /// left when its connection broke, if there is another endpoint: one that is frozen would take
    /// connections, and say nothing. So is an endpoint where somebody else has answered.
    pub(super) fn broke(&self, number: ConnectionNumber, fault: Fault, with_connection: bool) {
        let is_direct = |connection: &Connection| connection.number == number && connection.direct;
        let leaves = fault == Fault::Refused
            || (with_connection && self.failover.len() > 1)
            || self.current().connection.as_ref().is_some_and(is_direct);
        if leaves {
            self.leave(number, fault);
        }
    }

    /// The active replica is said to be there. Goes there when it has answered; no call waits for
    /// that.
    pub(super) fn follow(&self, target: Target) {
        let mut current = self.current();
        let is_there = current.connection.as_ref().is_some_and(|now| now.target.address == target.address);
        let follows = current.following.as_ref().is_some_and(|task| !task.is_finished());
        if !is_there && !follows && !self.failover.shuns(&target.address, clock::now()) {
            current.following = Some(tokio::spawn(self.clone().go(target)));
        }
    }

    async fn go(self, target: Target) {
        let pinged = self.pinged(&target);
        let reached = tokio::time::timeout(FOLLOW_TIMEOUT, reach(&pinged));
        let fault = match reached.await {
            Ok(Ok(reached)) if self.is_active(&reached.status) => {
                // Unless a call over another connection heard meanwhile that it isn't active any
                // more.
                if !self.failover.shuns(&target.address, clock::now()) {
                    tracing::debug!(address = %target.address, "going to the active replica itself");
                    self.current().set(target, reached.channel, true);
                }
                return;
            }
            Ok(Ok(_)) => Fault::Refused,
            Ok(Err(_)) | Err(_) => Fault::Broken,
        };
        tracing::debug!(address = %target.address, ?fault, "not going to what is said to be the active replica");
        self.failover.shun(&target.address, fault, clock::now());
    }

    /// Whether the active replica may have answered so. A replica that doesn't tell everybody what
    /// it is may be the active one.
    fn is_active(&self, status: &Result<GetStatusResponse, Error>) -> bool {
        match status {
            Ok(status) => {
                status.role() == Role::Active && self.failover.tenure.admit(status.tenure, clock::now()).is_ok()
            }
            Err(error) => Fault::of(error).is_none(),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection over which a replica has answered.
pub(super) struct Reached {
    pub(super) channel: GrpcOnly,
    /// What it says of itself. A refusal is an answer as well.
    status: Result<GetStatusResponse, Error>,
}

/// Makes a connection, and asks who is there: a connection may be up though nobody answers.
pub(super) async fn reach(target: &Target) -> Result<Reached, Error> {
    let channel = dial::connect(target).await;
    let channel = channel.map_err(|error| error_of(Status::from_error(Box::new(error))))?;
    let channel = GrpcOnly::new(channel, target);
    match AdminServiceClient::new(channel.clone()).get_status(GetStatusRequest {}).await.map_err(error_of) {
        Err(error @ Error::Unreachable { .. }) => Err(error),
        answer => Ok(Reached { channel, status: answer.map(Response::into_inner) }),
    }
}
