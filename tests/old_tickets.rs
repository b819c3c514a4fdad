//! Tickets that a crash or a restart has made old: which ones are put back, and which are refused
//! for good.

use anyhow::ensure;
use leasehold_harness::{Campaign, ElectionClient, Keeper, Server, keep_alive, leased, reopened};
use leasehold_proto::v1::{CandidacyState, EndReason, StepDownRequest};
use std::time::Duration;

const KEEP: Duration = Duration::from_millis(200);

async fn assert_expired(client: &mut ElectionClient, ticket: &[u8]) -> anyhow::Result<()> {
    let result = keep_alive(client, ticket).await?;
    assert_eq!((result.state(), result.end_reason()), (CandidacyState::Ended, EndReason::Expired), "{result:?}");
    ensure!(result.ticket.is_empty() && result.fencing_token == 0 && !result.detail.is_empty(), "{result:?}");
    let ended = Campaign::open_ended(client, ticket.to_vec()).await?;
    assert_eq!(ended.reason(), EndReason::Expired);
    Ok(())
}

/// A leader falls silent past its ttl, its election goes to another; then the server restarts, and
/// the former leader's ticket comes first.
async fn overtaken_while_paused(crash: bool) -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("5s").start().await?;
    let mut client = server.elections().await?;
    let mut paused = Campaign::open(&mut client, leased("jobs/paused", "paused", 1_000)).await?;
    let old = paused.elected().await?.fencing_token;
    let mut heir = Campaign::open(&mut client, leased("jobs/paused", "heir", 5_000)).await?;
    let current = heir.elected().await?.fencing_token;
    let heir_ticket = {
        let keeper = Keeper::start(&client, &[&heir], KEEP);
        tokio::time::sleep(KEEP * 3).await;
        keeper.ticket(0)
    };
    if crash {
        server.kill9().await?;
    } else {
        server.sigterm(Duration::from_secs(5)).await?;
    }
    server.restart().await?;

    assert_expired(&mut client, &paused.ticket).await?;
    let result = keep_alive(&mut client, &heir_ticket).await?;
    assert_eq!((result.state(), result.fencing_token), (CandidacyState::Leading, current), "{result:?}");
    assert_expired(&mut client, &paused.ticket).await?;
    ensure!(current > old);
    Ok(())
}

#[tokio::test]
async fn a_leader_overtaken_before_a_crash_isnt_put_back() -> anyhow::Result<()> {
    overtaken_while_paused(true).await
}

#[tokio::test]
async fn a_leader_overtaken_before_an_orderly_stop_isnt_put_back() -> anyhow::Result<()> {
    overtaken_while_paused(false).await
}

#[tokio::test]
async fn a_leader_that_one_whole_tenure_didnt_hear_isnt_put_back() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/unheard", "leader", 15_000)).await?;
    leader.elected().await?;
    for _ in 0..2 {
        server.kill9().await?;
        server.restart().await?;
    }
    assert_expired(&mut client, &leader.ticket).await
}

#[tokio::test]
async fn a_waiter_that_comes_back_after_the_wait_has_lost_its_place() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("1s").start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/late", "leader", 1_000)).await?;
    leader.elected().await?;
    let waiter = Campaign::open(&mut client, leased("jobs/late", "waiter", 1_000)).await?;
    server.kill9().await?;
    server.restart().await?;
    let mut other = Campaign::open(&mut client, leased("jobs/other", "x", 1_000)).await?;
    let _keeper = Keeper::start(&client, &[&other], KEEP);
    other.elected().await?;
    assert_expired(&mut client, &waiter.ticket).await?;
    assert_expired(&mut client, &leader.ticket).await
}

#[tokio::test]
async fn a_leader_that_resigned_before_an_orderly_stop_isnt_put_back() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/resigned", "leader", 15_000)).await?;
    leader.elected().await?;
    leader.resign(&mut client).await?;
    server.sigterm(Duration::from_secs(5)).await?;
    server.restart().await?;
    let result = keep_alive(&mut client, &leader.ticket).await?;
    assert_eq!(result.state(), CandidacyState::Ended, "{result:?}");
    Ok(())
}

#[tokio::test]
async fn what_an_orderly_stop_hands_over_counts_once() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("5s").start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/once", "leader", 5_000)).await?;
    let old = leader.elected().await?.fencing_token;
    server.sigterm(Duration::from_secs(5)).await?;
    server.restart().await?;
    assert!(Campaign::open(&mut client, reopened(&leader.ticket)).await?.resign(&mut client).await?.was_leading);
    let mut heir = Campaign::open(&mut client, leased("jobs/once", "heir", 5_000)).await?;
    let current = heir.elected().await?.fencing_token;
    let keeper = Keeper::start(&client, &[&heir], KEEP);
    tokio::time::sleep(KEEP * 3).await;
    server.kill9().await?;
    server.restart().await?;
    // Were the hand-over of the first stop read again, the first leader would be back.
    let result = keeper.answered_after(0, heir.tenure).await?;
    assert_eq!((result.state(), result.fencing_token), (CandidacyState::Leading, current), "{result:?}");
    ensure!(current > old);
    assert_expired(&mut client, &leader.ticket).await
}

#[tokio::test]
async fn a_leader_that_came_back_can_be_told_to_step_down_in_the_wait() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("4s").start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/wait", "leader", 4_000)).await?;
    let token = leader.elected().await?.fencing_token;
    server.kill9().await?;
    server.restart().await?;
    assert_eq!(leader.keep_alive(&mut client).await?.fencing_token, token);
    let request = StepDownRequest { election: "jobs/wait".to_owned(), fencing_token: token };
    assert_eq!(server.admin().await?.step_down(request).await?.into_inner().fencing_token, token);
    let result = leader.keep_alive(&mut client).await?;
    assert_eq!(result.state(), CandidacyState::Draining, "{result:?}");
    Ok(())
}

#[tokio::test]
async fn a_drain_keeps_its_end_over_an_orderly_stop() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("5s").start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/drain", "leader", 5_000)).await?;
    leader.elected().await?;
    let heir = Campaign::open(&mut client, leased("jobs/drain", "heir", 5_000)).await?;
    let request = StepDownRequest { election: "jobs/drain".to_owned(), fencing_token: 0 };
    server.admin().await?.step_down(request).await?;
    server.sigterm(Duration::from_secs(5)).await?;
    server.restart().await?;
    let result = leader.keep_alive(&mut client).await?;
    assert_eq!(result.state(), CandidacyState::Draining, "{result:?}");
    let mut heir = Campaign::open(&mut client, reopened(&heir.ticket)).await?;
    let keeper = Keeper::start(&client, &[&heir], KEEP);
    heir.elected().await?;
    assert_eq!(leader.keep_alive(&mut client).await?.end_reason(), EndReason::SteppedDown);
    drop(keeper);
    Ok(())
}
