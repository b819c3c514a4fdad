//! A service for workers that decides nothing: the test reads each call, and says what is answered.

use anyhow::Context as _;
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::election_service_server::{ElectionService, ElectionServiceServer};
use leasehold_proto::v1::{self, CampaignRequest, CampaignResponse, CandidacyState};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

/// Calls that wait for the test, and events that wait on one stream.
const QUEUE: usize = 256;

/// A call that came in: the request, and where the answer goes. Dropping it answers UNAVAILABLE.
#[derive(Debug)]
pub struct Call<Q, A> {
    /// What was asked.
    pub request: Q,
    answer: oneshot::Sender<Result<A, Status>>,
}

impl<Q, A> Call<Q, A> {
    /// Answers it.
    pub fn answer(self, answer: A) {
        let _ = self.answer.send(Ok(answer));
    }
}

/// A Campaign stream that was opened. Dropping it ends the stream.
#[derive(Debug)]
pub struct Stream {
    /// What was asked.
    pub request: CampaignRequest,
    events: mpsc::Sender<Result<CampaignResponse, Status>>,
}

impl Stream {
    /// Sends an event.
    pub async fn send(&self, event: CampaignResponse) {
        let _ = self.events.send(Ok(event)).await;
    }

    /// Cuts the stream with a status.
    pub async fn cut(self, status: Status) {
        let _ = self.events.send(Err(status)).await;
    }
}

/// The calls of a worker as they come in.
#[derive(Debug)]
pub struct Puppet {
    /// Where it listens.
    pub address: SocketAddr,
    campaigns: mpsc::Receiver<Stream>,
    keep_alives: mpsc::Receiver<Call<v1::KeepAliveRequest, v1::KeepAliveResponse>>,
    resigns: mpsc::Receiver<Call<v1::ResignRequest, v1::ResignResponse>>,
}

impl Puppet {
    /// Starts it on a free port.
    ///
    /// # Errors
    ///
    /// When it can't listen.
    pub async fn start() -> anyhow::Result<Self> {
        let (campaigns, to_campaign) = mpsc::channel(QUEUE);
        let (keep_alives, to_keep_alive) = mpsc::channel(QUEUE);
        let (resigns, to_resign) = mpsc::channel(QUEUE);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let service = ElectionServiceServer::new(Strings { campaigns, keep_alives, resigns });
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(Self { address, campaigns: to_campaign, keep_alives: to_keep_alive, resigns: to_resign })
    }

    /// The next Campaign.
    ///
    /// # Errors
    ///
    /// When none comes within `patience`.
    pub async fn campaign(&mut self, patience: Duration) -> anyhow::Result<Stream> {
        next(&mut self.campaigns, "Campaign", patience).await
    }

    /// The next KeepAlive that somebody still waits for.
    ///
    /// # Errors
    ///
    /// When none comes within `patience`.
    pub async fn keep_alive(
        &mut self,
        patience: Duration,
    ) -> anyhow::Result<Call<v1::KeepAliveRequest, v1::KeepAliveResponse>> {
        loop {
            let call = next(&mut self.keep_alives, "KeepAlive", patience).await?;
            if !call.answer.is_closed() {
                return Ok(call);
            }
        }
    }

    /// The next Resign.
    ///
    /// # Errors
    ///
    /// When none comes within `patience`.
    pub async fn resign(&mut self, patience: Duration) -> anyhow::Result<Call<v1::ResignRequest, v1::ResignResponse>> {
        next(&mut self.resigns, "Resign", patience).await
    }

    /// For this time answers each KeepAlive so, and leaves other calls where they are.
    pub async fn keep(&mut self, time: Duration, result: &v1::KeepAliveResponse) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(Some(call)) = tokio::time::timeout_at(end, self.keep_alives.recv()).await {
            call.answer(result.clone());
        }
    }

    /// The Campaigns that have come and that nobody has looked at.
    pub fn campaigns(&mut self) -> Vec<Stream> {
        std::iter::from_fn(|| self.campaigns.try_recv().ok()).collect()
    }

    /// The tickets that have been resigned and that nobody has looked at.
    pub fn resigned(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.resigns.try_recv().ok()).map(|call| call.request.ticket).collect()
    }
}

async fn next<T>(calls: &mut mpsc::Receiver<T>, what: &str, patience: Duration) -> anyhow::Result<T> {
    let call = tokio::time::timeout(patience, calls.recv()).await;
    call.ok().flatten().with_context(|| format!("no {what} came within {patience:?}"))
}

/// An event as a replica of this tenure tells it.
#[must_use]
pub fn event(tenure: u64, version: u64, event: Event) -> CampaignResponse {
    CampaignResponse { tenure, version, event: Some(event) }
}

/// The answer to a KeepAlive of one candidacy.
#[must_use]
pub fn kept(tenure: u64, version: u64, state: CandidacyState, ticket: &str, ttl: Duration) -> v1::KeepAliveResponse {
    let extends = matches!(state, CandidacyState::Waiting | CandidacyState::Leading);
    let leads = matches!(state, CandidacyState::Leading | CandidacyState::Draining);
    let result = v1::KeepAliveResult {
        state: state.into(),
        version,
        ticket: ticket.into(),
        fencing_token: if leads { version } else { 0 },
        ttl: extends.then(|| ttl.try_into().ok()).flatten(),
        end_reason: v1::EndReason::Expired.into(),
        ..v1::KeepAliveResult::default()
    };
    v1::KeepAliveResponse { tenure, results: vec![result] }
}

struct Strings {
    campaigns: mpsc::Sender<Stream>,
    keep_alives: mpsc::Sender<Call<v1::KeepAliveRequest, v1::KeepAliveResponse>>,
    resigns: mpsc::Sender<Call<v1::ResignRequest, v1::ResignResponse>>,
}

async fn pass_on<Q, A>(calls: &mpsc::Sender<Call<Q, A>>, request: Request<Q>) -> Result<Response<A>, Status> {
    let (answer, answered) = oneshot::channel();
    let gone = || Status::unavailable("the test dropped the call");
    calls.send(Call { request: request.into_inner(), answer }).await.map_err(|_| gone())?;
    answered.await.unwrap_or_else(|_| Err(gone())).map(Response::new)
}

fn not_for_workers<T>() -> Result<Response<T>, Status> {
    Err(Status::failed_precondition("a worker that only leads doesn't ask for that"))
}

type Events<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ElectionService for Strings {
    type CampaignStream = ReceiverStream<Result<CampaignResponse, Status>>;
    type ObserveStream = Events<v1::ObserveResponse>;

    async fn campaign(&self, request: Request<CampaignRequest>) -> Result<Response<Self::CampaignStream>, Status> {
        let (events, sent) = mpsc::channel(QUEUE);
        let stream = Stream { request: request.into_inner(), events };
        self.campaigns.send(stream).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(sent)))
    }

    async fn keep_alive(
        &self,
        request: Request<v1::KeepAliveRequest>,
    ) -> Result<Response<v1::KeepAliveResponse>, Status> {
        pass_on(&self.keep_alives, request).await
    }

    async fn resign(&self, request: Request<v1::ResignRequest>) -> Result<Response<v1::ResignResponse>, Status> {
        pass_on(&self.resigns, request).await
    }

    async fn proclaim(&self, _: Request<v1::ProclaimRequest>) -> Result<Response<v1::ProclaimResponse>, Status> {
        not_for_workers()
    }

    async fn observe(&self, _: Request<v1::ObserveRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        not_for_workers()
    }

    async fn get_election(
        &self,
        _: Request<v1::GetElectionRequest>,
    ) -> Result<Response<v1::GetElectionResponse>, Status> {
        not_for_workers()
    }

    async fn list_elections(
        &self,
        _: Request<v1::ListElectionsRequest>,
    ) -> Result<Response<v1::ListElectionsResponse>, Status> {
        not_for_workers()
    }

    async fn verify_token(
        &self,
        _: Request<v1::VerifyTokenRequest>,
    ) -> Result<Response<v1::VerifyTokenResponse>, Status> {
        not_for_workers()
    }
}
