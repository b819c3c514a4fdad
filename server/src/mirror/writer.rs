//! `leasehold.v1.ReplicaService`: the active replica's side of the mirror.

use super::frame::frames;
use super::seal::{RANDOM_BYTES, Seal, Seals, random};
use crate::caller::Caller;
use crate::errors::Refusal;
use crate::handle::Handle;
use futures::Stream;
use leasehold_core::Reject;
use leasehold_proto::v1;
use leasehold_proto::v1::replica_service_server::ReplicaService;
use leasehold_shell::News;
use prost::Message;
use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

/// Something is sent at least this often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The service for other replicas.
#[derive(Clone, Debug)]
pub(crate) struct Mirrors {
    handle: Handle,
    seals: Seals,
    /// Whether replicas prove by TLS that they are such.
    over_tls: bool,
}

struct MirrorWriter {
    news: mpsc::Receiver<News>,
    seal: Seal,
    ready: VecDeque<Vec<u8>>,
}

impl Mirrors {
    pub(crate) fn new(handle: Handle, seals: Seals, over_tls: bool) -> Self {
        Self { handle, seals, over_tls }
    }

    async fn open(&self, caller: &Caller, request: v1::MirrorRequest) -> Result<MirrorWriter, Refusal> {
        if self.over_tls && !caller.is_replica() {
            return Err(Refusal::NotAReplica);
        }
        let fair = request.nonce.len() == RANDOM_BYTES && request.sealed.len() <= 1024;
        let name = fair.then(|| self.seals.of_request(&request.nonce).open(request.sealed)).flatten();
        let name = name.ok_or(Refusal::NotAReplica)?;
        let news = self.handle.mirror(caller).await?;
        tracing::info!(replica = %String::from_utf8_lossy(&name), "a standby mirrors this replica");
        let random = random();
        let seal = self.seals.of_stream(&request.nonce, &random);
        // In the clear: without it no key is complete.
        Ok(MirrorWriter { news, seal, ready: VecDeque::from([random]) })
    }
}

impl MirrorWriter {
    async fn next(&mut self) -> Option<Result<v1::MirrorResponse, Status>> {
        loop {
            if let Some(sealed) = self.ready.pop_front() {
                return Some(Ok(v1::MirrorResponse { sealed }));
            }
            match tokio::time::timeout(HEARTBEAT, self.news.recv()).await {
                Ok(Some(news)) => {
                    let sealed = frames(&news).into_iter().map(|frame| self.seal.seal(frame.encode_to_vec()));
                    self.ready.extend(sealed);
                }
                // The tenure is over, or this mirror was too slow.
                Ok(None) => return Some(Err(Refusal::from(Reject::NotActive).into())),
                Err(_) => return Some(Ok(v1::MirrorResponse::default())),
            }
        }
    }
}

#[tonic::async_trait]
impl ReplicaService for Mirrors {
    type MirrorStream = Pin<Box<dyn Stream<Item = Result<v1::MirrorResponse, Status>> + Send>>;

    async fn mirror(&self, request: Request<v1::MirrorRequest>) -> Result<Response<Self::MirrorStream>, Status> {
        let caller = Caller::of(&request);
        let open = self.open(&caller, request.into_inner()).await?;
        let stream = futures::stream::unfold(Some(open), |open| async {
            let mut open = open?;
            let next = open.next().await?;
            let open = next.is_ok().then_some(open);
            Some((next, open))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}
