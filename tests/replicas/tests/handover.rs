//! SIGTERM of the active replica, and a rolling restart of all three: no leader changes, and nobody waits.

use leasehold_replica_tests::Group;
use std::time::Duration;

const START: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_changes_no_leader() -> anyhow::Result<()> {
    let mut group = Group::builder().start().await?;
    let first = group.settled(START).await?;
    let client = leasehold::Client::connect(group.endpoints()).await?;
    let leadership = client.campaign("billing/nightly").candidate("one").await?;
    let token = leadership.fencing_token();
    tokio::time::sleep(Duration::from_secs(1)).await;
    group.replicas[first].server.sigterm(Duration::from_secs(10)).await?;
    let second = group.settled(Duration::from_secs(2)).await?;
    assert_ne!(first, second);
    let election = client.get("billing/nightly").await?;
    assert_eq!(election.leader.map(|leader| leader.fencing_token), Some(token));
    assert!(leadership.is_leading());
    leadership.resign().await?;
    Ok(())
}
