//! Fencing tokens and task tokens by raw gRPC: which ones the server vouches for, and values that
//! leaders proclaim.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, ElectionClient, Keeper, Server, assert_refused, leased, stream_bound};
use leasehold_proto::v1::verify_token_request::Token;
use leasehold_proto::v1::{TokenStatus, VerifyTokenRequest, VerifyTokenResponse};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::{Code, Status};

async fn verify(client: &mut ElectionClient, election: &str, token: Token) -> Result<VerifyTokenResponse, Status> {
    let request = VerifyTokenRequest { election: election.to_owned(), token: Some(token) };
    Ok(client.verify_token(request).await?.into_inner())
}

/// Verifies a task token without naming the election.
async fn task(client: &mut ElectionClient, token: &str) -> anyhow::Result<VerifyTokenResponse> {
    let answer = verify(client, "", Token::TaskToken(token.to_owned())).await?;
    ensure!(answer.valid == (answer.status() == TokenStatus::Current), "{answer:?}");
    ensure!(answer.valid || !answer.detail.is_empty(), "it doesn't say why not: {answer:?}");
    Ok(answer)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970")
}

#[tokio::test]
async fn only_the_current_leaders_fencing_token_is_valid() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut first = Campaign::open(&mut client, leased("jobs/fence", "first", 15_000)).await?;
    let old = first.elected().await?.fencing_token;
    let mut second = Campaign::open(&mut client, leased("jobs/fence", "second", 15_000)).await?;
    let answer = verify(&mut client, "jobs/fence", Token::FencingToken(old)).await?;
    assert_eq!((answer.valid, answer.status(), answer.tenure), (true, TokenStatus::Current, first.tenure));
    assert_eq!(answer.leader.context("it is led")?.candidate, "first");

    first.resign(&mut client).await?;
    let current = second.elected().await?.fencing_token;
    assert!(verify(&mut client, "jobs/fence", Token::FencingToken(current)).await?.valid);
    for wrong in [old, current + 1, 0, u64::MAX] {
        let answer = verify(&mut client, "jobs/fence", Token::FencingToken(wrong)).await?;
        assert_eq!((answer.valid, answer.status()), (false, TokenStatus::NotLeading), "{wrong}");
        assert_eq!(answer.leader.context("it is led")?.fencing_token, current);
    }
    second.resign(&mut client).await?;
    for election in ["jobs/fence", "jobs/never-entered"] {
        let answer = verify(&mut client, election, Token::FencingToken(current)).await?;
        assert_eq!((answer.valid, answer.status()), (false, TokenStatus::NotLeading));
        assert_eq!((answer.leader, answer.election.as_str()), (None, election));
    }
    let none = VerifyTokenRequest { election: "jobs/fence".to_owned(), token: None };
    let status = client.verify_token(none).await.expect_err("there is no token in it");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    Ok(())
}

#[tokio::test]
async fn only_the_current_leaders_task_token_is_valid() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut first = Campaign::open(&mut client, leased("jobs/task", "first", 15_000)).await?;
    let old = first.elected().await?.task_token;
    let mut second = Campaign::open(&mut client, leased("jobs/task", "second", 15_000)).await?;
    let answer = task(&mut client, &old).await?;
    assert_eq!((answer.status(), answer.election.as_str()), (TokenStatus::Current, "jobs/task"));
    let refreshed = first.keep_alive(&mut client).await?.task_token;
    for token in [&refreshed, &old] {
        assert!(task(&mut client, token).await?.valid, "both are this leader's, and in time");
    }
    let status = verify(&mut client, "jobs/other", Token::TaskToken(old.clone())).await;
    let status = status.expect_err("the token names another election");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("jobs/other") && status.message().contains("jobs/task"), "{status:?}");

    first.resign(&mut client).await?;
    let current = second.elected().await?;
    assert!(task(&mut client, &current.task_token).await?.valid);
    let answer = task(&mut client, &old).await?;
    assert_eq!(answer.status(), TokenStatus::NotLeading);
    assert_eq!(answer.leader.context("it is led")?.fencing_token, current.fencing_token);
    Ok(())
}

#[tokio::test]
async fn a_task_token_that_was_changed_is_invalid() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let stranger = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/forged", "leader", 15_000)).await?;
    let token = leader.elected().await?.task_token;
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("a JWT has three parts: {token}") };
    let mut others = Campaign::open(&mut stranger.elections().await?, leased("jobs/forged", "other", 15_000)).await?;
    let others = others.elected().await?.task_token;
    let other_claims = others.split('.').nth(1).context("a JWT has three parts")?;
    // {"alg":"none"} and {"alg":"HS256"}: the server mustn't take the algorithm from the token.
    let forged = [
        String::new(),
        "token".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{other_claims}.{signature}"),
        format!("{header}.{claims}.{}", flipped(signature)),
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("eyJhbGciOiJIUzI1NiJ9.{claims}.{signature}"),
        format!("{token}.{signature}"),
        others,
    ];
    for forged in forged {
        assert_eq!(task(&mut client, &forged).await?.status(), TokenStatus::Invalid, "{forged}");
    }
    assert!(task(&mut client, &token).await?.valid);
    Ok(())
}

/// The text with another first letter.
fn flipped(text: &str) -> String {
    let first = if text.starts_with('A') { 'B' } else { 'A' };
    text.char_indices().map(|(index, letter)| if index == 0 { first } else { letter }).collect()
}

#[tokio::test]
async fn a_task_token_expires_while_its_leader_goes_on_with_newer_ones() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/exp", "leader", 3_000)).await?;
    let old = leader.elected().await?.task_token;
    let _keeper = Keeper::start(&client, &[&leader], Duration::from_millis(300));
    // Its last second is the one in which the lease that it was made for ends.
    let end = since_epoch() + Duration::from_secs(5);
    while task(&mut client, &old).await?.status() == TokenStatus::Current {
        ensure!(since_epoch() < end + Duration::from_secs(10), "a token for a lease of 3 s doesn't expire");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = task(&mut client, &old).await?;
    assert_eq!(answer.status(), TokenStatus::Expired);
    assert_eq!(answer.leader.context("it still leads")?.candidate, "leader");
    let newer = leader.keep_alive(&mut client).await?.task_token;
    assert!(task(&mut client, &newer).await?.valid);
    Ok(())
}

#[tokio::test]
async fn only_the_leader_proclaims() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/value", "leader", 15_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut waiter = Campaign::open(&mut client, leased("jobs/value", "waiter", 15_000)).await?;
    let before = leader.ticket.clone();
    let first = leader.proclaim(&mut client, "10.0.0.7:80").await?;
    let second = leader.proclaim(&mut client, "10.0.0.8:80").await?;
    ensure!(second.revision > first.revision && second.tenure == leader.tenure);
    assert_ne!(leader.ticket, before, "the value is in the ticket");
    let answer = verify(&mut client, "jobs/value", Token::FencingToken(token)).await?;
    assert_eq!(answer.leader.context("it is led")?.value, "10.0.0.8:80");

    let status = waiter.proclaim(&mut client, "mine").await.expect_err("it doesn't lead");
    assert_refused(&status, Code::FailedPrecondition, "NOT_LEADING", &["jobs/value", "leader"]);
    leader.resign(&mut client).await?;
    let status = leader.proclaim(&mut client, "still").await.expect_err("it is over");
    assert_refused(&status, Code::FailedPrecondition, "ENDED", &["jobs/value", "Campaign"]);
    assert_eq!(leasehold_harness::refusal(&status).metadata["end_reason"], "RESIGNED");
    Ok(())
}

#[tokio::test]
async fn tokens_rise_over_all_elections_and_fit_into_a_json_number() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut last = 0;
    for round in 0..20 {
        for election in ["jobs/one", "jobs/two"] {
            let request = if round % 2 == 0 { leased(election, "x", 15_000) } else { stream_bound(election, "x") };
            let mut campaign = Campaign::open(&mut client, request).await?;
            let token = campaign.elected().await?.fencing_token;
            ensure!(token > last && token < 1 << 53 && token > campaign.tenure, "{token} after {last}");
            last = token;
            if round % 2 == 0 {
                campaign.resign(&mut client).await?;
            } else {
                drop(campaign);
            }
        }
    }
    Ok(())
}
