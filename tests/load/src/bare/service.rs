//! ElectionService without elections: it answers Campaign and Resign from a sample, and nothing
//! else.

use anyhow::{Result, bail, ensure};
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::election_service_server::ElectionService;
use leasehold_proto::v1::{
    CampaignRequest, CampaignResponse, GetElectionRequest, GetElectionResponse, KeepAliveRequest, KeepAliveResponse,
    ListElectionsRequest, ListElectionsResponse, ObserveRequest, ObserveResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse, VerifyTokenRequest, VerifyTokenResponse,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::exchange::Exchange;

/// Parts of the map, so that calls on different threads rarely meet at a lock.
const SHARDS: usize = 64;

/// Events that a stream holds: there are no more than Enrolled, Elected and Ended.
const STREAM_EVENTS: usize = 3;

/// Bytes at the start of a ticket that say whose it is; the rest is padding of the right size.
const ID_BYTES: usize = size_of::<u64>();

type Events = mpsc::Sender<Result<CampaignResponse, Status>>;

/// The service. It holds a channel for each open Campaign, by the number in its ticket.
#[derive(Debug)]
pub(super) struct Bare {
    sample: Exchange,
    next: AtomicU64,
    open: Vec<Mutex<HashMap<u64, Events>>>,
}

impl Bare {
    /// A service that sends these messages.
    ///
    /// # Errors
    ///
    /// When the tickets of the sample are too short to hold a number.
    pub(super) fn new(sample: Exchange) -> Result<Self> {
        let (Some(Event::Enrolled(enrolled)), Some(Event::Elected(elected))) =
            (&sample.enrolled.event, &sample.elected.event)
        else {
            bail!("the sample isn't a cycle: {sample:?}");
        };
        ensure!(enrolled.ticket.len() >= ID_BYTES && elected.ticket.len() >= ID_BYTES, "tickets of less than 8 bytes");
        let next = AtomicU64::new(elected.fencing_token);
        Ok(Self { sample, next, open: (0..SHARDS).map(|_| Mutex::default()).collect() })
    }

    /// The first two events of the candidacy with this number.
    fn opening(&self, id: u64) -> [CampaignResponse; 2] {
        let (mut enrolled, mut elected) = (self.sample.enrolled.clone(), self.sample.elected.clone());
        if let Some(Event::Enrolled(event)) = &mut enrolled.event {
            event.enrolment = id;
            event.ticket[..ID_BYTES].copy_from_slice(&id.to_be_bytes());
        }
        if let Some(Event::Elected(event)) = &mut elected.event {
            event.fencing_token = id;
            event.ticket[..ID_BYTES].copy_from_slice(&id.to_be_bytes());
        }
        [enrolled, elected]
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, HashMap<u64, Events>> {
        let place = usize::try_from(id % SHARDS as u64).expect("less than SHARDS");
        self.open[place].lock().expect("nothing panics while it is held")
    }
}

#[tonic::async_trait]
impl ElectionService for Bare {
    type CampaignStream = ReceiverStream<Result<CampaignResponse, Status>>;
    type ObserveStream = tokio_stream::Pending<Result<ObserveResponse, Status>>;

    async fn campaign(&self, _: Request<CampaignRequest>) -> Result<Response<Self::CampaignStream>, Status> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(STREAM_EVENTS);
        for event in self.opening(id) {
            sender.try_send(Ok(event)).expect("a new channel holds three");
        }
        // A stream that its client drops before Resign stays in the map. The clients here don't,
        // and the process is short.
        self.shard(id).insert(id, sender);
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let ticket = request.into_inner().ticket;
        let id = ticket.first_chunk().ok_or_else(|| Status::invalid_argument("a ticket has at least 8 bytes"))?;
        let id = u64::from_be_bytes(*id);
        let sender = self.shard(id).remove(&id).ok_or_else(|| Status::not_found("no open Campaign has this ticket"))?;
        sender.try_send(Ok(self.sample.ended.clone())).map_err(|_| Status::aborted("its stream is closed"))?;
        Ok(Response::new(self.sample.resigned))
    }

    async fn keep_alive(&self, _: Request<KeepAliveRequest>) -> Result<Response<KeepAliveResponse>, Status> {
        Err(not_here())
    }

    async fn proclaim(&self, _: Request<ProclaimRequest>) -> Result<Response<ProclaimResponse>, Status> {
        Err(not_here())
    }

    async fn observe(&self, _: Request<ObserveRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        Err(not_here())
    }

    async fn get_election(&self, _: Request<GetElectionRequest>) -> Result<Response<GetElectionResponse>, Status> {
        Err(not_here())
    }

    async fn list_elections(
        &self,
        _: Request<ListElectionsRequest>,
    ) -> Result<Response<ListElectionsResponse>, Status> {
        Err(not_here())
    }

    async fn verify_token(&self, _: Request<VerifyTokenRequest>) -> Result<Response<VerifyTokenResponse>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("the bare service answers Campaign and Resign only")
}
