//! SIGTERM of the active replica, and a rolling restart of all three: no leader changes, and nobody
//! waits for an answer.

use crate::{SLACK, START};
use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, ElectionClient, Keeper, Observer, http_get, keep_alive, leased, reopened};
use leasehold_proto::v1::{CandidacyState, ObserveRequest, StepDownRequest};
use leasehold_replica_tests::{Conduct, Group, Prober, Probes, Terms, Witness};
use std::time::{Duration, Instant};
use tonic::Code;

/// The longest time without an answer.
const SILENCE: Duration = Duration::from_millis(500);
/// Kubernetes probes whether a pod is ready once a second at most.
const PROBE: Duration = Duration::from_secs(1);
/// How long a server may take to end.
const END: Duration = Duration::from_secs(10);
const KEEP: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_changes_no_leader_and_delays_nobody() -> anyhow::Result<()> {
    let mut group = Group::builder().quick().start().await?;
    let first = group.settled(START).await?;
    let watched = Terms::watch(&group)?;
    let mut witness = Witness::start(group.endpoints()).await?;
    let mut kept = Vec::new();
    for (election, ttl) in [("jobs/a", 6), ("jobs/b", 4), ("jobs/c", 2)] {
        kept.push(witness.pair(election, Duration::from_secs(ttl), Conduct::Keeps, START).await?);
    }
    let passes = Conduct::Passes(Duration::from_millis(200));
    witness.pair("jobs/passed", Duration::from_secs(6), passes, START).await?;
    let (election, token) = (kept[0].election.clone(), kept[0].token);
    let client = leasehold::Client::connect(group.endpoints()).await?;
    let by_client = Prober::of_client(client, &election, token);
    let standbys = group.others(first);
    let mut by_standby = Vec::new();
    for standby in &standbys {
        let elections = group.replicas[*standby].server.elections().await?;
        by_standby.push(Prober::of_channel(&format!("standby {standby}"), &elections, &election, token));
    }

    let mut through_standby = group.replicas[standbys[0]].server.elections().await?;
    let mut observer = Observer::open(&mut through_standby, observed(0)).await?;
    observer.synced().await?;

    let before = Before::prepare(&group, first, standbys[0]).await?;
    group.mirrored(first, &standbys, SLACK).await?;
    let ended = Instant::now();
    group.replicas[first].server.sigterm(END).await?;
    println!("SIGTERM: the replica ended after {:?}", ended.elapsed());
    // Everything was told before the end, so nothing has to be told again.
    assert_eq!(observer.failure().await?.code(), Code::Unavailable);
    ensure!(observer.complete > token, "Progress names the last change: {} and {token}", observer.complete);
    let mut observer = Observer::open(&mut through_standby, observed(observer.complete)).await?;
    let (restored, _) = observer.synced().await.context("it resumes without a Resync")?;
    ensure!(restored.iter().any(|change| change.election == election), "{restored:?}");
    drop(observer);
    before.went_on().await?;
    let granted = witness.led_since("jobs/passed", ended + SILENCE, SLACK).await?;
    ensure!(granted.from - ended < SILENCE + SLACK);
    for prober in by_standby {
        assert_short(&prober.finish().await?)?;
    }

    group.replicas[first].server.restart().await?;
    let mut left = vec![0, 1, 2];
    while !left.is_empty() {
        // The hardest order: whoever is active, if it wasn't restarted yet.
        let active = group.active(SLACK).await?;
        let next = left.iter().position(|number| *number == active).unwrap_or(0);
        let number = left.remove(next);
        group.replicas[number].server.sigterm(END).await?;
        group.replicas[number].server.restart().await?;
        ready(&group, number).await?;
    }
    group.settled(SLACK).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_short(&by_client.finish().await?)?;
    let record = witness.finish().await?;
    for lead in &kept {
        record.kept(lead)?;
    }
    let terms = watched.finish().await?;
    println!("rolling restart: {} tenures", terms.len());
    ensure!(terms.len() >= 3, "{terms:#?}");
    Ok(())
}

fn observed(after_revision: u64) -> ObserveRequest {
    ObserveRequest { prefix: "jobs/".to_owned(), after_revision, ..Default::default() }
}

/// What the machine has held up the prober for, it may have held up the replicas for as well.
fn assert_short(probes: &Probes) -> anyhow::Result<()> {
    ensure!(probes.longest_gap < SILENCE + probes.longest_delay, "{probes:#?}");
    Ok(())
}

/// As a rolling update waits.
async fn ready(group: &Group, number: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + START;
    let url = format!("{}/readyz", group.replicas[number].server.http());
    loop {
        tokio::time::sleep(PROBE).await;
        if http_get(&url).await?.status == 200 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "replica {number} isn't ready within {START:?}");
    }
}

/// An election whose leader was told to hand over, and one with waiters, before the active replica
/// ends.
struct Before {
    client: ElectionClient,
    drained: Campaign,
    heir: Campaign,
    /// When the drain ends.
    until: Instant,
    leader: Campaign,
    waiters: Vec<Campaign>,
    keeper: Keeper,
}

impl Before {
    async fn prepare(group: &Group, active: usize, standby: usize) -> anyhow::Result<Self> {
        let mut client = group.replicas[standby].server.elections().await?;
        let mut drained = Campaign::open(&mut client, leased("queue/drained", "drained", 6_000)).await?;
        drained.elected().await?;
        let mut heir = Campaign::open(&mut client, leased("queue/drained", "heir", 6_000)).await?;
        heir.waiting().await?;
        let mut leader = Campaign::open(&mut client, leased("queue/order", "leader", 6_000)).await?;
        leader.elected().await?;
        let mut waiters = Vec::new();
        for name in ["first", "second", "third"] {
            let mut waiter = Campaign::open(&mut client, leased("queue/order", name, 6_000)).await?;
            waiter.waiting().await?;
            waiters.push(waiter);
        }
        let alive: Vec<&Campaign> = [&leader, &heir].into_iter().chain(&waiters).collect();
        let keeper = Keeper::start(&client, &alive, KEEP);
        let request = StepDownRequest { election: "queue/drained".to_owned(), fencing_token: 0 };
        let mut admin = group.replicas[active].server.admin().await?;
        let asked = Instant::now();
        let answer = admin.step_down(request).await?.into_inner();
        let until = asked + Duration::try_from(answer.remaining.context("it is said")?)?;
        Ok(Self { client, drained, heir, until, leader, waiters, keeper })
    }

    /// After the handover: the drain ends when it would have ended, and waiters are granted in
    /// their order.
    async fn went_on(mut self) -> anyhow::Result<()> {
        let answered = self.keeper.answered_after(0, self.leader.tenure).await?;
        assert_eq!(answered.state(), CandidacyState::Leading, "{answered:?}");
        let result = keep_alive(&mut self.client, &self.drained.ticket).await?;
        assert_eq!(result.state(), CandidacyState::Draining, "{result:?}");
        let left = Duration::try_from(result.remaining.context("it is said")?)?;
        ensure!(Instant::now() + left <= self.until + SILENCE, "the drain was extended: {left:?}");

        // The streams ended with the tenure: each goes on with its ticket.
        let mut streams = Vec::new();
        for index in 2..2 + self.waiters.len() {
            let ticket = self.keeper.ticket(index);
            let mut stream = Campaign::open(&mut self.client, reopened(&ticket)).await?;
            stream.waiting().await?;
            streams.push(stream);
        }
        self.leader.ticket = self.keeper.ticket(0);
        ensure!(self.leader.resign(&mut self.client).await?.was_leading);
        let mut last = 0;
        for stream in &mut streams {
            let token = stream.elected().await?.fencing_token;
            ensure!(token > last, "{token} after {last}");
            last = token;
            ensure!(stream.resign(&mut self.client).await?.was_leading);
        }

        let ticket = self.keeper.ticket(1);
        let mut heir = Campaign::open(&mut self.client, reopened(&ticket)).await?;
        let elected = heir.elected().await?;
        let late = Instant::now().checked_duration_since(self.until).context("the next one was granted too early")?;
        ensure!(late < SLACK, "the drain ended {late:?} late");
        ensure!(elected.fencing_token > last);
        drop((self.keeper, self.heir));
        ensure!(heir.resign(&mut self.client).await?.was_leading);
        Ok(())
    }
}
