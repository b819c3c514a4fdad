//! The client: calls that ask once, and the ways into campaigns and observations.

use crate::access::Access;
use crate::answers::{Election, Identity, PolicyDecision, ReplicaStatus, StepDown, Verification};
use crate::candidacy::Campaign;
use crate::error::Error;
use crate::observe::{Observation, Selection};
use crate::proto::{
    CheckPolicyRequest, GetElectionRequest, GetStatusRequest, ListElectionsRequest, ListElectionsResponse,
    StepDownRequest, VerifyTokenRequest, WhoAmIRequest, verify_token_request,
};
use crate::transport::{CALL_TIMEOUT, Connections, GrpcOnly};
use futures::stream::{self, Stream, StreamExt as _};
use std::sync::Arc;

/// How many elections [`Client::list`] asks for at a time.
const PAGE_SIZE: u32 = 1000;

/// A client of one Leasehold service. Clones are cheap and share their connections: one for
/// KeepAlives, one for observers, one for everything else.
///
/// A service of several replicas may be named by several endpoints. A call that finds its replica
/// gone, silent or not active makes the next call go to the next endpoint. A replica that passes
/// calls on names the active one: the client makes a connection to it in the background, and then
/// uses that for as long as it is good. Where it can't be reached, nothing is lost but the shorter
/// way.
///
/// Answers of a tenure lower than the highest that any clone has seen are refused as
/// [`Error::Outdated`]: they come from a replica that has been replaced.
///
/// Calls that ask once are tried once, fail with [`Error::Unreachable`] after 5 s without an
/// answer, and are cancel-safe: a future that is dropped leaves nothing behind on this side.
///
/// ```no_run
/// # async fn example() -> Result<(), leasehold::Error> {
/// let client = leasehold::Client::connect("10.0.0.5:7400,10.0.0.6:7400").await?;
/// match client.get("billing/nightly").await?.leader {
///     Some(leader) => println!("{} leads with fencing token {}", leader.candidate, leader.fencing_token),
///     None => println!("nobody leads"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    connections: Arc<Connections>,
}

/// A token to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A fencing token.
    Fencing(u64),
    /// A task token: a JWT.
    Task(String),
}

impl Client {
    /// Connects to a service, e.g. `127.0.0.1:7400` or `https://leasehold.example:7400`. Of several
    /// endpoints, 16 at most, with commas between them, the first that answers is used:
    /// `a:7400,b:7400`. Takes 2 s at most, and 250 ms more for each further one; a second more
    /// where somebody answers who isn't Leasehold.
    ///
    /// `https://` means TLS, `http://` plain text, and an endpoint without either TLS where an
    /// authority or a certificate is given. What to trust and to show is said by variables of the
    /// environment ([`Access::from_environment`]). Variables such as `http_proxy` aren't heeded:
    /// connections go to the endpoints themselves.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for an endpoint that isn't one, and for a file that can't be used,
    /// [`Error::Unreachable`] if nobody answers there, or somebody else does, or TLS fails: it says
    /// why, and what to do.
    pub async fn connect(endpoints: impl Into<String>) -> Result<Self, Error> {
        Self::connect_with(endpoints, Access::from_environment()).await
    }

    /// As [`connect`](Client::connect), with this in place of what the environment says.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Client::connect).
    pub async fn connect_with(endpoints: impl Into<String>, access: Access) -> Result<Self, Error> {
        Ok(Self { connections: Arc::new(Connections::connect(&endpoints.into(), access).await?) })
    }

    /// A client that connects when the first call is made, and begins with the first endpoint. A
    /// service that is down is noticed only then.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for an endpoint that isn't one, and for a file that can't be used.
    pub fn connect_lazy(endpoints: impl Into<String>) -> Result<Self, Error> {
        Self::connect_lazy_with(endpoints, Access::from_environment())
    }

    /// As [`connect_lazy`](Client::connect_lazy), with this in place of what the environment says.
    ///
    /// # Errors
    ///
    /// As for [`connect_lazy`](Client::connect_lazy).
    pub fn connect_lazy_with(endpoints: impl Into<String>, access: Access) -> Result<Self, Error> {
        Ok(Self { connections: Arc::new(Connections::lazy(&endpoints.into(), access)?) })
    }

    /// Enters an election. Nothing is sent before the result is awaited.
    pub fn campaign(&self, election: impl Into<String>) -> Campaign {
        Campaign::new(Arc::clone(&self.connections), election.into())
    }

    /// Follows who leads. Nothing is sent before the stream is polled.
    pub fn observe(&self, selection: Selection) -> Observation {
        Observation::new(Arc::clone(&self.connections), selection)
    }

    /// The state of one election. An election without a candidate is vacant, not an error.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Outdated`], and [`Error::Refused`], e.g. for a bad name.
    pub async fn get(&self, election: impl Into<String>) -> Result<Election, Error> {
        let request = GetElectionRequest { election: election.into() };
        let call = |mut client: ElectionClient| async move { client.get_election(request).await };
        let answer = self.connections.calls.call("GetElection", CALL_TIMEOUT, call).await?;
        let election = answer.election.map(Election::from);
        election.ok_or_else(|| Error::Unreachable { detail: "the answer names no election".to_owned() })
    }

    /// The elections whose names begin with this and that have a candidate or are on hold, in the
    /// order of names; `""` for all.
    ///
    /// They are read a page of 1000 at a time, when they are needed. An election that changes
    /// meanwhile is named once, as it was when its page was read. The stream ends after the first
    /// error.
    ///
    /// ```no_run
    /// # async fn example(client: leasehold::Client) -> Result<(), leasehold::Error> {
    /// use futures::TryStreamExt as _;
    ///
    /// let mut elections = client.list("billing/");
    /// while let Some(election) = elections.try_next().await? {
    ///     println!("{}: {} wait", election.name, election.waiting);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn list(&self, prefix: &str) -> impl Stream<Item = Result<Election, Error>> + Send + use<> {
        let first = ListElectionsRequest { prefix: prefix.to_owned(), page_size: PAGE_SIZE, page_token: String::new() };
        let client = self.clone();
        stream::unfold(Some(first), move |request| {
            let client = client.clone();
            async move {
                let request = request?;
                let prefix = request.prefix.clone();
                match client.page(request).await {
                    Ok(ListElectionsResponse { elections, next_page_token, .. }) => {
                        let more = !next_page_token.is_empty();
                        let next = ListElectionsRequest { prefix, page_size: PAGE_SIZE, page_token: next_page_token };
                        let items: Vec<_> = elections.into_iter().map(|election| Ok(election.into())).collect();
                        Some((items, more.then_some(next)))
                    }
                    Err(error) => Some((vec![Err(error)], None)),
                }
            }
        })
        .flat_map(stream::iter)
        .boxed()
    }

    async fn page(&self, request: ListElectionsRequest) -> Result<ListElectionsResponse, Error> {
        let call = |mut client: ElectionClient| async move { client.list_elections(request).await };
        self.connections.calls.call("ListElections", CALL_TIMEOUT, call).await
    }

    /// Whether this token is the current leader's. The election may be `""` with a task token,
    /// which names its own.
    ///
    /// # Errors
    ///
    /// As for [`get`](Client::get). A token that isn't valid is no error: see the answer.
    pub async fn verify(&self, election: impl Into<String>, token: Token) -> Result<Verification, Error> {
        let token = match token {
            Token::Fencing(token) => verify_token_request::Token::FencingToken(token),
            Token::Task(token) => verify_token_request::Token::TaskToken(token),
        };
        let request = VerifyTokenRequest { election: election.into(), token: Some(token) };
        let call = |mut client: ElectionClient| async move { client.verify_token(request).await };
        self.connections.calls.call("VerifyToken", CALL_TIMEOUT, call).await.map(Verification::from)
    }

    /// What the replica that answers is, and what it holds. A standby answers for itself.
    ///
    /// # Errors
    ///
    /// As for [`get`](Client::get).
    pub async fn status(&self) -> Result<ReplicaStatus, Error> {
        let call = |mut client: AdminClient| async move { client.get_status(GetStatusRequest {}).await };
        self.connections.calls.admin("GetStatus", call).await.map(ReplicaStatus::from)
    }

    /// Ends a leadership with care: the leader is told to hand over. With a fencing token only if
    /// it is the leader's.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`Reason::NoLeader`](crate::Reason::NoLeader) or
    /// [`Reason::OtherLeader`](crate::Reason::OtherLeader), [`Error::Invalid`] for a token of 0,
    /// and as for [`get`](Client::get).
    pub async fn step_down(&self, election: impl Into<String>, token: Option<u64>) -> Result<StepDown, Error> {
        if token == Some(0) {
            return Err(Error::Invalid { what: "the fencing token", detail: "it is greater than 0".to_owned() });
        }
        let request = StepDownRequest { election: election.into(), fencing_token: token.unwrap_or(0) };
        let call = |mut client: AdminClient| async move { client.step_down(request).await };
        self.connections.calls.admin("StepDown", call).await.map(StepDown::from)
    }

    /// Who this client is, as the service has found out.
    ///
    /// # Errors
    ///
    /// As for [`get`](Client::get).
    pub async fn who_am_i(&self) -> Result<Identity, Error> {
        let call = |mut client: AdminClient| async move { client.who_am_i(WhoAmIRequest {}).await };
        self.connections.calls.admin("WhoAmI", call).await.map(Identity::from)
    }

    /// Whether the policy of the service lets a subject do something in an election, and why. The
    /// verb is `campaign`, `replace`, `observe`, `verify`, `step-down` or `admin`. Without a
    /// subject the question is about this client.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with [`Reason::Denied`](crate::Reason::Denied) for whoever asks about
    /// others and has no right to, and as for [`get`](Client::get).
    pub async fn check_policy(
        &self,
        subject: Option<&str>,
        verb: &str,
        election: impl Into<String>,
    ) -> Result<PolicyDecision, Error> {
        let subject = subject.unwrap_or_default().to_owned();
        let request = CheckPolicyRequest { subject, verb: verb.to_owned(), election: election.into() };
        let call = |mut client: AdminClient| async move { client.check_policy(request).await };
        self.connections.calls.admin("CheckPolicy", call).await.map(PolicyDecision::from)
    }
}

type ElectionClient = crate::proto::election_service_client::ElectionServiceClient<GrpcOnly>;
type AdminClient = crate::proto::admin_service_client::AdminServiceClient<GrpcOnly>;
