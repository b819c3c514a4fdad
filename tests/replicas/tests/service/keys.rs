//! Keys: one Secret that the first replica makes, and tickets and tokens that all replicas
//! understand.

use crate::{SLACK, START};
use anyhow::{Context as _, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_harness::{Campaign, http_get, keep_alive, leased};
use leasehold_proto::v1::verify_token_request::Token;
use leasehold_proto::v1::{CandidacyState, VerifyTokenRequest};
use leasehold_replica_tests::{Group, NAMESPACE};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_the_keys_of_one_secret() -> anyhow::Result<()> {
    let mut group = Group::builder().quick().start().await?;
    let first = group.settled(START).await?;
    let writes = group.plane.writes().await?;
    let made = writes.iter().filter(|write| write.resource == "secrets" && write.accepted()).count();
    assert_eq!(made, 1, "{writes:#?}");
    let secret = group.plane.admin().json(&["get", "secret", "leasehold-keys", "--namespace", NAMESPACE]).await?;
    let logs: Vec<String> = group.replicas.iter().map(|replica| replica.server.process().stderr()).collect();
    assert_eq!(logs.iter().filter(|log| log.contains("made the Secret with new keys")).count(), 1, "{logs:#?}");
    let keys = secret["data"]["keys.json"].as_str().context("the Secret has the keys")?;
    ensure!(logs.iter().all(|log| !log.contains(keys)));

    let mut published = Vec::new();
    for replica in &group.replicas {
        published.push(http_get(&format!("{}/.well-known/jwks.json", replica.server.http())).await?.body);
    }
    ensure!(published[0].contains("\"keys\"") && published.iter().all(|jwks| *jwks == published[0]), "{published:#?}");

    let mut client = group.replicas[first].server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("keys/shared", "leader", 6_000)).await?;
    let elected = leader.elected().await?;
    verified_by_each(&group, &published[0], &elected.task_token).await?;
    let mut waiter = Campaign::open(&mut client, leased("keys/shared", "waiter", 6_000)).await?;
    waiter.waiting().await?;
    leader.keep_alive(&mut client).await?;
    waiter.keep_alive(&mut client).await?;
    group.replicas[first].server.kill9().await?;
    let second = group.active(Duration::from_secs(4) + SLACK).await?;
    let mut client = group.replicas[second].server.elections().await?;
    let result = keep_alive(&mut client, &leader.ticket).await?;
    assert_eq!((result.state(), result.fencing_token), (CandidacyState::Leading, elected.fencing_token), "{result:?}");
    let waiting = keep_alive(&mut client, &waiter.ticket).await?;
    assert_eq!(waiting.state(), CandidacyState::Waiting, "{waiting:?}");
    group.replicas[first].server.restart().await?;
    verified_by_each(&group, &published[0], &result.task_token).await
}

/// Each replica vouches for the token, and the key that it publishes has signed it.
async fn verified_by_each(group: &Group, jwks: &str, task_token: &str) -> anyhow::Result<()> {
    for (number, replica) in group.replicas.iter().enumerate() {
        let token = Some(Token::TaskToken(task_token.to_owned()));
        let request = VerifyTokenRequest { election: String::new(), token };
        let answer = replica.server.elections().await?.verify_token(request).await?.into_inner();
        ensure!(answer.valid && answer.election == "keys/shared", "replica {number}: {answer:?}");
        let own = http_get(&format!("{}/.well-known/jwks.json", replica.server.http())).await?.body;
        ensure!(own == jwks, "replica {number} publishes {own}");
        signed_by(&own, task_token).with_context(|| format!("with the keys of replica {number}"))?;
    }
    Ok(())
}

/// As whoever is shown a task token checks it, with nothing but the published keys.
fn signed_by(jwks: &str, task_token: &str) -> anyhow::Result<()> {
    let (signed, signature) = task_token.rsplit_once('.').context("a JWT has three parts")?;
    let head = signed.split('.').next().context("a JWT has a head")?;
    let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head)?)?;
    let jwks: Value = serde_json::from_str(jwks)?;
    let keys = jwks["keys"].as_array().context("a list of keys")?;
    let key = keys.iter().find(|key| key["kid"] == head["kid"]).with_context(|| format!("{head} names none"))?;
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().context("an Ed25519 key has an x")?)?;
    let signature = URL_SAFE_NO_PAD.decode(signature)?;
    let verified = UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &signature);
    verified.map_err(|_| anyhow!("the signature isn't this key's"))
}
