//! The connection that a wire has at a time, and the one that it is given in the background: to the active replica itself.

use crate::Error;
use crate::clock::{self, Moment};
use crate::endpoints::Target;
use crate::line::Line;
use crate::net;
use crate::proto::admin_service_client::AdminServiceClient;
use crate::proto::{GetStatusRequest, GetStatusResponse, Role};
use crate::route::{Fault, Route};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::{Response, Status};

/// How long it may take until an address that was named as the active replica's has answered.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection to the only endpoint there is isn't made anew more often, if all that is wrong is what the replica says. It
/// may be a balancer's address, with a better replica behind the next connection.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// How often a connection is pinged, if not as often as all others are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pings {
    pub(crate) interval: Duration,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// One connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) line: Line,
    /// Goes up with each connection of a wire.
    pub(crate) number: u64,
    pub(crate) target: Target,
    /// It goes to an address that a standby named, not to an endpoint.
    direct: bool,
    since: Moment,
}

/// The connection that the next call takes, if one was made before.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    route: Arc<Route>,
    pings: Option<Pings>,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Default)]
struct Current {
    link: Option<Link>,
    number: u64,
    following: Option<JoinHandle<()>>,
}

impl Current {
    fn set(&mut self, target: Target, line: Line, direct: bool) -> Link {
        self.number += 1;
        let link = Link { line, number: self.number, target, direct, since: clock::now() };
        self.link = Some(link.clone());
        link
    }
}

impl Links {
    pub(crate) fn new(route: Arc<Route>, pings: Option<Pings>) -> Self {
        Self { route, pings, current: Arc::default() }
    }

    /// Begins with a connection to the endpoint that is made already.
    pub(crate) fn begin_with(&self, line: Line) {
        self.current().set(self.route.endpoint(), line, false);
    }

    /// The connection to use. Never waits: it is made when the call is made, if need be.
    pub(crate) fn get(&self) -> Link {
        let mut current = self.current();
        let target = match &current.link {
            // Another connection was told what this one would be told now.
            Some(link) if link.direct && self.route.was_refused_by(&link.target.address) => {
                self.route.instead_of(&link.target.address)
            }
            Some(link) => return link.clone(),
            None => self.route.endpoint(),
        };
        let line = self.dial(&target);
        current.set(target, line, false)
    }

    /// A connection that is made when it is needed first.
    fn dial(&self, target: &Target) -> Line {
        let channel = net::connect_lazy(&self.pinged(target).endpoint);
        Line::new(channel, &target.address)
    }

    fn pinged(&self, target: &Target) -> Target {
        match self.pings {
            Some(Pings { interval, timeout }) => target.clone().pinged(interval, timeout),
            None => target.clone(),
        }
    }

    /// Gives up the connection of this number, unless somebody else did so before. Streams that are open on it stay.
    pub(crate) fn leave(&self, number: u64, fault: Fault) {
        let mut current = self.current();
        let Some(link) = current.link.as_ref().filter(|link| link.number == number) else { return };
        if link.direct {
            self.route.shun(&link.target.address, fault);
        } else if self.route.len() == 1 {
            let keep = match fault {
                // A connection whose packets vanish looks alive until its ping times out, which is too late for a leader.
                Fault::Silent => false,
                // It is made again by the next call.
                Fault::Broken => true,
                Fault::Refused => clock::now().since(link.since) < SHORTEST_LIFE,
            };
            if keep {
                return;
            }
        }
        let target = self.route.instead_of(&link.target.address);
        tracing::debug!(from = %link.target.address, to = %target.address, ?fault, "going to another address");
        let line = self.dial(&target);
        current.set(target, line, false);
    }

    /// A stream broke that was opened on the connection of this number, or the whole connection
    /// did. An endpoint isn't left for a stream: a standby ends its streams when the active replica
    /// changes, and opening it again tells whether the connection is good. With its connection it
    /// is left, if there is another one: an endpoint that is frozen would take connections, and say
    /// nothing. So is one where somebody else has answered.
    pub(crate) fn broke(&self, number: u64, fault: Fault, connection: bool) {
        let leaves = fault == Fault::Refused
            || (connection && self.route.len() > 1)
            || self.current().link.as_ref().is_some_and(|link| link.number == number && link.direct);
        if leaves {
            self.leave(number, fault);
        }
    }

    /// The active replica is said to be there. Goes there when it has answered, which nobody waits for.
    pub(crate) fn follow(&self, target: Target) {
        let mut current = self.current();
        let is_there = current.link.as_ref().is_some_and(|link| link.target.address == target.address);
        let follows = current.following.as_ref().is_some_and(|task| !task.is_finished());
        if !is_there && !follows && !self.route.shuns(&target.address) {
            current.following = Some(tokio::spawn(self.clone().go(target)));
        }
    }

    async fn go(self, target: Target) {
        let pinged = self.pinged(&target);
        let answer = tokio::time::timeout(FOLLOW_TIMEOUT, reach(&pinged));
        let fault = match answer.await.unwrap_or_else(|_| Err(Error::silent("GetStatus"))) {
            Ok((line, status)) => match self.is_active(status) {
                true if !self.route.shuns(&target.address) => {
                    tracing::debug!(address = %target.address, "going to the active replica itself");
                    self.current().set(target, line, true);
                    return;
                }
                // Another connection heard meanwhile that it isn't the active one any more.
                true => return,
                false => Fault::Refused,
            },
            Err(_) => Fault::Broken,
        };
        tracing::debug!(address = %target.address, ?fault, "not going to what is said to be the active replica");
        self.route.shun(&target.address, fault);
    }

    /// Whether the active replica may have answered so. One that doesn't tell everybody what it is may be it.
    fn is_active(&self, status: Result<GetStatusResponse, Error>) -> bool {
        match status {
            Ok(status) => status.role() == Role::Active && self.route.tenure.admit(status.tenure).is_ok(),
            Err(error) => error.fault().is_none(),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a connection, and asks who is there: a connection that is up isn't yet somebody who answers.
pub(crate) async fn reach(target: &Target) -> Result<(Line, Result<GetStatusResponse, Error>), Error> {
    let channel =
        net::connect(&target.endpoint).await.map_err(|error| Error::from(Status::from_error(Box::new(error))))?;
    let line = Line::new(channel, &target.address);
    match AdminServiceClient::new(line.clone()).get_status(GetStatusRequest {}).await.map_err(Error::from) {
        Err(error @ Error::Unreachable { .. }) => Err(error),
        // A refusal is an answer as well.
        answer => Ok((line, answer.map(Response::into_inner))),
    }
}
