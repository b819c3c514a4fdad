//! The standby's side of the mirror: follows the active replica, and tells the loop what it has.

use super::frame::{Frame, batch, longest};
use super::seal::{Seal, Seals, random};
use crate::handle::Handle;
use crate::net;
use crate::tls::ReplicaLinks;
use leasehold_core::{Active, Holder, Input, MAX_MAX_CANDIDACIES};
use leasehold_proto::v1;
use leasehold_proto::v1::replica_service_client::ReplicaServiceClient;
use prost::Message;
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Code, Status, Streaming};

/// The other side sends something every 5 s.
const LONGEST_SILENCE: Duration = Duration::from_secs(12);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(300);
/// Between two tries with a replica whose frames can't be read. Each try makes that replica send
/// all that it has.
const RETRY_UNREADABLE: Duration = Duration::from_secs(30);
/// A batch has at most so many frames: all candidacies, a long value each.
const MAX_FRAMES: usize = MAX_MAX_CANDIDACIES / 100;

/// How a mirror is asked for.
pub(crate) struct MirrorWay {
    pub(crate) seals: Seals,
    pub(crate) me: Holder,
    /// None: in plain text. The mirror is sealed besides.
    pub(crate) tls: Option<ReplicaLinks>,
}

/// Mirrors whoever is active, until nobody is left to tell.
pub(crate) async fn follow(mut active: watch::Receiver<Option<Active>>, handle: Handle, way: MirrorWay) {
    loop {
        let followed = active.borrow_and_update().clone();
        let changed = match followed {
            None => active.changed().await,
            Some(followed) => {
                tokio::select! {
                    changed = active.changed() => changed,
                    () = mirror_for_a_while(&followed, &handle, &way) => Ok(()),
                }
            }
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn mirror_for_a_while(active: &Active, handle: &Handle, way: &MirrorWay) {
    let mut retry = RETRY;
    if let Err(error) = mirror(active, handle, way).await {
        let address = &active.address;
        if error.code() == Code::DataLoss {
            tracing::warn!(%address, error = error.message(), "the active replica can't be mirrored");
            retry = RETRY_UNREADABLE;
        } else {
            tracing::debug!(%address, %error, "the mirror of the active replica broke");
        }
    }
    tokio::time::sleep(retry).await;
}

async fn mirror(active: &Active, handle: &Handle, way: &MirrorWay) -> Result<(), Status> {
    let mut stream = open(active, way).await?;
    let mut frames = Vec::new();
    loop {
        let frame = stream.next().await?;
        let goes_on = frame.goes_on;
        frames.push(frame);
        if goes_on && frames.len() < MAX_FRAMES {
            continue;
        }
        let (batch, snapshot) =
            batch(&std::mem::take(&mut frames)).map_err(|error| Status::data_loss(error.to_string()))?;
        let input = if snapshot { Input::MirrorSnapshot(batch) } else { Input::MirrorChanged(batch) };
        if handle.mirrored(input).await.is_err() {
            return Ok(());
        }
    }
}

struct Reader {
    stream: Streaming<v1::MirrorResponse>,
    seal: Seal,
}

async fn open(active: &Active, MirrorWay { seals, me, tls }: &MirrorWay) -> Result<Reader, Status> {
    let connected = net::connect(&net::endpoint(&active.address), tls.as_ref()).await;
    let channel = connected.map_err(|error| Status::from_error(Box::new(error)))?;
    let mut client = ReplicaServiceClient::new(channel).max_decoding_message_size(longest(MAX_MAX_CANDIDACIES) + 1024);
    let nonce = random();
    let sealed = seals.of_request(&nonce).seal(me.0.clone().into_bytes());
    let request = v1::MirrorRequest { nonce: nonce.clone(), sealed };
    let answer = tokio::time::timeout(LONGEST_SILENCE, client.mirror(request)).await.map_err(|_| silent())??;
    let mut stream = answer.into_inner();
    let random = next(&mut stream).await?;
    let seal = seals.of_stream(&nonce, &random);
    Ok(Reader { stream, seal })
}

impl Reader {
    async fn next(&mut self) -> Result<Frame, Status> {
        loop {
            let sealed = next(&mut self.stream).await?;
            if sealed.is_empty() {
                continue;
            }
            let plain = self.seal.open(sealed).ok_or_else(|| {
                Status::unauthenticated(
                    "a frame of the mirror was sealed with another key: do replicas use one Secret?",
                )
            })?;
            return Frame::decode(&*plain).map_err(|error| Status::data_loss(error.to_string()));
        }
    }
}

async fn next(stream: &mut Streaming<v1::MirrorResponse>) -> Result<Vec<u8>, Status> {
    let message = tokio::time::timeout(LONGEST_SILENCE, stream.message()).await.map_err(|_| silent())??;
    Ok(message.ok_or_else(|| Status::unavailable("the mirror ended"))?.sealed)
}

fn silent() -> Status {
    Status::deadline_exceeded("the active replica is silent")
}
