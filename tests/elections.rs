//! Elections by raw gRPC: the order of grants, tries, replacing, resigning, streams that break and
//! are opened again.

use anyhow::ensure;
use leasehold_harness::{Campaign, Server, assert_refused, leased, milliseconds, reopened, stream_bound};
use leasehold_proto::v1::{CampaignRequest, CandidacyState, EndReason, GetElectionRequest, Leadership};
use std::time::{Duration, Instant};
use tonic::{Code, Request};

const TTL_MS: u32 = 15_000;

#[tokio::test]
async fn candidates_are_granted_in_the_order_of_enrolment() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut a = Campaign::open(&mut client, leased("jobs/fifo", "a", TTL_MS)).await?;
    let mut last = a.elected().await?.fencing_token;
    let mut b = Campaign::open(&mut client, leased("jobs/fifo", "b", TTL_MS)).await?;
    assert_eq!(b.waiting().await?.ahead, 1);
    let mut c = Campaign::open(&mut client, leased("jobs/fifo", "c", TTL_MS)).await?;
    assert_eq!(c.waiting().await?.ahead, 2);
    ensure!(a.enrolled.enrolment < b.enrolled.enrolment && b.enrolled.enrolment < c.enrolled.enrolment);
    assert_eq!(
        (c.enrolled.ttl, c.enrolled.keep_alive_interval),
        (Some(milliseconds(15_000)), Some(milliseconds(5_000)))
    );

    assert!(a.resign(&mut client).await?.was_leading);
    // Not "soon": before the answer to Resign was sent.
    let request = GetElectionRequest { election: "jobs/fifo".to_owned() };
    let election = client.get_election(request).await?.into_inner().election.expect("it is always set");
    assert_eq!((election.leadership(), election.waiting), (Leadership::Led, 1));
    assert_eq!(election.leader.expect("it is led").candidate, "b");
    for next in [&mut b, &mut c] {
        let token = next.elected().await?.fencing_token;
        ensure!(token > last && token < 1 << 53, "{token} after {last}");
        last = token;
        assert!(next.resign(&mut client).await?.was_leading);
    }
    Ok(())
}

#[tokio::test]
async fn a_try_is_granted_at_once_or_ends() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let attempt = |name: &str| CampaignRequest { no_wait: true, ..leased("jobs/try", name, TTL_MS) };
    let mut first = Campaign::open(&mut client, attempt("first")).await?;
    first.elected().await?;
    let mut second = Campaign::open(&mut client, attempt("second")).await?;
    let ended = second.ended().await?;
    assert_eq!(ended.reason(), EndReason::NotGranted);
    assert!(!ended.detail.is_empty());
    first.resign(&mut client).await?;
    Campaign::open(&mut client, attempt("third")).await?.elected().await?;
    Ok(())
}

#[tokio::test]
async fn max_wait_ends_a_candidacy_that_waits_and_none_that_leads() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let timed =
        |name: &str| CampaignRequest { max_wait: Some(milliseconds(600)), ..leased("jobs/timed", name, TTL_MS) };
    let mut leader = Campaign::open(&mut client, timed("leader")).await?;
    leader.elected().await?;
    let sent = Instant::now();
    let mut waiter = Campaign::open(&mut client, timed("waiter")).await?;
    assert_eq!(waiter.ended().await?.reason(), EndReason::NotGranted);
    ensure!(sent.elapsed() >= Duration::from_millis(600), "it ended after {:?}", sent.elapsed());
    leader.quiet_for(Duration::from_millis(300)).await?;
    assert_eq!(leader.keep_alive(&mut client).await?.state(), CandidacyState::Leading);
    Ok(())
}

/// An interceptor may put a deadline on every call. What it cuts isn't an end: the candidacies go
/// on.
#[tokio::test]
async fn a_grpc_deadline_cuts_the_stream_and_ends_no_candidacy() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let timed = |name: &str| {
        let mut request = Request::new(leased("jobs/deadline", name, TTL_MS));
        request.set_timeout(Duration::from_millis(800));
        request
    };
    let mut leader = Campaign::open(&mut client, timed("leader")).await?;
    let token = leader.elected().await?.fencing_token;
    let mut waiter = Campaign::open(&mut client, timed("waiter")).await?;
    for stream in [&mut leader, &mut waiter] {
        assert_eq!(stream.failure().await?.code(), Code::DeadlineExceeded);
    }
    assert_eq!(leader.keep_alive(&mut client).await?.state(), CandidacyState::Leading);
    assert_eq!(waiter.keep_alive(&mut client).await?.state(), CandidacyState::Waiting);
    let mut again = Campaign::open(&mut client, reopened(&leader.ticket)).await?;
    assert_eq!(again.elected().await?.fencing_token, token);
    Ok(())
}

#[tokio::test]
async fn replace_former_takes_the_place_of_the_dead_one() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let again = |name: &str| CampaignRequest { replace_former: true, ..leased("jobs/replace", name, TTL_MS) };
    let mut elsewhere = Campaign::open(&mut client, leased("jobs/other", "a", TTL_MS)).await?;
    elsewhere.elected().await?;
    let mut a = Campaign::open(&mut client, again("a")).await?;
    let former = a.elected().await?.fencing_token;
    let mut b = Campaign::open(&mut client, leased("jobs/replace", "b", TTL_MS)).await?;
    let mut c = Campaign::open(&mut client, leased("jobs/replace", "c", TTL_MS)).await?;
    c.waiting().await?;

    let mut new_b = Campaign::open(&mut client, again("b")).await?;
    assert_eq!(b.ended().await?.reason(), EndReason::Replaced);
    assert_eq!(new_b.waiting().await?.ahead, 1);
    let mut new_a = Campaign::open(&mut client, again("a")).await?;
    assert_eq!(a.ended().await?.reason(), EndReason::Replaced);
    ensure!(new_a.elected().await?.fencing_token > former);
    assert_eq!(a.keep_alive(&mut client).await?.end_reason(), EndReason::Replaced);

    new_a.resign(&mut client).await?;
    new_b.elected().await?;
    c.quiet_for(Duration::from_millis(200)).await?;
    assert_eq!(elsewhere.keep_alive(&mut client).await?.state(), CandidacyState::Leading);
    Ok(())
}

#[tokio::test]
async fn resigning_is_final_and_may_be_sent_twice() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/resign", "leader", TTL_MS)).await?;
    leader.elected().await?;
    let mut waiter = Campaign::open(&mut client, leased("jobs/resign", "waiter", TTL_MS)).await?;
    let mut third = Campaign::open(&mut client, leased("jobs/resign", "third", TTL_MS)).await?;

    let answer = waiter.resign(&mut client).await?;
    assert_eq!((answer.was_leading, answer.already_ended), (false, false));
    assert_eq!(waiter.ended().await?.reason(), EndReason::Resigned);
    let answer = leader.resign(&mut client).await?;
    assert_eq!((answer.was_leading, answer.already_ended), (true, false));
    assert_eq!(leader.ended().await?.reason(), EndReason::Resigned);
    let answer = leader.resign(&mut client).await?;
    assert_eq!((answer.was_leading, answer.already_ended), (false, true));
    third.elected().await?;

    let result = leader.keep_alive(&mut client).await?;
    assert_eq!((result.state(), result.end_reason()), (CandidacyState::Ended, EndReason::Resigned));
    assert!(result.ticket.is_empty() && !result.detail.is_empty(), "{result:?}");
    assert_eq!(Campaign::open_ended(&mut client, leader.ticket).await?.reason(), EndReason::Resigned);
    Ok(())
}

#[tokio::test]
async fn a_stream_bound_candidacy_ends_with_its_stream() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut bound = Campaign::open(&mut client, stream_bound("jobs/bound", "bound")).await?;
    assert!(bound.enrolled.ticket.is_empty() && bound.enrolled.ttl.is_none(), "{:?}", bound.enrolled);
    let elected = bound.elected().await?;
    assert!(elected.ticket.is_empty() && !elected.task_token.is_empty());
    let waiter = Campaign::open(&mut client, stream_bound("jobs/bound", "gone")).await?;
    let mut heir = Campaign::open(&mut client, leased("jobs/bound", "heir", TTL_MS)).await?;
    assert_eq!(heir.waiting().await?.ahead, 2);
    drop(waiter);
    drop(bound);
    ensure!(heir.elected().await?.fencing_token > elected.fencing_token);
    Ok(())
}

#[tokio::test]
async fn a_leased_candidacy_outlives_its_stream_and_the_ticket_opens_it_again() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/again", "leader", TTL_MS)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut waiter = Campaign::open(&mut client, leased("jobs/again", "waiter", TTL_MS)).await?;
    waiter.waiting().await?;
    let (ticket, waiting_ticket) = (leader.ticket.clone(), waiter.ticket.clone());
    drop((leader, waiter));

    let mut leader = Campaign::open(&mut client, reopened(&ticket)).await?;
    assert_eq!(leader.elected().await?.fencing_token, token);
    let mut waiter = Campaign::open(&mut client, reopened(&waiting_ticket)).await?;
    assert_eq!(waiter.waiting().await?.ahead, 1);
    // Opened once more while it is open: the newer stream goes on, the older one ends with an
    // error.
    let mut newer = Campaign::open(&mut client, reopened(&waiting_ticket)).await?;
    let status = waiter.failure().await?;
    assert_refused(&status, Code::Aborted, "SUPERSEDED", &["another Campaign stream"]);
    leader.resign(&mut client).await?;
    ensure!(newer.elected().await?.fencing_token > token);

    let other = CampaignRequest { election: "jobs/other".to_owned(), ..reopened(&newer.ticket) };
    let status = Campaign::open(&mut client, other).await.expect_err("the ticket is another election's");
    assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST", &["jobs/other", "jobs/again"]);
    Ok(())
}

#[tokio::test]
async fn opening_a_stream_again_extends_nothing() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let sent = Instant::now();
    let mut leader = Campaign::open(&mut client, leased("jobs/extend", "leader", 1_000)).await?;
    let ticket = leader.elected().await?.ticket;
    let mut opened = 0;
    let ended = loop {
        match Campaign::open(&mut client, reopened(&ticket)).await {
            Ok(_) => opened += 1,
            Err(_) => break Campaign::open_ended(&mut client, ticket).await?,
        }
        ensure!(sent.elapsed() < Duration::from_secs(20), "it is kept alive by its streams");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(ended.reason(), EndReason::Expired);
    ensure!(opened > 1 && sent.elapsed() >= Duration::from_millis(1_050), "{opened} in {:?}", sent.elapsed());
    Ok(())
}
