//! Events on the Lease: who became active, and how the last tenure ended. Without the right to
//! write them nothing else changes.

use leasehold_replica_tests::{Group, LEASE, NAMESPACE, RULES};
use serde_json::Value;
use std::time::{Duration, Instant};

const START: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);

/// Reason and reporting replica of each Event on the Lease, in the order in which they were
/// written.
async fn events(group: &Group) -> anyhow::Result<Vec<(String, String)>> {
    let lease = group.lease().await?;
    let list = group.plane.admin().json(&["get", "events.events.k8s.io", "--namespace", NAMESPACE]).await?;
    let mut events: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
    events.retain(|event| {
        let regarding = &event["regarding"];
        regarding["kind"] == "Lease" && regarding["name"] == LEASE && regarding["uid"] == lease["metadata"]["uid"]
    });
    events.sort_by_key(|event| event["eventTime"].as_str().unwrap_or_default().to_owned());
    let word = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let replica = |event: &Value| word(event, "reportingInstance").split('_').next().unwrap_or_default().to_owned();
    Ok(events.iter().map(|event| (word(event, "reason"), replica(event))).collect())
}

async fn expect(group: &Group, wanted: &[(&str, usize)]) -> anyhow::Result<()> {
    let wanted: Vec<(String, String)> =
        wanted.iter().map(|(why, who)| ((*why).to_owned(), format!("r{who}"))).collect();
    let deadline = Instant::now() + SOON;
    loop {
        let found = events(group).await?;
        if found == wanted {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{found:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_active_replica_leaves_events() -> anyhow::Result<()> {
    let mut group = Group::builder().count(2).arg("--max-ttl").arg("1s").start().await?;
    let first = group.settled(START).await?;
    expect(&group, &[("BecameActive", first)]).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    group.replicas[first].server.sigterm(Duration::from_secs(10)).await?;
    let second = group.settled(SOON).await?;
    expect(&group, &[("BecameActive", first), ("HandedOver", first), ("BecameActive", second)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_write_events_nothing_else_changes() -> anyhow::Result<()> {
    let without = RULES.split("- apiGroups: ['', events.k8s.io]").next().unwrap_or_default();
    assert!(!without.contains("events") && without.contains("secrets"), "{without}");
    let mut group = Group::builder().count(2).rules(without).arg("--max-ttl").arg("1s").start().await?;
    let first = group.settled(START).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    group.replicas[first].server.sigterm(Duration::from_secs(10)).await?;
    group.settled(SOON).await?;
    expect(&group, &[]).await
}
