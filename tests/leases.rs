//! Leases by raw gRPC: KeepAlive, running out of time, and leaderships that an operator ends with
//! care.

use anyhow::ensure;
use leasehold_harness::{
    AdminClient, Campaign, Keeper, Observer, PATIENCE, Seen, Server, assert_refused, leased, milliseconds, seen,
    stream_bound,
};
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::{
    CandidacyState, ChangeReason, EndReason, KeepAliveItem, KeepAliveRequest, StepDownRequest, StepDownResponse,
};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

async fn step_down(admin: &mut AdminClient, election: &str, token: u64) -> Result<StepDownResponse, Status> {
    let request = StepDownRequest { election: election.to_owned(), fencing_token: token };
    Ok(admin.step_down(request).await?.into_inner())
}

fn std_time(duration: Option<prost_types::Duration>) -> Duration {
    duration.expect("it is set").try_into().expect("it isn't negative")
}

#[tokio::test]
async fn one_call_keeps_many_alive_and_answers_each_in_order() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/many", "leader", 15_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let waiter = Campaign::open(&mut client, leased("jobs/many", "waiter", 7_000)).await?;
    let gone = Campaign::open(&mut client, leased("jobs/many", "gone", 15_000)).await?;
    gone.resign(&mut client).await?;
    let tickets = [&waiter.ticket, &leader.ticket, &gone.ticket, &b"damaged".to_vec()];
    let items = tickets.map(|ticket| KeepAliveItem { ticket: ticket.clone(), want_task_token: true });
    let answer = client.keep_alive(KeepAliveRequest { items: items.to_vec() }).await?.into_inner();
    assert_eq!(answer.tenure, leader.tenure);
    let [waiting, leading, ended, refused] = &answer.results[..] else { panic!("{answer:?}") };
    assert_eq!((waiting.state(), waiting.ttl), (CandidacyState::Waiting, Some(milliseconds(7_000))));
    assert!(!waiting.ticket.is_empty() && waiting.fencing_token == 0 && waiting.task_token.is_empty());
    assert_eq!((leading.state(), leading.ttl), (CandidacyState::Leading, Some(milliseconds(15_000))));
    assert!(!leading.ticket.is_empty() && leading.fencing_token == token && !leading.task_token.is_empty());
    assert_eq!((ended.state(), ended.end_reason()), (CandidacyState::Ended, EndReason::Resigned));
    assert_eq!((refused.state(), refused.end_reason()), (CandidacyState::Refused, EndReason::Unspecified));
    assert!(refused.ticket.is_empty() && !refused.detail.is_empty(), "{refused:?}");

    let mut leaders = Vec::new();
    for number in 0..1_000 {
        let mut leader = Campaign::open(&mut client, leased(&format!("jobs/many/{number}"), "x", 15_000)).await?;
        leader.elected().await?;
        leaders.push(leader);
    }
    let item = |leader: &Campaign| KeepAliveItem { ticket: leader.ticket.clone(), want_task_token: false };
    let items = leaders.iter().map(item).collect();
    let answer = client.keep_alive(KeepAliveRequest { items }).await?.into_inner();
    assert_eq!(answer.results.len(), 1_000);
    assert!(answer.results.iter().all(|result| result.fencing_token > token && result.task_token.is_empty()));
    Ok(())
}

#[tokio::test]
async fn a_candidacy_twice_in_one_call_is_refused_by_whatever_tickets() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/twice", "leader", 15_000)).await?;
    let as_waiter = leader.ticket.clone();
    leader.elected().await?;
    let other = Campaign::open(&mut client, leased("jobs/other", "leader", 15_000)).await?;
    for again in [&leader.ticket, &as_waiter] {
        let items = [&other.ticket, &leader.ticket, again]
            .map(|ticket| KeepAliveItem { ticket: ticket.clone(), want_task_token: true });
        let status =
            client.keep_alive(KeepAliveRequest { items: items.to_vec() }).await.expect_err("it is there twice");
        assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST", &["items 1 and 2", "give each one once"]);
    }
    // What can't be read is of nobody.
    let items = vec![KeepAliveItem { ticket: b"damaged".to_vec(), want_task_token: false }; 2];
    let answer = client.keep_alive(KeepAliveRequest { items }).await?.into_inner();
    assert!(answer.results.iter().all(|result| result.state() == CandidacyState::Refused));
    Ok(())
}

#[tokio::test]
async fn a_candidacy_lives_as_long_as_it_is_kept_alive() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/kept", "leader", 3_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut waiter = Campaign::open(&mut client, leased("jobs/kept", "waiter", 3_000)).await?;
    waiter.waiting().await?;
    let keeper = Keeper::start(&client, &[&leader, &waiter], Duration::from_millis(500));
    waiter.quiet_for(Duration::from_secs(5)).await?;
    leader.quiet_for(Duration::from_millis(1)).await?;
    let latest = |index| keeper.latest(index).expect("it is kept alive for seconds now");
    assert_eq!((latest(0).state(), latest(0).fencing_token), (CandidacyState::Leading, token));
    assert_eq!(latest(1).state(), CandidacyState::Waiting);
    Ok(())
}

#[tokio::test]
async fn a_leader_that_falls_silent_is_succeeded_after_its_ttl_and_a_twentieth() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut observer = Observer::of(&mut client, "jobs/silent").await?;
    observer.synced().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/silent", "leader", 1_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut silent_waiter = Campaign::open(&mut client, leased("jobs/silent", "silent", 1_000)).await?;
    let mut heir = Campaign::open(&mut client, leased("jobs/silent", "heir", 15_000)).await?;
    let sent = Instant::now();
    leader.keep_alive(&mut client).await?;
    let accepted = Instant::now();

    ensure!(heir.elected().await?.fencing_token > token);
    // No earlier than the last KeepAlive could have been accepted; and not much later than it was.
    ensure!(sent.elapsed() >= Duration::from_millis(1_050), "already after {:?}", sent.elapsed());
    ensure!(accepted.elapsed() < Duration::from_millis(1_050) + PATIENCE / 3, "after {:?}", accepted.elapsed());
    assert_eq!(leader.ended().await?.reason(), EndReason::Expired);
    assert_eq!(silent_waiter.ended().await?.reason(), EndReason::Expired);
    let result = leader.keep_alive(&mut client).await?;
    assert_eq!((result.state(), result.end_reason()), (CandidacyState::Ended, EndReason::Expired));
    let (changes, _) = observer.changes_until(|change| seen(change).leader.as_deref() == Some("heir")).await?;
    let expected = [
        Seen { leader: Some("leader".to_owned()), reason: ChangeReason::Elected },
        Seen { leader: None, reason: ChangeReason::Expired },
        Seen { leader: Some("heir".to_owned()), reason: ChangeReason::Elected },
    ];
    assert_eq!(changes.iter().map(seen).collect::<Vec<_>>(), expected);
    Ok(())
}

#[tokio::test]
async fn a_leader_told_to_step_down_has_its_time_and_no_more() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (mut client, mut admin) = (server.elections().await?, server.admin().await?);
    let sent = Instant::now();
    let mut leader = Campaign::open(&mut client, leased("jobs/drain", "leader", 2_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut heir = Campaign::open(&mut client, leased("jobs/drain", "heir", 15_000)).await?;
    heir.waiting().await?;

    let answer = step_down(&mut admin, "jobs/drain", token).await?;
    assert_eq!((answer.fencing_token, answer.tenure), (token, leader.tenure));
    let first_remaining = std_time(answer.remaining);
    ensure!(first_remaining <= Duration::from_millis(2_100), "{first_remaining:?}");
    let Some(Event::Draining(draining)) = leader.next().await? else { panic!("Draining is due") };
    assert_eq!(draining.fencing_token, token);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let result = leader.keep_alive(&mut client).await?;
    assert_eq!((result.state(), result.fencing_token, result.ttl), (CandidacyState::Draining, token, None));
    let left = std_time(result.remaining);
    ensure!(left < first_remaining, "a KeepAlive extends the drain: {left:?} left of {first_remaining:?}");
    let again = std_time(step_down(&mut admin, "jobs/drain", 0).await?.remaining);
    ensure!(again <= left, "a second StepDown extends the drain: {again:?} left of {left:?}");

    let granted = heir.elected().await?;
    ensure!(sent.elapsed() >= Duration::from_millis(2_100), "the leader had only {:?}", sent.elapsed());
    ensure!(granted.fencing_token > token);
    assert_eq!(leader.ended().await?.reason(), EndReason::SteppedDown);
    Ok(())
}

#[tokio::test]
async fn a_drain_ends_when_the_leader_resigns() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (mut client, mut admin) = (server.elections().await?, server.admin().await?);
    let mut observer = Observer::of(&mut client, "jobs/resigns").await?;
    observer.synced().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/resigns", "leader", 15_000)).await?;
    leader.elected().await?;
    let mut heir = Campaign::open(&mut client, leased("jobs/resigns", "heir", 15_000)).await?;
    step_down(&mut admin, "jobs/resigns", 0).await?;
    heir.waiting().await?;
    heir.quiet_for(Duration::from_millis(200)).await?;
    assert!(leader.resign(&mut client).await?.was_leading);
    heir.elected().await?;
    let (changes, _) = observer.changes_until(|change| seen(change).leader.as_deref() == Some("heir")).await?;
    let reasons: Vec<_> = changes.iter().map(|change| (seen(change).leader.is_some(), change.reason())).collect();
    let expected = [
        (true, ChangeReason::Elected),
        (true, ChangeReason::Draining),
        (false, ChangeReason::SteppedDown),
        (true, ChangeReason::Elected),
    ];
    assert_eq!(reasons, expected);
    assert!(changes[1].leader.as_ref().is_some_and(|leader| leader.draining));
    Ok(())
}

#[tokio::test]
async fn a_stream_bound_leader_that_steps_down_is_succeeded() -> anyhow::Result<()> {
    let server = Server::builder().arg("--max-ttl").arg("2s").start().await?;
    let (mut client, mut admin) = (server.elections().await?, server.admin().await?);
    let mut leader = Campaign::open(&mut client, stream_bound("jobs/bound", "leader")).await?;
    leader.elected().await?;
    let mut heir = Campaign::open(&mut client, stream_bound("jobs/bound", "heir")).await?;
    step_down(&mut admin, "jobs/bound", 0).await?;
    assert!(matches!(leader.next().await?, Some(Event::Draining(_))));
    heir.elected().await?;
    assert_eq!(leader.ended().await?.reason(), EndReason::SteppedDown);
    Ok(())
}

#[tokio::test]
async fn a_step_down_that_names_nobody_who_leads_is_refused() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (mut client, mut admin) = (server.elections().await?, server.admin().await?);
    let status = step_down(&mut admin, "jobs/nobody", 0).await.expect_err("nobody leads");
    assert_refused(&status, Code::FailedPrecondition, "NO_LEADER", &["jobs/nobody"]);
    let mut leader = Campaign::open(&mut client, leased("jobs/somebody", "leader", 15_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let status = step_down(&mut admin, "jobs/somebody", token - 1).await.expect_err("it is another token");
    let (given, current) = ((token - 1).to_string(), token.to_string());
    assert_refused(&status, Code::FailedPrecondition, "OTHER_LEADER", &["jobs/somebody", &given, &current]);
    assert_eq!(leader.keep_alive(&mut client).await?.state(), CandidacyState::Leading);
    Ok(())
}
