//! What the contract promises to whoever reads it naively, by raw gRPC: entries that are sent
//! twice, words that cross, holds, and observers that resume.

use anyhow::{Context as _, ensure};
use leasehold_harness::{
    Campaign, ElectionClient, Observer, PATIENCE, Server, assert_refused, leased, milliseconds, seen,
};
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::{
    CampaignRequest, CampaignResponse, CandidacyState, ChangeReason, Election, EndReason, GetElectionRequest,
    ListElectionsRequest, ObserveRequest,
};
use tonic::Code;

const TTL_MS: u32 = 15_000;

fn entry(election: &str, candidate: &str, attempt: &str) -> CampaignRequest {
    CampaignRequest { attempt: attempt.to_owned(), ..leased(election, candidate, TTL_MS) }
}

async fn state(client: &mut ElectionClient, election: &str) -> anyhow::Result<Election> {
    let request = GetElectionRequest { election: election.to_owned() };
    client.get_election(request).await?.into_inner().election.context("it is always set")
}

#[tokio::test]
async fn a_campaign_that_is_sent_twice_makes_one_candidacy() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    // The stream breaks before Enrolled was read: nobody has a ticket.
    drop(client.campaign(entry("jobs/twice", "x", "one")).await?);
    let mut x = Campaign::open(&mut client, entry("jobs/twice", "x", "one")).await?;
    let token = x.elected().await?.fencing_token;
    assert_eq!(state(&mut client, "jobs/twice").await?.waiting, 0, "it doesn't queue behind itself");
    // Both streams live: the older one is told not to come back.
    let mut again = Campaign::open(&mut client, entry("jobs/twice", "x", "one")).await?;
    assert_eq!(again.elected().await?.fencing_token, token);
    assert_refused(&x.failure().await?, Code::Aborted, "SUPERSEDED", &[]);
    // Another name, or another attempt, is another entry.
    let mut other = Campaign::open(&mut client, entry("jobs/twice", "y", "one")).await?;
    assert_eq!(other.waiting().await?.ahead, 1);
    again.resign(&mut client).await?;
    other.elected().await?;
    let mut anew = Campaign::open(&mut client, entry("jobs/twice", "x", "one")).await?;
    assert_eq!(anew.waiting().await?.ahead, 1, "what is over isn't found");
    let spaces = Campaign::open(&mut client, entry("jobs/twice", "x", "o n e")).await;
    assert_refused(&spaces.expect_err("it isn't printable"), Code::InvalidArgument, "INVALID_NAME", &["attempt"]);
    Ok(())
}

#[tokio::test]
async fn an_entry_is_found_after_a_restart_in_good_order() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut x = Campaign::open(&mut client, entry("jobs/found", "x", "one")).await?;
    let token = x.elected().await?.fencing_token;
    server.sigterm(PATIENCE).await?;
    server.restart().await?;
    let mut x = Campaign::open(&mut client, entry("jobs/found", "x", "one")).await?;
    assert_eq!(x.elected().await?.fencing_token, token);
    Ok(())
}

#[tokio::test]
async fn of_two_words_about_a_candidacy_the_newer_one_has_the_higher_version() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut a = Campaign::open(&mut client, leased("jobs/versions", "a", TTL_MS)).await?;
    a.elected().await?;
    let mut stream = client.campaign(leased("jobs/versions", "b", TTL_MS)).await?.into_inner();
    let mut next = async || -> anyhow::Result<CampaignResponse> {
        let next = tokio::time::timeout(PATIENCE, stream.message()).await?;
        next?.context("the stream goes on")
    };
    let enrolled = next().await?;
    let Some(Event::Enrolled(mine)) = &enrolled.event else { panic!("{enrolled:?}") };
    let ticket = mine.ticket.clone();
    let waits = leasehold_harness::keep_alive(&mut client, &ticket).await?;
    assert_eq!((waits.state(), waits.version), (CandidacyState::Waiting, enrolled.version));
    assert_eq!(next().await?.version, enrolled.version, "Waiting");
    a.resign(&mut client).await?;
    let elected = next().await?;
    ensure!(elected.version > waits.version, "{elected:?} after {waits:?}");
    let Some(Event::Elected(lead)) = &elected.event else { panic!("{elected:?}") };
    let leads = leasehold_harness::keep_alive(&mut client, &ticket).await?;
    assert_eq!((leads.state(), leads.version), (CandidacyState::Leading, elected.version));
    ensure!(elected.version < 1 << 53 && elected.tenure < 1 << 53);
    server.sigterm(PATIENCE).await?;
    server.restart().await?;
    let after = leasehold_harness::keep_alive(&mut client, &lead.ticket).await?;
    assert_eq!((after.state(), after.fencing_token), (CandidacyState::Leading, lead.fencing_token));
    ensure!(after.version > leads.version, "a later tenure's words are newer: {after:?}");
    Ok(())
}

#[tokio::test]
async fn an_election_on_hold_is_not_granted_again() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let tick = |name: &str, hold_ms: u32| CampaignRequest {
        no_wait: true,
        hold: Some(milliseconds(hold_ms)),
        ..leased("cron/tick", name, TTL_MS)
    };
    let mut all = Observer::open(&mut client, ObserveRequest::default()).await?;
    all.synced().await?;
    let mut first = Campaign::open(&mut client, tick("first", 8_000)).await?;
    let token = first.elected().await?.fencing_token;
    first.resign(&mut client).await?;
    for change in [all.change().await?, all.change().await?] {
        ensure!(change.hold.is_some_and(|hold| hold.seconds >= 5), "observers see it: {change:?}");
    }
    let refused = async |client: &mut ElectionClient| -> anyhow::Result<()> {
        let ended = Campaign::open(client, tick("second", 8_000)).await?.ended().await?;
        assert_eq!(ended.reason(), EndReason::NotGranted);
        Ok(())
    };
    refused(&mut client).await?;
    let held = state(&mut client, "cron/tick").await?;
    ensure!(held.leader.is_none() && held.hold.is_some(), "{held:?}");
    let listed = client.list_elections(ListElectionsRequest::default()).await?.into_inner().elections;
    ensure!(listed.len() == 1 && listed[0].hold.is_some(), "{listed:?}");
    // It survives a restart in good order, and somebody who waits is granted when it is over.
    server.sigterm(PATIENCE).await?;
    let complete = match all.failure().await {
        Ok(status) if status.code() == Code::Unavailable => all.complete,
        other => panic!("{other:?}"),
    };
    server.restart().await?;
    let of_it =
        ObserveRequest { elections: vec!["cron/tick".to_owned(), "cron/other".to_owned()], ..Default::default() };
    for resumed in [ObserveRequest::default(), of_it] {
        let request = ObserveRequest { after_revision: complete, ..resumed };
        let (told, _) = Observer::open(&mut client, request).await?.synced().await?;
        let [held] = &told[..] else { panic!("nothing is told twice: {told:?}") };
        assert_eq!((held.election.as_str(), held.reason()), ("cron/tick", ChangeReason::Held));
        ensure!(held.leader.is_none() && held.hold.is_some(), "{held:?}");
    }
    refused(&mut client).await?;
    let mut waiter = Campaign::open(&mut client, CampaignRequest { no_wait: false, ..tick("third", 1_000) }).await?;
    let hold = waiter.waiting().await?.hold.context("Waiting says how long")?;
    ensure!(hold.seconds < 8, "{hold:?}");
    ensure!(waiter.elected().await?.fencing_token > token);
    waiter.resign(&mut client).await?;
    let long =
        Campaign::open(&mut client, CampaignRequest { hold: Some(milliseconds(86_400_001)), ..tick("x", 0) }).await;
    assert_refused(&long.expect_err("it is too long"), Code::InvalidArgument, "INVALID_HOLD", &["86400"]);
    Ok(())
}

/// Also those whose leaders lived as long as their streams: they are told before the service stops.
#[tokio::test]
async fn observers_resume_over_a_restart_in_good_order_without_a_resync() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut a = Campaign::open(&mut client, leased("jobs/a", "a", TTL_MS)).await?;
    let token = a.elected().await?.fencing_token;
    let mut bound = Campaign::open(&mut client, leasehold_harness::stream_bound("jobs/bound", "b")).await?;
    bound.elected().await?;
    let mut of_one = Observer::of(&mut client, "jobs/a").await?;
    let mut of_all =
        Observer::open(&mut client, ObserveRequest { prefix: "jobs/".into(), ..Default::default() }).await?;
    of_one.synced().await?;
    of_all.synced().await?;
    server.sigterm(PATIENCE).await?;
    assert_eq!(of_one.failure().await?.code(), Code::Unavailable);
    let last = of_all.change().await?;
    assert_eq!((last.election.as_str(), seen(&last).reason), ("jobs/bound", ChangeReason::Resigned));
    assert_eq!(of_all.failure().await?.code(), Code::Unavailable);
    ensure!(of_one.complete >= last.revision && of_all.complete >= last.revision, "Progress is the last word");
    server.restart().await?;
    for (observer, request) in [
        (of_one, ObserveRequest { elections: vec!["jobs/a".into()], ..Default::default() }),
        (of_all, ObserveRequest { prefix: "jobs/".into(), ..Default::default() }),
    ] {
        let request = ObserveRequest { after_revision: observer.complete, ..request };
        let mut observer = Observer::open(&mut client, request).await?;
        let (changes, _) = observer.synced().await.context("no Resync comes")?;
        let [change] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((change.election.as_str(), seen(change).reason), ("jobs/a", ChangeReason::Restored));
        ensure!(!change.missed_changes && change.leader.as_ref().is_some_and(|leader| leader.fencing_token == token));
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_settles_says_so_and_for_how_long() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("4s").start().await?;
    let mut client = server.elections().await?;
    Campaign::open(&mut client, leased("jobs/settle", "a", 4_000)).await?.elected().await?;
    server.kill9().await?;
    server.restart().await?;
    let mut observer = Observer::of(&mut client, "jobs/settle").await?;
    let unsettled = state(&mut client, "jobs/settle").await?;
    let settling = unsettled.settling.context("GetElection says so")?;
    ensure!(settling.seconds <= 4, "{settling:?}");
    observer.synced().await?;
    ensure!(observer.settling.is_some_and(|left| left.seconds <= 4), "{:?}", observer.settling);
    ensure!(state(&mut client, "jobs/settle").await?.settling.is_none());
    Ok(())
}
