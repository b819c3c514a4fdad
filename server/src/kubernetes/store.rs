//! The store on Kubernetes. It reads and writes the Lease, one request after the other. Each
//! request has a time limit, and a task of its own sends them, so that a hung API server never
//! holds up the loop.

use super::events::EventWriter;
use super::object::{self, FORMAT, Signature, seen, sign, strip, version, vouched};
use super::{ApiError, Cluster, bounded};
use crate::clock;
use crate::metrics::Metrics;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::api::PostParams;
use leasehold_core::{Input, Lease, Outcome, Over, Record, Version, WriteId};
use leasehold_shell::Fact;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// So many objects are kept, those that were seen last. A write replaces one of them, and keeps
/// what others have put into it.
const OBJECTS: usize = 8;
/// The core has at most one request under way, and one more when it stops.
const REQUESTS: usize = 4;

/// The objects that were seen last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects(Arc<Mutex<VecDeque<LeaseObject>>>);

impl Objects {
    /// Keeps an object, and says what the core sees in it.
    pub(crate) fn keep(&self, object: LeaseObject) -> Lease {
        let lease = seen(&object);
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let format = object::format(&object);
        if lease.content.newer.is_some() && objects.back().is_none_or(|last| object::format(last) != format) {
            tracing::warn!(
                "the Lease has the format {format}, and leasehold-server {} knows the format {FORMAT} only: this replica \
                 hands calls on, and never becomes active; upgrade it, or see \"Upgrade and rollback\" in \
                 docs/operations.md",
                env!("CARGO_PKG_VERSION")
            );
        }
        objects.retain(|kept| version(kept) != lease.version);
        objects.push_back(object);
        if objects.len() > OBJECTS {
            objects.pop_front();
        }
        lease
    }

    /// The uid of the Lease that was seen last. A Lease that is made again has another one.
    pub(super) fn uid(&self) -> Option<String> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objects.back().and_then(|object| object.metadata.uid.clone())
    }

    fn get(&self, wanted: &Version) -> Option<LeaseObject> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objects.iter().find(|object| version(object) == *wanted).cloned()
    }
}

#[derive(Debug)]
enum LeaseRequest {
    Read,
    Write(WriteId, Over, Option<Box<Record>>),
}

/// The loop's end of the store task. The task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct LeaseStore {
    requests: mpsc::Sender<LeaseRequest>,
    events: EventWriter,
}

impl LeaseStore {
    /// Starts the task. Results come as inputs.
    pub(crate) fn start(
        cluster: Cluster,
        signature: Signature,
        objects: Objects,
        metrics: Arc<Metrics>,
        results: mpsc::Sender<Input>,
    ) -> Self {
        let (requests, mut received) = mpsc::channel(REQUESTS);
        let events = EventWriter::start(cluster.clone(), objects.clone());
        let task = Task { cluster, signature, objects, metrics };
        tokio::spawn(async move {
            while let Some(request) = received.recv().await {
                let input = match request {
                    LeaseRequest::Read => task.read().await,
                    LeaseRequest::Write(write, over, record) => task.write(write, over, record.as_deref()).await,
                };
                if results.send(input).await.is_err() {
                    return;
                }
            }
        });
        Self { requests, events }
    }

    /// Writes an Event, at some time or never.
    pub(crate) fn tell(&self, fact: Fact) {
        self.events.tell(fact);
    }

    /// Ends the task, and lets what was told be written.
    pub(crate) async fn finish(self) {
        self.events.finish().await;
    }

    pub(crate) fn read(&self) {
        self.request(LeaseRequest::Read);
    }

    pub(crate) fn write(&self, write: WriteId, over: Over, record: Option<Box<Record>>) {
        self.request(LeaseRequest::Write(write, over, record));
    }

    fn request(&self, request: LeaseRequest) {
        self.requests.try_send(request).expect("the core has no more requests under way than fit, and the task lives");
    }
}

struct Task {
    cluster: Cluster,
    signature: Signature,
    objects: Objects,
    metrics: Arc<Metrics>,
}

impl Task {
    async fn read(&self) -> Input {
        let leases = self.cluster.leases();
        match bounded(self.cluster.request_timeout, leases.get_opt(&self.cluster.lease)).await {
            Ok(object) => {
                let clock_floor = vouched(object.as_ref());
                let lease = object.map(|object| self.objects.keep(object));
                Input::FoundLease { lease, clock_floor }
            }
            Err(error) => {
                tracing::warn!(lease = self.cluster.lease, %error, "can't read the Lease");
                Input::ReadFailed
            }
        }
    }

    async fn write(&self, write: WriteId, over: Over, record: Option<&Record>) -> Input {
        let before = clock::now();
        let result = self.send(&over, record).await;
        self.metrics.store_written(result.is_ok(), clock::now().since(before));
        let outcome = match result {
            Ok(object) => Outcome::Stored(Some(self.objects.keep(object).version)),
            Err(error) => self.failed(&over, &error),
        };
        Input::Written { write, outcome }
    }

    async fn send(&self, over: &Over, record: Option<&Record>) -> Result<LeaseObject, ApiError> {
        let object = match over {
            Over::Version(version) => self.objects.get(version),
            Over::Nothing | Over::Anything => {
                let mut object = LeaseObject::default();
                object.metadata.name = Some(self.cluster.lease.clone());
                Some(object)
            }
        };
        let gone =
            || ApiError::Refused { code: 409, message: "that version of the Lease isn't known any more".to_owned() };
        let object = object.ok_or_else(gone)?;
        let object = match record {
            Some(record) => sign(object, &self.signature, record, now()),
            None => strip(object),
        };
        let (leases, params) = (self.cluster.leases(), PostParams::default());
        let limit = self.cluster.request_timeout;
        match over {
            Over::Version(_) => bounded(limit, leases.replace(&self.cluster.lease, &params, &object)).await,
            Over::Nothing | Over::Anything => bounded(limit, leases.create(&params, &object)).await,
        }
    }

    fn failed(&self, over: &Over, error: &ApiError) -> Outcome {
        let lease = &self.cluster.lease;
        match error.code() {
            // 409: another version, or there is one already. 404: it is gone.
            Some(409 | 404) => {
                tracing::debug!(lease, %error, "somebody else has written the Lease");
                Outcome::Conflict
            }
            Some(403) if *over == Over::Nothing => {
                let namespace = &self.cluster.namespace;
                tracing::error!(lease, namespace, %error, "the Lease is gone, and this replica has no right to make one: create it, or grant the verb create on leases");
                Outcome::Unknown
            }
            _ => {
                tracing::warn!(lease, %error, "can't write the Lease");
                Outcome::Unknown
            }
        }
    }
}

pub(super) fn now() -> Timestamp {
    let millis = i64::try_from(clock::unix_millis()).unwrap_or(0);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}
