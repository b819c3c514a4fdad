//! The HTTP port, gRPC health and reflection, and task tokens that others verify offline.

use anyhow::{Context as _, ensure};
use leasehold_harness::{
    Campaign, HttpResponse, Observer, PATIENCE, Process, Server, http_get, leased, python, repository,
};
use leasehold_proto::v1::ObserveRequest;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn get(server: &Server, path: &str) -> anyhow::Result<HttpResponse> {
    http_get(&format!("{}{path}", server.http())).await
}

#[tokio::test]
async fn it_says_whether_it_lives_and_is_ready() -> anyhow::Result<()> {
    let server = Server::start().await?;
    for path in ["/healthz", "/readyz"] {
        let response = get(&server, path).await?;
        assert_eq!(response.status, 200, "{path}: {response:?}");
    }
    let response = get(&server, "/other").await?;
    assert_eq!(response.status, 404);
    Ok(())
}

/// The value of a metric without labels.
fn metric(metrics: &str, name: &str) -> anyhow::Result<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name} in\n{metrics}"))?.parse()?)
}

#[tokio::test]
async fn its_metrics_count_what_is_there() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut open = Vec::new();
    for (election, name) in [("jobs/a", "x"), ("jobs/a", "y"), ("jobs/b", "x")] {
        open.push(Campaign::open(&mut client, leased(election, name, 15_000)).await?);
    }
    let mut observer = Observer::open(&mut client, ObserveRequest::default()).await?;
    observer.synced().await?;
    let expected = [
        ("leasehold_elections", 2.0),
        ("leasehold_candidacies", 3.0),
        ("leasehold_leaders", 2.0),
        ("leasehold_observers", 1.0),
    ];
    // Gauges may be brought up to date a moment later.
    let since = std::time::Instant::now();
    loop {
        let response = get(&server, "/metrics").await?;
        let kind = response.header("content-type").unwrap_or_default();
        ensure!(response.status == 200 && kind.starts_with("application/openmetrics-text"), "{response:?}");
        ensure!(response.body.ends_with("# EOF\n"), "{}", response.body);
        let found = expected.map(|(name, _)| metric(&response.body, name).unwrap_or(f64::NAN));
        if found == expected.map(|(_, value)| value) {
            return Ok(());
        }
        ensure!(since.elapsed() < PATIENCE / 3, "{expected:?} isn't in\n{}", response.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn grpc_health_knows_the_service() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut health = HealthClient::new(server.channel().await?);
    for service in ["", "leasehold.v1.ElectionService", "leasehold.v1.AdminService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.with_context(|| format!("{service:?}"))?.into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
    }
    let request = HealthCheckRequest { service: "no.such.Service".to_owned() };
    let status = health.check(request).await.expect_err("there is none");
    assert_eq!(status.code(), tonic::Code::NotFound);
    Ok(())
}

/// Asks for the list of services and for the file of one, over one version of the reflection
/// protocol.
macro_rules! reflect {
    ($version:ident, $server:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let mut client = ServerReflectionClient::new($server.channel().await?);
        let requests = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("leasehold.v1.ElectionService".to_owned())),
        ];
        // A list as the stream of requests: it is sent, then the sending side closes.
        let requests = tokio_stream::iter(requests);
        let mut answers = client.server_reflection_info(requests).await?.into_inner();
        let Some(MessageResponse::ListServicesResponse(list)) =
            answers.message().await?.context("an answer")?.message_response
        else {
            panic!("a list of services is due")
        };
        let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
        for name in ["leasehold.v1.ElectionService", "leasehold.v1.AdminService", "grpc.health.v1.Health"] {
            ensure!(names.iter().any(|listed| listed == name), "{name} isn't in {names:?}");
        }
        let Some(MessageResponse::FileDescriptorResponse(file)) =
            answers.message().await?.context("an answer")?.message_response
        else {
            panic!("a file is due")
        };
        ensure!(!file.file_descriptor_proto.is_empty());
    }};
}

#[tokio::test]
async fn both_versions_of_reflection_are_there() -> anyhow::Result<()> {
    let server = Server::start().await?;
    reflect!(v1, server);
    reflect!(v1alpha, server);
    Ok(())
}

#[tokio::test]
async fn a_stock_jwt_library_verifies_task_tokens_offline() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let sent = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut leader = Campaign::open(&mut client, leased("billing/nightly-report", "report-7", 15_000)).await?;
    let elected = leader.elected().await?;
    let keys = get(&server, "/.well-known/jwks.json").await?;
    ensure!(keys.status == 200 && keys.header("content-type") == Some("application/json"), "{keys:?}");
    ensure!(!keys.body.contains("\"d\""), "the private part is nobody's business: {}", keys.body);
    // The keys outlive the process, and nobody is asked from here on.
    server.kill9().await?;
    let claims = verified_claims(&keys.body, &elected.task_token).await?;
    assert_eq!((&claims["sub"], &claims["election"]), (&"report-7".into(), &"billing/nightly-report".into()));
    assert_eq!(claims["fence"], Value::from(elected.fencing_token), "a number, not a string");
    ensure!(claims["iss"].is_string(), "{claims}");
    let number = |claim: &str| claims[claim].as_u64().with_context(|| format!("{claim} in {claims}"));
    let (issued, expires) = (number("iat")?, number("exp")?);
    ensure!(issued >= sent && issued <= sent + 30, "issued at {issued}, asked at {sent}");
    ensure!((14..=17).contains(&(expires - issued)), "a lease of 15 s: {claims}");
    server.restart().await?;
    assert_eq!(get(&server, "/.well-known/jwks.json").await?.body, keys.body);
    Ok(())
}

/// What PyJWT says about a token, with nothing but the keys.
async fn verified_claims(keys: &str, token: &str) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, keys)?;
    let mut command = python(&repository().join("tests/python/verify_task_token.py"))?;
    command.arg(&path).arg(token);
    let ending = Process::spawn("verify_task_token.py", command)?.wait(PATIENCE).await?;
    ensure!(ending.status.success(), "{ending:?}");
    Ok(serde_json::from_str(&ending.stdout)?)
}
