//! The connections of a client: three, so that KeepAlives never wait behind anything, and unread news block no calls.

use crate::Error;
use crate::endpoints::{CONNECT_TIMEOUT, Target};
use crate::error::{is_of_connection, is_of_somebody_else};
use crate::hint;
use crate::line::{self, Line};
use crate::link::{self, Links, Pings};
use crate::proto::admin_service_client::AdminServiceClient;
use crate::proto::election_service_client::ElectionServiceClient;
use crate::proto::{GetElectionRequest, GetStatusRequest};
use crate::route::{Fault, Route};
use crate::stranger;
use crate::tenure::{Below, Tenured};
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Response, Status};

/// How long the answer to one call may take; also the first message of a stream.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The server sends something on each stream every 20 s. A stream that was silent for longer than two of these is dead.
pub(crate) const LONGEST_SILENCE: Duration = Duration::from_secs(45);
/// An observer waits for news and sends nothing, so its pings alone tell that an endpoint is
/// frozen: within 5 s. One that stands still for less than 3 s keeps its observers.
const PINGS_FOR_NEWS: Pings = Pings { interval: Duration::from_millis(1500), timeout: Duration::from_secs(3) };
/// How long an endpoint may take to answer before the next one is asked as well.
const HEAD_START: Duration = Duration::from_millis(250);

/// One connection at a time, replaced when there is a better one.
#[derive(Debug)]
pub(crate) struct Wire {
    route: Arc<Route>,
    links: Links,
}

impl Wire {
    fn new(route: &Arc<Route>, pings: Option<Pings>) -> Self {
        Self { route: Arc::clone(route), links: Links::new(Arc::clone(route), pings) }
    }

    /// Makes the connection, and asks who is there, so that it is up before it is needed.
    pub(crate) async fn open_ahead(&self) -> Result<(), Error> {
        let call = |mut client: AdminServiceClient<Line>| async move { client.get_status(GetStatusRequest {}).await };
        match self.admin("GetStatus", call).await {
            Err(error @ Error::Unreachable { .. }) => Err(error),
            // A refusal is an answer as well.
            _ => Ok(()),
        }
    }

    /// Makes one call. If no answer comes in time, or one that another replica would not give, the next call goes over
    /// another connection.
    pub(crate) async fn call<T: Tenured, F>(
        &self,
        what: &str,
        patience: Duration,
        call: impl FnOnce(ElectionServiceClient<Line>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        Ok(self.open(what, patience, call).await?.0)
    }

    /// The same for a stream. With the number of its connection, for [`Wire::broke`].
    pub(crate) async fn open<T: Tenured, F>(
        &self,
        what: &str,
        patience: Duration,
        call: impl FnOnce(ElectionServiceClient<Line>) -> F,
    ) -> Result<(T, u64), Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.exchange(what, patience, |line| call(ElectionServiceClient::new(line))).await
    }

    /// The same as [`Wire::call`] for the service of operators.
    pub(crate) async fn admin<T: Tenured, F>(
        &self,
        what: &str,
        call: impl FnOnce(AdminServiceClient<Line>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        Ok(self.exchange(what, CALL_TIMEOUT, |line| call(AdminServiceClient::new(line))).await?.0)
    }

    async fn exchange<T: Tenured, F>(
        &self,
        what: &str,
        patience: Duration,
        call: impl FnOnce(Line) -> F,
    ) -> Result<(T, u64), Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let link = self.links.get();
        let Ok(answer) = tokio::time::timeout(patience, call(link.line.clone())).await else {
            self.links.leave(link.number, Fault::Silent);
            return Err(Error::silent(what));
        };
        let metadata = answer.as_ref().map_or_else(Status::metadata, Response::metadata);
        let named = hint::address(metadata).and_then(|address| hint::target(address, &link.target));
        let result = answer.map_err(Error::from).and_then(|answer| self.admit(answer.into_inner()));
        if let Some(fault) = result.as_ref().err().and_then(Error::fault) {
            self.links.leave(link.number, fault);
        }
        // Only now: where it has just been refused, it doesn't go.
        if let Some(target) = named {
            self.links.follow(target);
        }
        Ok((result?, link.number))
    }

    /// Refuses what a replica says that has been replaced.
    fn admit<T: Tenured>(&self, answer: T) -> Result<T, Error> {
        answer.tenure().map_or(Ok(()), |tenure| self.route.tenure.admit(tenure))?;
        Ok(answer)
    }

    /// A stream broke that was opened on the connection of this number.
    pub(crate) fn broke(&self, number: u64, broken: &Break) {
        if let Some(fault) = broken.error.fault() {
            self.links.broke(number, fault, broken.connection);
        }
    }
}

/// How a stream broke.
#[derive(Debug)]
pub(crate) struct Break {
    pub(crate) error: Error,
    /// Whether its connection did, or goes to somebody else.
    pub(crate) connection: bool,
}

impl Break {
    /// Nothing came for longer than anything may take.
    pub(crate) fn silent(what: &str) -> Self {
        Self { error: Error::silent(what), connection: true }
    }
}

impl From<Status> for Break {
    fn from(status: Status) -> Self {
        let connection = is_of_connection(&status) || is_of_somebody_else(&status);
        Self { error: status.into(), connection }
    }
}

impl From<Error> for Break {
    fn from(error: Error) -> Self {
        Self { error, connection: false }
    }
}

/// All that the calls of one client share.
#[derive(Debug)]
pub(crate) struct Wires {
    /// For calls and the streams of candidacies.
    pub(crate) calls: Wire,
    /// For KeepAlives alone.
    pub(crate) keeper: Wire,
    /// For observers: one that is not read may hold up its connection.
    pub(crate) news: Wire,
    route: Arc<Route>,
}

impl Wires {
    /// Each connection is made when it is needed first, to the endpoint of this index.
    pub(crate) fn new(endpoints: Vec<Target>, at: usize) -> Self {
        let route = Arc::new(Route::new(endpoints, at));
        let wire = |pings| Wire::new(&route, pings);
        Self { calls: wire(None), keeper: wire(None), news: wire(Some(PINGS_FOR_NEWS)), route }
    }

    /// The same with the first connection made already, to the endpoint that answers first.
    pub(crate) async fn connected(endpoints: Vec<Target>) -> Result<Self, Error> {
        let (at, line) = first_that_answers(&endpoints).await?;
        let wires = Self::new(endpoints, at);
        wires.calls.links.begin_with(line);
        Ok(wires)
    }

    /// Takes note of the tenure of a message, and refuses the message if a higher one is known.
    pub(crate) fn admit(&self, tenure: u64) -> Result<(), Error> {
        self.route.tenure.admit(tenure)
    }

    /// Whether a message of this tenure would be refused.
    pub(crate) fn is_outdated(&self, tenure: u64) -> bool {
        self.route.tenure.is_outdated(tenure)
    }

    /// Whether the service has fallen back below what was seen of it: see [`Tenure::below_for`].
    ///
    /// [`Tenure::below_for`]: crate::tenure::Tenure::below_for
    pub(crate) fn below_for(&self, time: Duration) -> Option<Below> {
        self.route.tenure.below_for(time)
    }

    /// Asks whether the service has come up again, if its last answers came from below. Before a
    /// candidacy is entered, which would be granted and resigned otherwise, for all observers to
    /// see.
    pub(crate) async fn ask_first(&self, election: &str) -> Result<(), Error> {
        if self.below_for(Duration::ZERO).is_none() {
            return Ok(());
        }
        let request = GetElectionRequest { election: election.to_owned() };
        let call = |mut client: ElectionServiceClient<Line>| async move { client.get_election(request).await };
        self.calls.call("GetElection", CALL_TIMEOUT, call).await.map(|_| ())
    }

    /// How many endpoints there are.
    pub(crate) fn endpoints(&self) -> usize {
        self.route.len()
    }
}

/// The index of an endpoint, and a connection to it. Those that stand before have a head start.
async fn first_that_answers(endpoints: &[Target]) -> Result<(usize, Line), Error> {
    let mut queue = endpoints.iter().enumerate();
    let mut asked = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        let next = queue.next().map(|(index, target)| async move { (index, answers(target).await) });
        let patience = if queue.len() > 0 { HEAD_START } else { CONNECT_TIMEOUT * 2 };
        asked.extend(next);
        match tokio::time::timeout(patience, asked.next()).await {
            Ok(Some((index, Ok(line)))) => return Ok((index, line)),
            Ok(Some((_, Err(detail)))) => failures.push(detail),
            Ok(None) => return Err(Error::Unreachable { detail: failures.join("; ") }),
            Err(_) => {}
        }
    }
}

/// A connection to Leasehold, or why there is none.
async fn answers(target: &Target) -> Result<Line, String> {
    let silent = || Error::silent("GetStatus");
    let error = match tokio::time::timeout(CONNECT_TIMEOUT, link::reach(target)).await {
        Ok(Ok((line, _))) => return Ok(line),
        Ok(Err(error)) => match stranger::at(target).await {
            Some(who) => Error::Unreachable { detail: line::not_leasehold(&target.address, who) },
            None => error,
        },
        Err(_) => silent(),
    };
    let detail = match error {
        Error::Unreachable { detail } => detail,
        other => other.to_string(),
    };
    let is_named = detail.contains(&*target.address);
    Err(if is_named { detail } else { format!("http://{}: {detail}", target.address) })
}
