//! Whose calls are served, and whose candidacies are whose.

use super::{Place, TTL_MS};
use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_harness::{Issuer, Server, assert_refused, by, leased, reopened, stream_bound};
use leasehold_proto::v1::{
    CampaignRequest, CandidacyState, GetElectionRequest, GetStatusRequest, KeepAliveItem, KeepAliveRequest,
    KeepAliveResult, ProclaimRequest, ResignRequest,
};
use serde_json::json;
use std::time::Duration;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

async fn keep_alive(place: &mut Place, token: &str, ticket: &[u8]) -> anyhow::Result<KeepAliveResult> {
    let items = vec![KeepAliveItem { ticket: ticket.to_vec(), want_task_token: true }];
    let mut results = place.client.keep_alive(by(token, KeepAliveRequest { items })).await?.into_inner().results;
    results.pop().context("one result is due")
}

#[tokio::test]
async fn a_call_without_a_good_token_is_refused_and_health_and_reflection_are_open() -> anyhow::Result<()> {
    let mut place = Place::new(&[]).await?;
    let nobody = place.client.get_election(GetElectionRequest { election: "a".to_owned() }).await.unwrap_err();
    assert_refused(&nobody, Code::Unauthenticated, "NO_TOKEN", &["send a token in the metadata"]);
    let status = place.admin.get_status(GetStatusRequest {}).await.unwrap_err();
    assert_refused(&status, Code::Unauthenticated, "NO_TOKEN", &[]);
    let campaign = place.client.campaign(leased("team-a/x", "w", TTL_MS)).await.unwrap_err();
    assert_refused(&campaign, Code::Unauthenticated, "NO_TOKEN", &[]);
    let get = || GetElectionRequest { election: "team-a/x".to_owned() };
    let garbage = place.client.get_election(by("a.b.c", get())).await.unwrap_err();
    assert_refused(&garbage, Code::Unauthenticated, "INVALID_TOKEN", &["it isn't a JWT"]);
    let stranger = Issuer::new("https://evil.example")?.token("x");
    let stranger = place.client.get_election(by(&stranger, get())).await.unwrap_err();
    assert_refused(&stranger, Code::Unauthenticated, "INVALID_TOKEN", &["https://evil.example", "isn't one that"]);
    let mut two = by(&place.cluster.unbound("team-a", "w"), get());
    two.metadata_mut().append("authorization", "Bearer x".parse()?);
    let two = place.client.get_election(two).await.unwrap_err();
    assert_refused(&two, Code::Unauthenticated, "NO_TOKEN", &["several tokens"]);
    let mut pretends = Request::new(get());
    pretends.metadata_mut().insert("leasehold-caller", "AAAA".parse()?);
    pretends.metadata_mut().insert("leasehold-tenure", "1".parse()?);
    let pretends = place.client.get_election(pretends).await.unwrap_err();
    assert_refused(&pretends, Code::Unavailable, "UNPROVEN_CALLER", &[]);

    let channel = place.server.channel().await?;
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await?;
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut services =
        ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(list)).await?.into_inner();
    ensure!(services.message().await?.is_some());
    ensure!(place.metric("leasehold_refusals_total{reason=\"NO_TOKEN\"}").await? >= 3.0);
    Ok(())
}

#[tokio::test]
async fn a_ticket_is_worth_nothing_in_other_hands() -> anyhow::Result<()> {
    let mut place = Place::new(&["--admin", "system:serviceaccount:leasehold:ops"]).await?;
    let own = place.cluster.unbound("team-a", "worker");
    let mut leader = place.lead(&own, "team-a/report").await?;
    // Another one of the namespace, and one who may do everything.
    for other in [place.cluster.unbound("team-a", "other"), place.cluster.unbound("leasehold", "ops")] {
        let ticket = leader.ticket.clone();
        let kept = keep_alive(&mut place, &other, &ticket).await?;
        assert_eq!(kept.state(), CandidacyState::Refused);
        ensure!(kept.detail.contains("was given to another subject"), "{}", kept.detail);
        let refused = [
            place.client.resign(by(&other, ResignRequest { ticket: ticket.clone() })).await.unwrap_err(),
            place
                .client
                .proclaim(by(&other, ProclaimRequest { ticket: ticket.clone(), value: "v".to_owned() }))
                .await
                .unwrap_err(),
            place.enter(&other, reopened(&ticket)).await.unwrap_err(),
        ];
        for refused in refused {
            assert_refused(&refused, Code::PermissionDenied, "OTHER_SUBJECT", &["team-a/report"]);
        }
    }
    // Whoever it was given to goes on, from another connection and in another pod.
    let bound = place.cluster.bound("team-a", "worker", "another-pod");
    let kept = keep_alive(&mut place, &bound, &leader.ticket).await?;
    assert_eq!(kept.state(), CandidacyState::Leading);
    leader.quiet_for(Duration::from_millis(100)).await?;
    let mut again = place.enter(&own, reopened(&kept.ticket)).await?;
    assert_eq!(again.elected().await?.fencing_token, kept.fencing_token);
    let line = place.audit("denied", 8).await?.remove(0);
    assert_eq!(line["verb"], json!("use the ticket of another subject"));
    Ok(())
}

#[tokio::test]
async fn the_subject_outlives_a_crash_of_the_service() -> anyhow::Result<()> {
    let mut place = Place::new(&["--max-ttl=3s"]).await?;
    let own = place.cluster.unbound("team-a", "worker");
    let mut leader = place.enter(&own, leased("team-a/report", "w", 3000)).await?;
    let token = leader.elected().await?.fencing_token;
    place.server.kill9().await?;
    place.server.restart().await?;
    (place.client, place.admin) = (place.server.elections().await?, place.server.admin().await?);
    place.knows_the_cluster().await?;
    let other = place.cluster.unbound("team-a", "other");
    let refused = keep_alive(&mut place, &other, &leader.ticket).await?;
    assert_eq!(refused.state(), CandidacyState::Refused);
    let kept = keep_alive(&mut place, &own, &leader.ticket).await?;
    assert_eq!((kept.state(), kept.fencing_token), (CandidacyState::Leading, token));
    Ok(())
}

fn claims(task_token: &str) -> anyhow::Result<serde_json::Value> {
    let claims = task_token.split('.').nth(1).context("it has three parts")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?)
}

#[tokio::test]
async fn task_tokens_say_who_has_entered() -> anyhow::Result<()> {
    let mut place = Place::new(&[]).await?;
    let own = place.cluster.unbound("team-a", "worker");
    let subject = json!("system:serviceaccount:team-a:worker");
    let mut leader = place.enter(&own, leased("team-a/report", "w", TTL_MS)).await?;
    assert_eq!(claims(&leader.elected().await?.task_token)?["subject"], subject);
    let kept = keep_alive(&mut place, &own, &leader.ticket).await?;
    assert_eq!(claims(&kept.task_token)?["subject"], subject);
    let mut bound = place.enter(&own, stream_bound("team-a/other", "w")).await?;
    assert_eq!(claims(&bound.elected().await?.task_token)?["subject"], subject);

    let open = Server::start().await?;
    let mut client = open.elections().await?;
    let mut leader = leasehold_harness::Campaign::open(&mut client, leased("a", "w", TTL_MS)).await?;
    ensure!(claims(&leader.elected().await?.task_token)?.get("subject").is_none(), "nobody was asked");
    Ok(())
}

#[tokio::test]
async fn a_pod_replaces_its_former_self_and_no_other_pod() -> anyhow::Result<()> {
    let mut place = Place::new(&[]).await?;
    let (a, b) = (place.cluster.bound("team-a", "worker", "pod-a"), place.cluster.bound("team-a", "worker", "pod-b"));
    let again = || CampaignRequest { replace_former: true, ..leased("team-a/report", "worker-0", TTL_MS) };
    let mut first = place.enter(&a, again()).await?;
    let former = first.elected().await?.fencing_token;
    // Another pod of the same name and subject waits.
    let mut other = place.enter(&b, again()).await?;
    other.waiting().await?;
    // So does another subject, whatever its pod is called.
    let stranger = place.cluster.bound("team-a", "other", "pod-a");
    place.enter(&stranger, again()).await?.waiting().await?;
    let mut second = place.enter(&a, again()).await?;
    ensure!(second.elected().await?.fencing_token > former);
    assert_eq!(first.ended().await?.reason(), leasehold_proto::v1::EndReason::Replaced);

    let unbound = place.cluster.unbound("team-a", "worker");
    let denied = place.enter(&unbound, again()).await.unwrap_err();
    let says = ["system:serviceaccount:team-a:worker may not replace in the election team-a/report", "to allow it"];
    assert_refused(&denied, Code::PermissionDenied, "DENIED", &says);
    let replaced = place.audit("replace-former", 4).await?;
    let replaced: Vec<_> = replaced.iter().map(|line| (line["by"].clone(), line["pod"].clone())).collect();
    assert_eq!(replaced, vec![(json!("pod"), json!("worker-0")); 4]);
    Ok(())
}

#[tokio::test]
async fn an_openid_provider_is_one_more_way() -> anyhow::Result<()> {
    let provider = Issuer::new("https://sso.example/ops")?;
    let admin = "oidc:https://sso.example/ops#ann";
    let server = Server::builder().arg("--oidc").arg(provider.flag()).arg("--admin").arg(admin).start().await?;
    let mut client = server.elections().await?;
    let get = || GetElectionRequest { election: "any/thing".to_owned() };
    client.get_election(by(&provider.token("ann"), get())).await?;
    let denied = client.get_election(by(&provider.token("bob"), get())).await.unwrap_err();
    assert_refused(&denied, Code::PermissionDenied, "DENIED", &["oidc:https://sso.example/ops#bob may not observe"]);
    Ok(())
}
