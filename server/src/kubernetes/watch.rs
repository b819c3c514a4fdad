//! Watches the Lease, so that a standby takes a released Lease over at once, and not at the next
//! poll. A watch may tell of an old Lease, and may fall silent: the core expects both.

use super::object::vouched;
use super::store::Objects;
use super::{ApiError, Cluster, bounded};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::api::{ListParams, WatchEvent, WatchParams};
use leasehold_core::Input;
use std::time::Duration;
use tokio::sync::mpsc;

/// The API server ends a watch after so many seconds; then the next one begins.
const WATCH_SECONDS: u32 = 30;
/// A watch that is silent for longer has been cut without a word.
const LONGEST_SILENCE: Duration = Duration::from_secs(40);
/// After a watch that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Watches until nobody listens.
pub(crate) async fn watch(cluster: Cluster, objects: Objects, inputs: mpsc::Sender<Input>) {
    while !inputs.is_closed() {
        match one_watch(&cluster, &objects, &inputs).await {
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(lease = cluster.lease, %error, "the watch of the Lease broke; it is polled meanwhile");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn one_watch(cluster: &Cluster, objects: &Objects, inputs: &mpsc::Sender<Input>) -> Result<(), ApiError> {
    let selector = format!("metadata.name={}", cluster.lease);
    let leases = cluster.watched_leases();
    let list = bounded(cluster.request_timeout, leases.list(&ListParams::default().fields(&selector))).await?;
    let from = list.metadata.resource_version.unwrap_or_default();
    tell(objects, inputs, list.items.into_iter().next()).await;
    let params = WatchParams::default().fields(&selector).timeout(WATCH_SECONDS);
    let mut events = bounded(cluster.request_timeout, leases.watch(&params, &from)).await?.boxed();
    loop {
        let event = match tokio::time::timeout(LONGEST_SILENCE, events.next()).await {
            Ok(Some(event)) => event?,
            Ok(None) => return Ok(()),
            Err(_) => return Err(ApiError::Silent { limit: LONGEST_SILENCE }),
        };
        match event {
            WatchEvent::Added(lease) | WatchEvent::Modified(lease) => tell(objects, inputs, Some(lease)).await,
            WatchEvent::Deleted(_) => tell(objects, inputs, None).await,
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(error) => return Err(kube::Error::Api(error).into()),
        }
    }
}

async fn tell(objects: &Objects, inputs: &mpsc::Sender<Input>, lease: Option<LeaseObject>) {
    let clock_floor = vouched(lease.as_ref());
    let lease = lease.map(|lease| objects.keep(lease));
    // A loop that is gone needs no news.
    let _ = inputs.send(Input::Watched { lease, clock_floor }).await;
}
