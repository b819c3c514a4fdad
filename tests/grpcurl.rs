//! grpcurl itself, with no proto file at hand: it lists, describes, campaigns, observes.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, PATIENCE, Process, Server, grpcurl, leased};
use serde_json::{Value, json};

/// Runs grpcurl to its end and gives its output.
async fn output(server: &Server, flags: &[&str], arguments: &[&str]) -> anyhow::Result<String> {
    let ending = Process::spawn("grpcurl", grpcurl(server, flags, arguments)?)?.wait(PATIENCE).await?;
    ensure!(ending.status.success(), "grpcurl {arguments:?}: {ending:?}");
    Ok(ending.stdout)
}

/// Starts a call that streams.
fn stream(server: &Server, data: &str, method: &str) -> anyhow::Result<Process> {
    Process::spawn("grpcurl", grpcurl(server, &["-d", data], &[method])?)
}

/// Waits until the `number`-th message of a stream is there, and gives it. grpcurl prints each over
/// several lines.
async fn message(process: &Process, number: usize) -> anyhow::Result<Value> {
    let seen = std::sync::Mutex::new(0);
    let nth_end = |line: &str| {
        let mut seen = seen.lock().expect("nothing panics while it is held");
        *seen += usize::from(line == "}");
        *seen == number
    };
    process.wait_for_line(nth_end, PATIENCE).await?;
    let output = process.stdout();
    let mut messages = serde_json::Deserializer::from_str(&output).into_iter::<Value>();
    messages.nth(number - 1).context("the lines said that it is there")?.context("it isn't JSON")
}

#[tokio::test]
async fn it_lists_and_describes() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let services = output(&server, &[], &["list"]).await?;
    for service in
        ["leasehold.v1.ElectionService", "leasehold.v1.AdminService", "grpc.health.v1.Health", "grpc.reflection.v1"]
    {
        ensure!(services.contains(service), "{service} isn't in\n{services}");
    }
    let methods = output(&server, &[], &["list", "leasehold.v1.ElectionService"]).await?;
    let names: Vec<&str> = methods.lines().map(|line| line.rsplit('.').next().unwrap_or_default()).collect();
    let expected =
        ["Campaign", "GetElection", "KeepAlive", "ListElections", "Observe", "Proclaim", "Resign", "VerifyToken"];
    assert_eq!(names, expected);
    let described = output(&server, &[], &["describe", "leasehold.v1.CampaignRequest"]).await?;
    for part in ["string election = 1", ".google.protobuf.Duration ttl = 3", "bytes ticket = 8"] {
        ensure!(described.contains(part), "{part} isn't in\n{described}");
    }
    let health = output(&server, &["-d", "{}"], &["grpc.health.v1.Health/Check"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&health)?, json!({"status": "SERVING"}));
    Ok(())
}

#[tokio::test]
async fn it_campaigns_and_its_death_hands_over_at_once() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let method = "leasehold.v1.ElectionService/Campaign";
    let mut leads = stream(&server, r#"{"election": "demo", "candidate": "one"}"#, method)?;
    let enrolled = message(&leads, 1).await?;
    ensure!(enrolled["enrolled"]["enrolment"].is_string() && enrolled["tenure"].is_string(), "{enrolled}");
    ensure!(enrolled["enrolled"].get("ttl").is_none(), "{enrolled}");
    let elected = message(&leads, 2).await?;
    let token: u64 = elected["elected"]["fencingToken"].as_str().context("64-bit numbers are strings")?.parse()?;

    let waits = stream(&server, r#"{"election": "demo", "candidate": "two"}"#, method)?;
    let waiting = message(&waits, 2).await?;
    assert_eq!(waiting["waiting"], json!({"ahead": 1}));
    leads.kill9().await?;
    let elected = message(&waits, 3).await?;
    let next: u64 = elected["elected"]["fencingToken"].as_str().context("64-bit numbers are strings")?.parse()?;
    ensure!(next > token, "{next} after {token}");
    let data = format!(r#"{{"election": "demo", "fencing_token": {next}}}"#);
    let verified = output(&server, &["-d", &data], &["leasehold.v1.ElectionService/VerifyToken"]).await?;
    let verified: Value = serde_json::from_str(&verified)?;
    assert_eq!((&verified["valid"], &verified["status"]), (&json!(true), &json!("TOKEN_STATUS_CURRENT")));
    Ok(())
}

#[tokio::test]
async fn it_observes() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("demo/x", "one", 15_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let observes = stream(&server, r#"{"prefix": "demo/"}"#, "leasehold.v1.ElectionService/Observe")?;
    let change = message(&observes, 1).await?;
    let expected = json!({"candidate": "one", "fencingToken": token.to_string(), "leased": true});
    assert_eq!(change["change"]["leader"], expected);
    assert_eq!(change["change"]["reason"], "CHANGE_REASON_ELECTED");
    ensure!(message(&observes, 2).await?["synced"]["revision"].is_string());
    leader.proclaim(&mut client, "10.0.0.7:80").await?;
    let change = message(&observes, 3).await?;
    assert_eq!(change["change"]["leader"]["value"], "10.0.0.7:80");
    leader.resign(&mut client).await?;
    let change = message(&observes, 4).await?;
    assert_eq!((change["change"].get("leader"), &change["change"]["reason"]), (None, &json!("CHANGE_REASON_RESIGNED")));
    Ok(())
}

#[tokio::test]
async fn it_is_told_what_was_wrong() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let data = r#"{"election": "a//b", "candidate": "one"}"#;
    let mut process = stream(&server, data, "leasehold.v1.ElectionService/Campaign")?;
    let ending = process.wait(PATIENCE).await?;
    ensure!(!ending.status.success(), "{ending:?}");
    for part in ["InvalidArgument", "a//b", "INVALID_NAME"] {
        ensure!(ending.stderr.contains(part), "{part} isn't in\n{}", ending.stderr);
    }
    Ok(())
}
