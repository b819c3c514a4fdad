//! Events on the Lease: `kubectl events` shows when another replica became active. Nobody waits for
//! an Event, and an Event that doesn't fit into the queue is lost.

use super::store::Objects;
use super::{Cluster, bounded, name};
use crate::clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::PostParams;
use leasehold_core::{Tenure, TenureEnd};
use leasehold_shell::Fact;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Facts that wait to be written. A tenure has two: more of them wait only while the API server is
/// silent.
const WAITING: usize = 8;
/// How long a process that ends waits for its last Event. What matters more has been stored by
/// then.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Who says so.
const CONTROLLER: &str = "leasehold.dev/server";
/// The API server takes notes of 1 kB.
const MAX_NOTE_BYTES: usize = 1024;

/// The loop's end. The task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct EventWriter {
    facts: mpsc::Sender<(Fact, Timestamp)>,
    task: JoinHandle<()>,
}

impl EventWriter {
    pub(crate) fn start(cluster: Cluster, objects: Objects) -> Self {
        let (facts, mut received) = mpsc::channel(WAITING);
        let task = tokio::spawn(async move {
            let events: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
            while let Some((fact, at)) = received.recv().await {
                let event = event(&cluster, &objects, fact, at);
                let create = bounded(cluster.request_timeout, events.create(&PostParams::default(), &event)).await;
                if let Err(error) = create {
                    tracing::debug!(%error, ?fact, "no Event was written");
                }
            }
        });
        Self { facts, task }
    }

    /// Lets what was told be written, for a while: a process that ends in good order says so last.
    pub(crate) async fn finish(self) {
        drop(self.facts);
        let _ = tokio::time::timeout(LAST_WORDS, self.task).await;
    }

    /// Never waits.
    pub(crate) fn tell(&self, fact: Fact) {
        let _ = self.facts.try_send((fact, super::store::now()));
    }
}

fn event(cluster: &Cluster, objects: &Objects, fact: Fact, at: Timestamp) -> Event {
    let me = &cluster.me.0;
    let (kind, reason, action, mut note) = words(me, fact);
    let mut end = note.len().min(MAX_NOTE_BYTES);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.truncate(end);
    let mut event = Event {
        action: Some(action.to_owned()),
        event_time: Some(MicroTime(at)),
        note: Some(note),
        reason: Some(reason.to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            name: Some(cluster.lease.clone()),
            namespace: Some(cluster.namespace.clone()),
            // `kubectl describe` shows only what names the very object.
            uid: objects.uid(),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(me.chars().take(128).collect()),
        type_: Some(kind.to_owned()),
        ..Event::default()
    };
    // The clock makes names sort by age, the random part makes them unique.
    let unique = name(&format!("{:x}", clock::unix_millis())).0.replace('_', "");
    event.metadata.name = Some(format!("{}.{unique}", cluster.lease));
    event.metadata.namespace = Some(cluster.namespace.clone());
    event
}

/// Type, reason, action and note.
fn words(me: &str, fact: Fact) -> (&'static str, &'static str, &'static str, String) {
    match fact {
        Fact::Began { tenure: Tenure(tenure), .. } => {
            ("Normal", "BecameActive", "BecomeActive", format!("{me} became active: tenure {tenure}"))
        }
        Fact::Ended(Tenure(tenure), TenureEnd::Shutdown) => {
            ("Normal", "HandedOver", "HandOver", format!("{me} shuts down: tenure {tenure} ended in good order"))
        }
        Fact::Ended(Tenure(tenure), TenureEnd::RightEnded) => (
            "Warning",
            "LostLease",
            "StandBy",
            format!("{me} couldn't renew the Lease in time: tenure {tenure} ended, and it stands by"),
        ),
        Fact::Ended(Tenure(tenure), TenureEnd::Lost) => (
            "Warning",
            "LostLease",
            "StandBy",
            format!("{me} found another holder in the Lease: tenure {tenure} ended, and it stands by"),
        ),
        Fact::Ended(Tenure(tenure), TenureEnd::Behind) => (
            "Warning",
            "NumbersFellBack",
            "BeginAbove",
            format!(
                "{me} was shown a ticket with higher numbers than its own, so the Lease was lost or restored: tenure {tenure} \
                 ended, and the next one begins above them"
            ),
        ),
    }
}
