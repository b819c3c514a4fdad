//! Tokens that a real API server has signed, or whoever has its key: which ones are worth
//! something, and how long.

use super::{MEANT, equip, get, status, token};
use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_harness::{Campaign, PATIENCE, Process, assert_refused, by, leased, refusal};
use leasehold_kube_harness::{ControlPlane, Part};
use leasehold_proto::v1::Role;
use leasehold_replica_tests::Group;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::process::Command;
use tonic::{Code, Status};

/// One replica on a cluster with two namespaces.
async fn one_replica() -> anyhow::Result<Group> {
    let builder = Group::builder().quick().count(1).arg("--auth=kubernetes");
    let (plane, account) = builder.plane().await?;
    equip(&plane).await?;
    builder.start_on(plane, &account).await
}

/// Waits until the replica knows whose token this is.
async fn known(group: &Group, token: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    while let Err(refused) = status(group, 0, token).await {
        ensure!(since.elapsed() < PATIENCE && refused.code() == Code::Unavailable, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Waits until it is active, and grants.
async fn grants(group: &Group, token: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    loop {
        let found = status(group, 0, token).await;
        if found.as_ref().is_ok_and(|status| status.role() == Role::Active && status.settling.is_none()) {
            return Ok(());
        }
        ensure!(since.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until it says no to this token for good.
async fn refused(group: &Group, token: &str) -> anyhow::Result<Status> {
    let since = Instant::now();
    loop {
        match status(group, 0, token).await {
            Err(refused) if refused.code() == Code::Unauthenticated => return Ok(refused),
            other => ensure!(since.elapsed() < PATIENCE, "a refusal is due: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    let ending = Process::spawn("openssl", command)?.wait(PATIENCE).await?;
    ensure!(ending.status.success(), "{ending:?}");
    Ok(())
}

fn part(token: &str, number: usize) -> anyhow::Result<Value> {
    let part = token.split('.').nth(number).context("it has three parts")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

/// The token as the API server would have signed it with these claims: by its own key.
async fn signed(plane: &ControlPlane, like: &str, claims: &Value) -> anyhow::Result<String> {
    let header = like.split('.').next().context("it has three parts")?;
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let folder = tempfile::tempdir()?;
    let (text, signature) = (folder.path().join("message"), folder.path().join("signature"));
    std::fs::write(&text, &message)?;
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-sign"]).arg(plane.account_key()).arg("-out").arg(&signature).arg(&text);
    run(command).await?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(std::fs::read(&signature)?)))
}

/// The API server starts again: another key signs from now on, and these check as well.
async fn rotate(plane: &ControlPlane, published: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    let mut command = Command::new("openssl");
    command.args(["genrsa", "-traditional", "-out"]).arg(&key).arg("2048");
    run(command).await?;
    plane.stop(Part::ApiServer).await?;
    std::fs::write(plane.account_key(), format!("{}{published}", std::fs::read_to_string(&key)?))?;
    plane.start_again(Part::ApiServer).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_of_another_namespace_is_refused_in_this_ones_elections() -> anyhow::Result<()> {
    let group = one_replica().await?;
    let own = token(&group.plane, "team-a", "worker", &[MEANT]).await?;
    let foreign = token(&group.plane, "team-b", "worker", &[MEANT]).await?;
    grants(&group, &own).await?;
    let mut client = group.replicas[0].server.elections().await?;
    let mut campaign = Campaign::open(&mut client, by(&own, leased("team-a/report", "w", 6000))).await?;
    campaign.elected().await?;
    let who = "system:serviceaccount:team-b:worker may not";
    let denied = client.campaign(by(&foreign, leased("team-a/report", "w", 6000))).await.expect_err("it is refused");
    assert_refused(&denied, Code::PermissionDenied, "DENIED", &[who, "campaign in the election team-a/report"]);
    let denied = client.get_election(by(&foreign, get("team-a/report"))).await.expect_err("it is refused");
    assert_refused(&denied, Code::PermissionDenied, "DENIED", &[who, "observe"]);
    let mut campaign = Campaign::open(&mut client, by(&foreign, leased("team-b/report", "w", 6000))).await?;
    campaign.elected().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_when_it_says_so_and_not_with_its_account() -> anyhow::Result<()> {
    let group = one_replica().await?;
    let own = token(&group.plane, "team-a", "worker", &[MEANT]).await?;
    known(&group, &own).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut claims = part(&own, 1)?;
    for (exp, good) in [(now + 600, true), (now - 11, false)] {
        (claims["iat"], claims["nbf"], claims["exp"]) = (json!(now - 3600), json!(now - 3600), json!(exp));
        let made = signed(&group.plane, &own, &claims).await?;
        match status(&group, 0, &made).await {
            Ok(_) => ensure!(good, "it ended"),
            Err(refused) => {
                ensure!(!good, "{refused:?}");
                assert_refused(
                    &refused,
                    Code::Unauthenticated,
                    "TOKEN_EXPIRED",
                    &["the token expired", "read it anew"],
                );
            }
        }
    }
    // The account is gone, and gets no more tokens. Those that it has are good until they end.
    let unseen = token(&group.plane, "team-a", "worker", &[MEANT]).await?;
    group.plane.kubectl(&["delete", "serviceaccount", "worker", "--namespace=team-a"]).await?;
    ensure!(token(&group.plane, "team-a", "worker", &[MEANT]).await.is_err(), "the account is still there");
    for left in [&own, &unseen] {
        status(&group, 0, left).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_keys_of_a_cluster_are_rotated_under_its_workers() -> anyhow::Result<()> {
    let group = one_replica().await?;
    let former = token(&group.plane, "team-a", "worker", &[MEANT]).await?;
    known(&group, &former).await?;
    let first = std::fs::read_to_string(group.plane.account_key())?;
    rotate(&group.plane, &first).await?;
    let newer = token(&group.plane, "team-a", "worker", &[MEANT]).await?;
    ensure!(part(&former, 0)?["kid"] != part(&newer, 0)?["kid"], "the same key signs");
    known(&group, &newer).await?;
    // Seen before or not: the former key is published, so it is good.
    status(&group, 0, &former).await?;

    // The second one is taken out of use. The first one is still that of the replica's own token.
    rotate(&group.plane, &first).await?;
    let newest = token(&group.plane, "team-a", "worker", &[MEANT]).await?;
    known(&group, &newest).await?;
    let refused = refused(&group, &newer).await?;
    assert_refused(&refused, Code::Unauthenticated, "INVALID_TOKEN", &["has no key", "was taken out of use"]);
    status(&group, 0, &former).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_api_server_is_gone_a_failed_read_of_keys_costs_nobody_anything() -> anyhow::Result<()> {
    let group = one_replica().await?;
    let seen = token(&group.plane, "team-a", "worker", &[MEANT]).await?;
    let unseen = token(&group.plane, "team-b", "worker", &[MEANT]).await?;
    known(&group, &seen).await?;
    group.plane.stop(Part::ApiServer).await?;
    // A token that names another key makes the replica read them, in vain.
    let (header, rest) = seen.split_once('.').context("it has three parts")?;
    let mut named: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    named["kid"] = json!("another");
    let named = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(named.to_string()));
    let since = Instant::now();
    loop {
        let told = status(&group, 0, &named).await.expect_err("the key can't be known");
        ensure!(refusal(&told).reason == "ISSUER_KEYS_UNKNOWN", "{told:?}");
        if told.message().contains("its keys can't be read") {
            break;
        }
        ensure!(since.elapsed() < PATIENCE, "{told:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for token in [&seen, &unseen] {
        status(&group, 0, token).await?;
    }
    Ok(())
}
