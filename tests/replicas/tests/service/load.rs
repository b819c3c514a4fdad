//! Writes to the API server don't grow with elections.

use crate::START;
use anyhow::ensure;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use leasehold_harness::{Campaign, ElectionClient, leased};
use leasehold_proto::v1::{CandidacyState, KeepAliveItem, KeepAliveRequest};
use leasehold_replica_tests::{Group, LEASE, NAMESPACE};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
const MANY: usize = 5_000;
/// A call of KeepAlive takes so many tickets.
const BATCH: usize = 1_000;
/// A third of the TTL of 6 s.
const KEEP: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_election_and_five_thousand_cost_the_api_server_the_same() -> anyhow::Result<()> {
    let (one, many) = tokio::try_join!(writes_in_a_minute(1), writes_in_a_minute(MANY))?;
    println!("writes to the API server in a minute: {one} with 1 election, {many} with {MANY}");
    ensure!(one.abs_diff(many) <= 2, "{one} with one election, {many} with {MANY}");
    Ok(())
}

/// Writes of replicas that keep so many elections led for a minute.
async fn writes_in_a_minute(elections: usize) -> anyhow::Result<usize> {
    let group = Group::builder().count(2).quick().start().await?;
    // It needn't grant yet: whoever waits is granted then.
    let active = group.active(START).await?;
    let client = group.replicas[active].server.elections().await?;
    let tickets: Vec<Vec<u8>> = stream::iter(0..elections)
        .map(|number| {
            let mut client = client.clone();
            async move {
                let campaign = Campaign::open(&mut client, leased(&format!("load/{number}"), "only", 6_000)).await?;
                anyhow::Ok(campaign.ticket)
            }
        })
        .buffer_unordered(50)
        .try_collect()
        .await?;
    let kept = Kept(Arc::new(Mutex::new(tickets)));
    let keeper = tokio::spawn(kept.clone().alive(client));
    group.settled(START).await?;
    let deadline = Instant::now() + START;
    while group.replicas[active].status().await?.leaders != elections as u64 {
        ensure!(Instant::now() < deadline, "not all are led: {:?}", group.replicas[active].status().await?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What raises the ceiling of numbers is behind it.
    tokio::time::sleep(KEEP).await;
    let before = replicas_writes(&group).await?;
    tokio::time::sleep(MINUTE).await;
    let writes = replicas_writes(&group).await? - before;
    let status = group.replicas[active].status().await?;
    assert_eq!(status.leaders, elections as u64, "all are led still, by the same replica: {status:?}");
    ensure!(!keeper.is_finished(), "{:?}", keeper.await);
    keeper.abort();
    Ok(writes)
}

/// All that the replicas have written, whatever it was.
async fn replicas_writes(group: &Group) -> anyhow::Result<usize> {
    let account = format!("system:serviceaccount:{NAMESPACE}:leasehold");
    let all = group.plane.writes().await?.iter().filter(|write| write.user == account).count();
    let leases = group.plane.write_count(NAMESPACE, LEASE).await?;
    ensure!(leases > 0 && all >= leases - 1, "{all} writes, {leases} of them to the Lease");
    Ok(all)
}

#[derive(Debug, Clone)]
struct Kept(Arc<Mutex<Vec<Vec<u8>>>>);

impl Kept {
    /// Keeps all alive, as one worker with many elections would: few calls, no streams.
    async fn alive(self, mut client: ElectionClient) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(KEEP);
        loop {
            ticks.tick().await;
            let tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for (index, batch) in tickets.chunks(BATCH).enumerate() {
                let item = |ticket: &Vec<u8>| KeepAliveItem { ticket: ticket.clone(), want_task_token: false };
                let request = KeepAliveRequest { items: batch.iter().map(item).collect() };
                let results = client.keep_alive(request).await?.into_inner().results;
                let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                for (ticket, result) in kept.iter_mut().skip(index * BATCH).zip(results) {
                    let alive = [CandidacyState::Waiting, CandidacyState::Leading].contains(&result.state());
                    ensure!(alive, "{result:?}");
                    *ticket = result.ticket;
                }
            }
        }
    }
}
