//! A worker's token is replaced in its file while the worker leads.

use anyhow::ensure;
use leasehold::{Access, Client};
use leasehold_harness::{Issuer, Server, assert_refused, by};
use leasehold_proto::v1::GetStatusRequest;
use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tonic::Code;

/// How long the first token is good for, and how much longer it is accepted.
const LASTS: Duration = Duration::from_secs(8);
const LEEWAY: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_leader_goes_on_with_the_new_token_of_its_file() -> anyhow::Result<()> {
    let issuer = Issuer::new("https://sso.example")?;
    let (accepts, may) = (format!("--oidc={}", issuer.flag()), "--admin=oidc:https://sso.example#worker");
    let server = Server::builder().arg(accepts).arg(may).start().await?;
    let folder = tempfile::tempdir()?;
    let (file, next) = (folder.path().join("token"), folder.path().join("next"));
    let exp = SystemTime::now().duration_since(UNIX_EPOCH)? + LASTS;
    let claims = json!({"iss": issuer.name, "aud": "leasehold", "sub": "worker", "exp": exp.as_secs()});
    let former = issuer.sign(&claims);
    std::fs::write(&file, &former)?;
    let client = Client::connect_with(server.endpoint(), Access::new().token_file(&file)).await?;
    let ttl = Duration::from_secs(3);
    let leadership = client.campaign("jobs/rotated").ttl(ttl).await?;
    let token = leadership.fencing_token();
    std::fs::write(&next, issuer.token("worker"))?;
    std::fs::rename(&next, &file)?;

    // Connections stay open meanwhile: each call shows a token of its own.
    let (mut admin, since) = (server.admin().await?, Instant::now());
    let refused = loop {
        match admin.get_status(by(&former, GetStatusRequest {})).await {
            Err(status) => break status,
            Ok(_) => ensure!(since.elapsed() < 2 * (LASTS + LEEWAY), "the former token never ends"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_refused(&refused, Code::Unauthenticated, "TOKEN_EXPIRED", &["expired"]);
    // Whoever showed it would be refused every KeepAlive, and lose the lead.
    tokio::time::sleep(2 * ttl).await;
    ensure!(leadership.is_leading() && leadership.fencing_token() == token);
    let leader = client.get("jobs/rotated").await?.leader;
    ensure!(leader.is_some_and(|leader| leader.fencing_token == token));
    Ok(())
}
