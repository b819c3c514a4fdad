//! Readers that don't read: the server's memory stays bounded, they get the newest state, and
//! others don't notice.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, ElectionClient, Keeper, Observer, Server, leased, rss_bytes, stream_bound};
use leasehold_proto::v1::observe_response::Event;
use leasehold_proto::v1::{CandidacyState, ObserveRequest, ProclaimRequest};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// Candidacies that lead, one an election.
async fn leaders(client: &mut ElectionClient, number: usize) -> anyhow::Result<Vec<Campaign>> {
    let mut open = Vec::new();
    for index in 0..number {
        let mut campaign = Campaign::open(client, leased(&format!("slow/{index}"), "leader", 15_000)).await?;
        campaign.elected().await?;
        open.push(campaign);
    }
    Ok(open)
}

/// Changes the values of all elections, at the same time, again and again; each value ends with its
/// number.
async fn proclaim(client: &ElectionClient, leaders: &[Campaign], rounds: usize, filler: usize) -> anyhow::Result<()> {
    let mut tasks = Vec::new();
    for leader in leaders {
        let (mut client, ticket) = (client.clone(), leader.ticket.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..rounds {
                let value = format!("{}{round:05}", "v".repeat(filler));
                client.proclaim(ProclaimRequest { ticket: ticket.clone(), value }).await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_observer_gets_the_newest_state_and_costs_nothing() -> anyhow::Result<()> {
    const ELECTIONS: usize = 10;
    const ROUNDS: usize = 2_000;
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let leaders = leaders(&mut client, ELECTIONS).await?;
    let tickets: Vec<&Campaign> = leaders.iter().collect();
    let _keeper = Keeper::start(&server.elections().await?, &tickets, Duration::from_secs(3));
    let mut slow = Observer::open(&mut server.elections().await?, ObserveRequest::default()).await?;
    assert_eq!(slow.synced().await?.0.len(), ELECTIONS);
    // What the first changes leave behind for observers that resume isn't the slow reader's doing.
    proclaim(&client, &leaders, ROUNDS / 10, 1_000).await?;
    let before = rss_bytes(server.pid())?;
    proclaim(&client, &leaders, ROUNDS, 1_000).await?;
    let grown = rss_bytes(server.pid())?.saturating_sub(before);
    ensure!(grown < 60 * MIB, "20,000 changes that nobody reads cost {} MiB", grown / MIB);

    let mut newest = vec![None; ELECTIONS];
    let (mut read, mut missed, mut last_revision) = (0, 0, 0);
    while newest.iter().any(|round| *round != Some(ROUNDS - 1)) {
        let change = slow.change().await.with_context(|| format!("after {read} changes: {newest:?}"))?;
        ensure!(change.revision > last_revision, "revision {} after {last_revision}", change.revision);
        last_revision = change.revision;
        let index: usize = change.election.strip_prefix("slow/").context("it is one of these")?.parse()?;
        let value = change.leader.context("each of them leads")?.value;
        newest[index] = Some(value.trim_start_matches('v').parse()?);
        read += 1;
        missed += usize::from(change.missed_changes);
    }
    ensure!(missed > 0 && read < ELECTIONS * ROUNDS, "it read {read} changes, {missed} with a gap before");
    // It is a normal observer again.
    leaders[0].resign(&mut client).await?;
    let change = slow.change().await?;
    ensure!(change.leader.is_none() && !change.missed_changes, "{change:?}");
    Ok(())
}

#[tokio::test]
async fn two_thousand_streams_that_nobody_reads_are_bounded_and_nobody_notices() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let leaders = leaders(&mut client, 10).await?;
    let tickets: Vec<&Campaign> = leaders.iter().collect();
    let keeper = Keeper::start(&server.elections().await?, &tickets, Duration::from_secs(1));
    let before = rss_bytes(server.pid())?;
    let _unread = unread_streams(&server).await?;
    let mut probe = server.elections().await?;
    let storm = tokio::spawn({
        let client = client.clone();
        async move { proclaim(&client, &leaders, 300, 4_000).await.map(|()| leaders) }
    });
    let mut slowest = Duration::ZERO;
    let mut probes = 0;
    while !storm.is_finished() {
        let sent = Instant::now();
        let result = leasehold_harness::keep_alive(&mut probe, &keeper.ticket(0)).await?;
        slowest = slowest.max(sent.elapsed());
        assert_eq!(result.state(), CandidacyState::Leading);
        probes += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let _leaders = storm.await??;
    let grown = rss_bytes(server.pid())?.saturating_sub(before);
    ensure!(grown < 200 * MIB, "2,000 streams that nobody reads cost {} MiB", grown / MIB);
    ensure!(slowest < Duration::from_secs(3), "of {probes} KeepAlives beside them one took {slowest:?}");
    assert!((0..10).all(|index| keeper.latest(index).is_some_and(|latest| latest.state() == CandidacyState::Leading)));
    // A new one is served as ever.
    let mut observer = Observer::of(&mut client, "slow/3").await?;
    assert!(matches!(observer.next().await?, Some(Event::Change(_))));
    Ok(())
}

/// 1,000 observers of everything and 1,000 candidates of one election, over four connections, never
/// read.
async fn unread_streams(server: &Server) -> anyhow::Result<(Vec<Observer>, Vec<Campaign>)> {
    let (mut observers, mut campaigns) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut client = server.elections().await?;
        for index in 0..250 {
            observers.push(Observer::open(&mut client, ObserveRequest::default()).await?);
            campaigns.push(Campaign::open(&mut client, stream_bound("slow/queue", &format!("{index}"))).await?);
        }
    }
    Ok((observers, campaigns))
}
