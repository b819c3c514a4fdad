//! A service that decides nothing: every call waits until the test has answered it.

use leasehold::proto::admin_service_server::{AdminService, AdminServiceServer};
use leasehold::proto::election_service_server::{ElectionService, ElectionServiceServer};
use leasehold::proto::{self, campaign_response::Event};
use leasehold::{Client, Leadership};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex as Cell};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The tenure of answers that don't say otherwise.
pub(crate) const TENURE: u64 = 7;
/// The version of a candidacy that waits.
pub(crate) const WAITS: u64 = 90;
/// The version of the same candidacy when it leads: its fencing token.
pub(crate) const LEADS: u64 = 100;
/// How long a test waits for something that should happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls that wait for the test.
const QUEUE: usize = 256;

/// A call that came in: the request, and where the answer goes. Dropping it answers with
/// UNAVAILABLE.
#[derive(Debug)]
pub(crate) struct Call<Q, A> {
    pub(crate) request: Q,
    answer: oneshot::Sender<Result<A, Status>>,
}

impl<Q, A> Call<Q, A> {
    pub(crate) fn answer(self, answer: A) {
        let _ = self.answer.send(Ok(answer));
    }

    pub(crate) fn fail(self, status: Status) {
        let _ = self.answer.send(Err(status));
    }
}

/// A stream that was opened, and what to send on it. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Stream<Q, M> {
    pub(crate) request: Q,
    messages: mpsc::Sender<Result<M, Status>>,
}

impl<Q, M> Stream<Q, M> {
    pub(crate) async fn send(&self, message: M) {
        let _ = self.messages.send(Ok(message)).await;
    }

    pub(crate) async fn fail(self, status: Status) {
        let _ = self.messages.send(Err(status)).await;
    }
}

pub(crate) type Campaigned = Stream<proto::CampaignRequest, proto::CampaignResponse>;
pub(crate) type Observing = Stream<proto::ObserveRequest, proto::ObserveResponse>;
pub(crate) type KeepAlive = Call<proto::KeepAliveRequest, proto::KeepAliveResponse>;
pub(crate) type Resign = Call<proto::ResignRequest, proto::ResignResponse>;
pub(crate) type Proclaim = Call<proto::ProclaimRequest, proto::ProclaimResponse>;

/// The calls as they come in.
#[derive(Debug)]
pub(crate) struct Puppet {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    says: Says,
    campaigns: mpsc::Receiver<Campaigned>,
    observes: mpsc::Receiver<Observing>,
    keep_alives: mpsc::Receiver<KeepAlive>,
    resigns: mpsc::Receiver<Resign>,
    proclaims: mpsc::Receiver<Proclaim>,
}

impl Puppet {
    pub(crate) async fn start() -> Self {
        Self::behind(|address| async move { address }).await
    }

    /// The client connects to the address that this makes of the service's.
    pub(crate) async fn behind<F: Future<Output = SocketAddr>>(proxy: impl FnOnce(SocketAddr) -> F) -> Self {
        let (campaigns, to_campaign) = mpsc::channel(QUEUE);
        let (observes, to_observe) = mpsc::channel(QUEUE);
        let (keep_alives, to_keep_alive) = mpsc::channel(QUEUE);
        let (resigns, to_resign) = mpsc::channel(QUEUE);
        let (proclaims, to_proclaim) = mpsc::channel(QUEUE);
        let says = Says::default();
        let operators = AdminServiceServer::new(says.clone());
        let said = says.clone();
        let service =
            Service { campaigns, observes, keep_alives, resigns, proclaims, says: said, parked: Mutex::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut router = tonic::transport::Server::builder();
        let router = router.add_service(ElectionServiceServer::new(service)).add_service(operators);
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Self {
            client: Client::connect(format!("http://{}", proxy(address).await)).await.unwrap(),
            address,
            says,
            campaigns: to_campaign,
            observes: to_observe,
            keep_alives: to_keep_alive,
            resigns: to_resign,
            proclaims: to_proclaim,
        }
    }

    /// From now on every response names this address as the active replica's.
    pub(crate) fn name_active(&self, address: impl ToString) {
        self.says.0.lock().unwrap().active = Some(address.to_string());
    }

    /// From now on its status says that it is this.
    pub(crate) fn be(&self, role: proto::Role) {
        self.says.0.lock().unwrap().role = role;
    }

    /// From now on GetElection is answered from this tenure; until then from one below.
    pub(crate) fn get_in(&self, tenure: u64) {
        self.says.0.lock().unwrap().tenure_of_gets = tenure;
    }

    pub(crate) async fn campaign(&mut self) -> Campaigned {
        next(&mut self.campaigns, "a Campaign").await
    }

    pub(crate) async fn observe(&mut self) -> Observing {
        next(&mut self.observes, "an Observe").await
    }

    pub(crate) async fn keep_alive(&mut self) -> KeepAlive {
        next(&mut self.keep_alives, "a KeepAlive").await
    }

    pub(crate) async fn resign(&mut self) -> Resign {
        next(&mut self.resigns, "a Resign").await
    }

    pub(crate) async fn proclaim(&mut self) -> Proclaim {
        next(&mut self.proclaims, "a Proclaim").await
    }

    /// Throws away the KeepAlives that have come in, and says how many there were.
    pub(crate) fn forget_keep_alives(&mut self) -> usize {
        std::iter::from_fn(|| self.keep_alives.try_recv().ok()).count()
    }

    /// Answers KeepAlives so until somebody resigns.
    pub(crate) async fn until_resigned(&mut self, answer: impl Fn() -> proto::KeepAliveResponse) -> Resign {
        let end = tokio::time::sleep(PATIENCE);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => panic!("nobody has resigned"),
                Some(call) = self.keep_alives.recv() => call.answer(answer()),
                Some(resign) = self.resigns.recv() => return resign,
            }
        }
    }

    /// Answers KeepAlives and opened streams so, for longer than the test needs.
    pub(crate) async fn always(
        &mut self,
        answer: impl Fn() -> proto::KeepAliveResponse,
        event: impl Fn() -> proto::CampaignResponse,
    ) -> Infallible {
        let end = tokio::time::sleep(PATIENCE);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => panic!("it goes on and on"),
                Some(call) = self.keep_alives.recv() => call.answer(answer()),
                Some(stream) = self.campaigns.recv() => stream.send(event()).await,
            }
        }
    }

    /// Keeps alive what asks for it, and breaks every stream. How many there were.
    pub(crate) async fn refuse_streams_for(&mut self, time: Duration) -> usize {
        let mut refused = 0;
        let end = tokio::time::sleep(time);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return refused,
                Some(call) = self.keep_alives.recv() => call.answer(leading("kept")),
                Some(stream) = self.campaigns.recv() => {
                    refused += 1;
                    stream.fail(Status::unavailable("no streams today")).await;
                }
            }
        }
    }

    /// A worker that leads with token 100 and ticket "elected", and its stream.
    pub(crate) async fn lead(&mut self, ttl: Duration) -> (Leadership, Campaigned) {
        let campaign = tokio::spawn(self.client.campaign("e").ttl(ttl).into_future());
        let stream = self.campaign().await;
        stream.send(enrolled("enrolled")).await;
        stream.send(elected("elected")).await;
        (campaign.await.unwrap().unwrap(), stream)
    }
}

async fn next<T>(calls: &mut mpsc::Receiver<T>, what: &str) -> T {
    match tokio::time::timeout(PATIENCE, calls.recv()).await {
        Ok(Some(call)) => call,
        _ => panic!("{what} should have come"),
    }
}

/// What a replica says that doesn't run the elections.
pub(crate) fn refusal(reason: &str) -> Status {
    refusal_of(Code::Unavailable, reason)
}

/// What the service says that refuses a call.
pub(crate) fn refusal_of(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "leasehold", HashMap::new());
    Status::with_error_details(code, "the test says so", details)
}

/// A word about the newest state that was told.
pub(crate) fn event(event: Event) -> proto::CampaignResponse {
    let version = match event {
        Event::Enrolled(_) | Event::Waiting(_) => WAITS,
        Event::Elected(_) | Event::Draining(_) => LEADS,
        Event::Ended(_) | Event::Heartbeat(_) => 0,
    };
    proto::CampaignResponse { tenure: TENURE, event: Some(event), version }
}

pub(crate) fn enrolled(ticket: &str) -> proto::CampaignResponse {
    event(Event::Enrolled(proto::Enrolled { ticket: ticket.into(), enrolment: WAITS, ..Default::default() }))
}

pub(crate) fn waiting(ahead: u32) -> proto::CampaignResponse {
    event(Event::Waiting(proto::Waiting { ahead, ..proto::Waiting::default() }))
}

pub(crate) fn elected(ticket: &str) -> proto::CampaignResponse {
    let task_token = format!("task token of {ticket}");
    event(Event::Elected(proto::Elected { fencing_token: LEADS, ticket: ticket.into(), task_token }))
}

pub(crate) fn ended(reason: proto::EndReason) -> proto::CampaignResponse {
    event(Event::Ended(proto::Ended { reason: reason.into(), detail: "the test says so".to_owned() }))
}

pub(crate) fn answer(result: proto::KeepAliveResult) -> proto::KeepAliveResponse {
    proto::KeepAliveResponse { tenure: TENURE, results: vec![result] }
}

pub(crate) fn state(state: proto::CandidacyState, ticket: &str) -> proto::KeepAliveResult {
    let version = match state {
        proto::CandidacyState::Waiting => WAITS,
        proto::CandidacyState::Leading | proto::CandidacyState::Draining => LEADS,
        _ => 0,
    };
    proto::KeepAliveResult { state: state.into(), ticket: ticket.into(), version, ..Default::default() }
}

pub(crate) fn leading(ticket: &str) -> proto::KeepAliveResponse {
    let result = state(proto::CandidacyState::Leading, ticket);
    answer(proto::KeepAliveResult { fencing_token: LEADS, task_token: format!("task token of {ticket}"), ..result })
}

pub(crate) fn resigned() -> proto::ResignResponse {
    proto::ResignResponse { tenure: TENURE, was_leading: true, already_ended: false }
}

/// What the service says of itself.
#[derive(Debug, Clone, Default)]
struct Says(Arc<Cell<Word>>);

#[derive(Debug)]
struct Word {
    active: Option<String>,
    role: proto::Role,
    tenure_of_gets: u64,
}

impl Default for Word {
    fn default() -> Self {
        Self { active: None, role: proto::Role::Active, tenure_of_gets: TENURE - 1 }
    }
}

impl Says {
    fn name_active(&self, metadata: &mut MetadataMap) {
        if let Some(address) = &self.0.lock().unwrap().active {
            metadata.insert("leasehold-active", address.parse().unwrap());
        }
    }

    fn say<T>(&self, result: Result<T, Status>) -> Result<Response<T>, Status> {
        let mut result = result.map(Response::new);
        match &mut result {
            Ok(response) => self.name_active(response.metadata_mut()),
            Err(status) => self.name_active(status.metadata_mut()),
        }
        result
    }
}

#[tonic::async_trait]
impl AdminService for Says {
    async fn get_status(
        &self,
        _: Request<proto::GetStatusRequest>,
    ) -> Result<Response<proto::GetStatusResponse>, Status> {
        let role = self.0.lock().unwrap().role;
        let tenure = if role == proto::Role::Active { TENURE } else { 0 };
        self.say(Ok(proto::GetStatusResponse { tenure, role: role.into(), ..proto::GetStatusResponse::default() }))
    }

    async fn who_am_i(&self, _: Request<proto::WhoAmIRequest>) -> Result<Response<proto::WhoAmIResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn check_policy(
        &self,
        _: Request<proto::CheckPolicyRequest>,
    ) -> Result<Response<proto::CheckPolicyResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn step_down(&self, _: Request<proto::StepDownRequest>) -> Result<Response<proto::StepDownResponse>, Status> {
        Err(Status::unimplemented("not needed here"))
    }
}

struct Service {
    campaigns: mpsc::Sender<Campaigned>,
    observes: mpsc::Sender<Observing>,
    keep_alives: mpsc::Sender<KeepAlive>,
    resigns: mpsc::Sender<Resign>,
    proclaims: mpsc::Sender<Proclaim>,
    says: Says,
    parked: Mutex<()>,
}

impl Service {
    async fn call<Q, A>(&self, calls: &mpsc::Sender<Call<Q, A>>, request: Request<Q>) -> Result<Response<A>, Status> {
        let (answer, answered) = oneshot::channel();
        let gone = || Status::unavailable("the test dropped the call");
        calls.send(Call { request: request.into_inner(), answer }).await.map_err(|_| gone())?;
        self.says.say(answered.await.unwrap_or_else(|_| Err(gone())))
    }

    async fn stream<Q, M>(
        &self,
        streams: &mpsc::Sender<Stream<Q, M>>,
        request: Request<Q>,
    ) -> Result<Response<ReceiverStream<Result<M, Status>>>, Status> {
        let (messages, sent) = mpsc::channel(QUEUE);
        let gone = || Status::unavailable("the test is over");
        streams.send(Stream { request: request.into_inner(), messages }).await.map_err(|_| gone())?;
        self.says.say(Ok(ReceiverStream::new(sent)))
    }
}

#[tonic::async_trait]
impl ElectionService for Service {
    type CampaignStream = ReceiverStream<Result<proto::CampaignResponse, Status>>;
    type ObserveStream = ReceiverStream<Result<proto::ObserveResponse, Status>>;

    async fn campaign(
        &self,
        request: Request<proto::CampaignRequest>,
    ) -> Result<Response<Self::CampaignStream>, Status> {
        self.stream(&self.campaigns, request).await
    }

    async fn observe(&self, request: Request<proto::ObserveRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        self.stream(&self.observes, request).await
    }

    async fn keep_alive(
        &self,
        request: Request<proto::KeepAliveRequest>,
    ) -> Result<Response<proto::KeepAliveResponse>, Status> {
        self.call(&self.keep_alives, request).await
    }

    async fn resign(&self, request: Request<proto::ResignRequest>) -> Result<Response<proto::ResignResponse>, Status> {
        self.call(&self.resigns, request).await
    }

    async fn proclaim(
        &self,
        request: Request<proto::ProclaimRequest>,
    ) -> Result<Response<proto::ProclaimResponse>, Status> {
        self.call(&self.proclaims, request).await
    }

    async fn get_election(
        &self,
        _: Request<proto::GetElectionRequest>,
    ) -> Result<Response<proto::GetElectionResponse>, Status> {
        let election = Some(proto::Election { name: "e".to_owned(), ..proto::Election::default() });
        let tenure = self.says.0.lock().unwrap().tenure_of_gets;
        Ok(Response::new(proto::GetElectionResponse { tenure, election }))
    }

    async fn list_elections(
        &self,
        _: Request<proto::ListElectionsRequest>,
    ) -> Result<Response<proto::ListElectionsResponse>, Status> {
        Err(Status::unimplemented("not needed here"))
    }

    async fn verify_token(
        &self,
        _: Request<proto::VerifyTokenRequest>,
    ) -> Result<Response<proto::VerifyTokenResponse>, Status> {
        // Never answers: a service that accepts calls and does nothing.
        let _parked = self.parked.lock().await;
        std::future::pending().await
    }
}
