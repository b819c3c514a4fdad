//! Restarts of a real server, after a crash and after an orderly stop: who leads, who waits, and
//! for how long.

use anyhow::{Context as _, ensure};
use leasehold_harness::{
    Campaign, ElectionClient, Keeper, Observer, PATIENCE, Server, leased, reopened, seen, stream_bound,
};
use leasehold_proto::v1::{
    CampaignRequest, CandidacyState, ChangeReason, EndReason, GetElectionRequest, GetStatusRequest, GetStatusResponse,
    Leadership,
};
use std::time::{Duration, Instant};

const KEEP: Duration = Duration::from_millis(200);

async fn status(server: &Server) -> anyhow::Result<GetStatusResponse> {
    Ok(server.admin().await?.get_status(GetStatusRequest {}).await?.into_inner())
}

async fn leadership(client: &mut ElectionClient, election: &str) -> anyhow::Result<Leadership> {
    let request = GetElectionRequest { election: election.to_owned() };
    Ok(client.get_election(request).await?.into_inner().election.context("it is always set")?.leadership())
}

#[tokio::test]
async fn a_crash_changes_no_leader_whose_ttl_outlasts_it() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("5s").start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/crash", "leader", 5_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut second = Campaign::open(&mut client, leased("jobs/crash", "second", 5_000)).await?;
    let mut third = Campaign::open(&mut client, leased("jobs/crash", "third", 5_000)).await?;
    third.waiting().await?;
    let former = leader.tenure;
    // The one that waits longer comes back later.
    let keeper = Keeper::start(&client, &[&third, &leader, &second], KEEP);
    tokio::time::sleep(KEEP * 3).await;
    server.kill9().await?;
    for campaign in [&mut leader, &mut second, &mut third] {
        campaign.failure().await?;
    }
    server.restart().await?;

    let result = keeper.answered_after(1, former).await?;
    assert_eq!((result.state(), result.fencing_token), (CandidacyState::Leading, token), "{result:?}");
    assert_eq!(keeper.answered_after(0, former).await?.state(), CandidacyState::Waiting);
    assert_eq!(keeper.answered_after(2, former).await?.state(), CandidacyState::Waiting);
    let mut leader = Campaign::open(&mut client, reopened(&keeper.ticket(1))).await?;
    assert_eq!(leader.elected().await?.fencing_token, token);
    let mut third = Campaign::open(&mut client, reopened(&keeper.ticket(0))).await?;
    let mut second = Campaign::open(&mut client, reopened(&keeper.ticket(2))).await?;
    assert!(leader.resign(&mut client).await?.was_leading);
    let next = second.elected().await?.fencing_token;
    ensure!(next > token && second.tenure > former, "{next} after {token}");
    third.waiting().await?;
    third.quiet_for(KEEP * 2).await?;
    Ok(())
}

#[tokio::test]
async fn after_a_crash_nothing_is_granted_before_the_longest_ttl_has_passed() -> anyhow::Result<()> {
    const SETTLING: Duration = Duration::from_millis(3_150);
    let mut server = Server::builder().arg("--max-ttl").arg("3s").start().await?;
    let mut client = server.elections().await?;
    let mut silent = Campaign::open(&mut client, leased("jobs/led", "silent", 3_000)).await?;
    let token = silent.elected().await?.fencing_token;
    server.kill9().await?;
    let stopped = Instant::now();
    server.restart().await?;
    let ready = Instant::now();

    let settling = status(&server).await?.settling.context("it settles")?;
    ensure!(Duration::try_from(settling)? <= SETTLING, "{settling:?}");
    let mut fresh = Campaign::open(&mut client, stream_bound("jobs/fresh", "x")).await?;
    let waiting = fresh.waiting().await?;
    ensure!(waiting.ahead == 0 && waiting.settling.is_some(), "{waiting:?}");
    let mut heir = Campaign::open(&mut client, leased("jobs/led", "heir", 3_000)).await?;
    let _keeper = Keeper::start(&client, &[&heir], KEEP);
    let attempt = CampaignRequest { no_wait: true, ..leased("jobs/try", "x", 3_000) };
    let ended = Campaign::open(&mut client, attempt).await?.ended().await?;
    assert_eq!(ended.reason(), EndReason::NotGranted);
    for election in ["jobs/led", "jobs/fresh", "jobs/unknown"] {
        assert_eq!(leadership(&mut client, election).await?, Leadership::Unsettled, "{election}");
    }
    // Until it has settled, absence says nothing: no Synced mark.
    let mut observer = Observer::of(&mut client, "jobs/unknown").await?;

    let fresh_token = fresh.elected().await?.fencing_token;
    ensure!(stopped.elapsed() >= SETTLING, "a grant {:?} after the crash", stopped.elapsed());
    observer.synced().await?;
    ensure!(ready.elapsed() < SETTLING + PATIENCE / 3, "a grant only {:?} after the start", ready.elapsed());
    ensure!(heir.elected().await?.fencing_token > token && fresh_token > token);
    assert_eq!(leadership(&mut client, "jobs/unknown").await?, Leadership::Vacant);
    assert_eq!(status(&server).await?.settling, None);
    Ok(())
}

#[tokio::test]
async fn after_an_orderly_stop_nobody_waits_and_everyone_has_their_place() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/stop", "leader", 15_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let value = leader.proclaim(&mut client, "10.0.0.7:80").await?;
    let second = Campaign::open(&mut client, leased("jobs/stop", "second", 15_000)).await?;
    let mut third = Campaign::open(&mut client, leased("jobs/stop", "third", 15_000)).await?;
    third.waiting().await?;
    let former = leader.tenure;
    let ending = server.sigterm(Duration::from_secs(5)).await?;
    assert_eq!(ending.status.code(), Some(0), "{}", ending.stderr);
    server.restart().await?;

    assert_eq!(status(&server).await?.settling, None);
    // The service that comes back knows the leader before that one has said a word.
    let (snapshot, _) = Observer::of(&mut client, "jobs/stop").await?.synced().await?;
    let told = snapshot[0].leader.as_ref().context("it is led")?;
    assert_eq!((told.candidate.as_str(), told.fencing_token, told.value.as_str()), ("leader", token, "10.0.0.7:80"));
    ensure!(value.revision < snapshot[0].revision, "putting back is a change");
    let mut fourth = Campaign::open(&mut client, leased("jobs/stop", "fourth", 15_000)).await?;
    assert_eq!(fourth.waiting().await?.ahead, 3);
    let mut fresh = Campaign::open(&mut client, leased("jobs/fresh", "x", 15_000)).await?;
    ensure!(fresh.elected().await?.fencing_token > token && fresh.tenure > former);
    let mut third = Campaign::open(&mut client, reopened(&third.ticket)).await?;
    let mut second = Campaign::open(&mut client, reopened(&second.ticket)).await?;
    let result = leader.keep_alive(&mut client).await?;
    assert_eq!((result.state(), result.fencing_token), (CandidacyState::Leading, token));
    leader.resign(&mut client).await?;
    let mut last = token;
    for campaign in [&mut second, &mut third, &mut fourth] {
        let next = campaign.elected().await?.fencing_token;
        ensure!(next > last, "{next} after {last}");
        last = next;
        campaign.resign(&mut client).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_observer_is_told_of_a_leader_that_came_back() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("5s").start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/back", "leader", 5_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut observer = Observer::of(&mut client, "jobs/back").await?;
    let (_, revision) = observer.synced().await?;
    let _keeper = Keeper::start(&client, &[&leader], KEEP);
    tokio::time::sleep(KEEP * 3).await;
    server.kill9().await?;
    observer.failure().await?;
    server.restart().await?;

    let mut observer = Observer::of(&mut client, "jobs/back").await?;
    let (snapshot, synced) = observer.synced().await?;
    let change = snapshot.last().context("the snapshot names it")?;
    assert_eq!((seen(change).leader.as_deref(), change.reason()), (Some("leader"), ChangeReason::Restored));
    assert_eq!(change.leader.as_ref().context("it is led")?.fencing_token, token);
    ensure!(change.revision > revision && synced >= change.revision && observer.tenure > leader.tenure);
    Ok(())
}

#[tokio::test]
async fn tokens_and_tenures_rise_over_all_restarts() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("1s").start().await?;
    let (mut last_token, mut last_tenure) = (0, 0);
    for restart in 0..8 {
        let mut client = server.elections().await?;
        for _ in 0..3 {
            let mut campaign = Campaign::open(&mut client, stream_bound("jobs/rise", "x")).await?;
            let token = campaign.elected().await?.fencing_token;
            ensure!(token > last_token, "restart {restart}: {token} after {last_token}");
            ensure!(campaign.tenure >= last_tenure && token > campaign.tenure, "restart {restart}");
            (last_token, last_tenure) = (token, campaign.tenure);
        }
        if restart % 2 == 0 {
            server.kill9().await?;
        } else {
            server.sigterm(Duration::from_secs(5)).await?;
        }
        server.restart().await?;
        let tenure = status(&server).await?.tenure;
        ensure!(tenure > last_token, "restart {restart}: tenure {tenure} after token {last_token}");
    }
    Ok(())
}
