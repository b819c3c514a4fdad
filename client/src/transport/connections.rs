//! The connections of a client: three, so that KeepAlives never wait behind anything, and unread
//! news block no calls.

use super::caller::{CALL_TIMEOUT, Caller};
use super::connection::{self, Pings};
use super::endpoint::{self, CONNECT_TIMEOUT, Target};
use super::failover::Failover;
use super::grpc_only::GrpcOnly;
use super::probe;
use super::tenure::FallenBack;
use crate::access::Access;
use crate::clock;
use crate::error::Error;
use crate::proto::GetElectionRequest;
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;

/// An observer waits for news and sends nothing, so its pings alone tell that an endpoint is
/// frozen: within 5 s. An endpoint that stands still for less than 3 s keeps its observers.
const PINGS_OF_OBSERVERS: Pings = Pings { interval: Duration::from_millis(1500), timeout: Duration::from_secs(3) };
/// How long an endpoint may take to answer before the next one is asked as well.
const HEAD_START: Duration = Duration::from_millis(250);

/// All that the calls of one client share.
#[derive(Debug)]
pub(crate) struct Connections {
    /// For calls and the streams of candidacies.
    pub(crate) calls: Caller,
    /// For KeepAlives alone.
    pub(crate) keep_alives: Caller,
    /// For observers: a stream that isn't read may hold up its connection.
    pub(crate) observers: Caller,
    failover: Arc<Failover>,
}

impl Connections {
    /// Connects to the endpoint of this list, such as `a:7400,http://b:7400`, that answers first.
    pub(crate) async fn connect(endpoints: &str, access: Access) -> Result<Self, Error> {
        let endpoints = endpoint::parse(endpoints, access)?;
        let first = first_that_answers(&endpoints).await?;
        let connections = Self::new(endpoints, first.index);
        connections.calls.connection.begin_with(first.channel);
        Ok(connections)
    }

    /// Each connection is made when it is needed first, beginning with the first endpoint of the
    /// list.
    pub(crate) fn lazy(endpoints: &str, access: Access) -> Result<Self, Error> {
        Ok(Self::new(endpoint::parse(endpoints, access)?, 0))
    }

    fn new(endpoints: Vec<Target>, first: usize) -> Self {
        let failover = Arc::new(Failover::new(endpoints, first));
        let caller = |pings| Caller::new(&failover, pings);
        Self { calls: caller(None), keep_alives: caller(None), observers: caller(Some(PINGS_OF_OBSERVERS)), failover }
    }

    /// Takes note of the tenure of a message, and refuses the message if a higher one is known.
    pub(crate) fn admit(&self, tenure: u64) -> Result<(), Error> {
        self.failover.tenure.admit(tenure, clock::now())
    }

    /// Whether a message of this tenure would be refused.
    pub(crate) fn is_outdated(&self, tenure: u64) -> bool {
        self.failover.tenure.is_outdated(tenure)
    }

    /// How the service has fallen back, if it has done so for this long.
    pub(crate) fn fallen_back_for(&self, time: Duration) -> Option<FallenBack> {
        self.failover.tenure.fallen_back_for(time)
    }

    /// Asks whether the service has come up again, if it has fallen back. Before an election is
    /// entered: the candidacy would be granted and resigned otherwise, for all observers to see.
    pub(crate) async fn ask_first(&self, election: &str) -> Result<(), Error> {
        if self.fallen_back_for(Duration::ZERO).is_none() {
            return Ok(());
        }
        let request = GetElectionRequest { election: election.to_owned() };
        let answer = self
            .calls
            .call("GetElection", CALL_TIMEOUT, |mut client| async move { client.get_election(request).await });
        answer.await.map(|_| ())
    }

    /// How many endpoints there are.
    pub(crate) fn endpoints(&self) -> usize {
        self.failover.len()
    }
}

/// An endpoint that has answered.
struct Answering {
    index: usize,
    channel: GrpcOnly,
}

/// Asks the endpoints in their order, each with a head start before the next.
async fn first_that_answers(endpoints: &[Target]) -> Result<Answering, Error> {
    let mut queue = endpoints.iter().enumerate();
    let mut asked = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        let next = queue
            .next()
            .map(|(index, target)| async move { answers(target).await.map(|channel| Answering { index, channel }) });
        let patience = if queue.len() > 0 { HEAD_START } else { CONNECT_TIMEOUT * 2 };
        asked.extend(next);
        match tokio::time::timeout(patience, asked.next()).await {
            Ok(Some(Ok(answering))) => return Ok(answering),
            Ok(Some(Err(detail))) => failures.push(detail),
            Ok(None) => return Err(Error::Unreachable { detail: failures.join("; ") }),
            Err(_) => {}
        }
    }
}

/// A connection to Leasehold, or why there is none.
async fn answers(target: &Target) -> Result<GrpcOnly, String> {
    let error = match tokio::time::timeout(CONNECT_TIMEOUT, connection::reach(target)).await {
        Ok(Ok(reached)) => return Ok(reached.channel),
        Ok(Err(error)) => match probe::objection(target).await {
            Some(detail) => Error::Unreachable { detail },
            None => error,
        },
        Err(_) => Error::silent("GetStatus"),
    };
    let detail = match error {
        Error::Unreachable { detail } => detail,
        other => other.to_string(),
    };
    let is_named = detail.contains(&*target.address);
    Err(if is_named { detail } else { format!("{}: {detail}", target.url()) })
}
