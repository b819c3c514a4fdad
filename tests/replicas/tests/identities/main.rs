//! Replicas that ask who calls, with the tokens of a real cluster: whose calls they serve, through
//! a standby as well, and what a pod proves.

mod tokens;

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, ElectionClient, PATIENCE, assert_refused, by, leased, refusal, reopened};
use leasehold_kube_harness::{ControlPlane, Part};
use leasehold_proto::v1::{
    CampaignRequest, CandidacyState, EndReason, GetElectionRequest, GetStatusRequest, GetStatusResponse, KeepAliveItem,
    KeepAliveRequest, ResignRequest, Role,
};
use leasehold_replica_tests::Group;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// A token that the API server gives out; `more` are flags of `kubectl create token`.
async fn token(plane: &ControlPlane, namespace: &str, name: &str, more: &[&str]) -> anyhow::Result<String> {
    let args = [&["create", "token", name, "--namespace", namespace], more].concat();
    Ok(plane.kubectl(&args).await?.trim().to_owned())
}

const MEANT: &str = "--audience=leasehold";

/// Namespaces with a service account `worker`, and a pod of it that nobody runs.
async fn equip(plane: &ControlPlane) -> anyhow::Result<()> {
    for namespace in ["team-a", "team-b"] {
        let object = |kind: &str, more: &str| {
            format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: worker, namespace: {namespace}}}{more}}}")
        };
        let spec = ", spec: {serviceAccountName: worker, containers: [{name: c, image: none}]}";
        let made = [
            format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"),
            object("ServiceAccount", ""),
            object("Pod", spec),
        ];
        plane.admin().apply(&made.join("\n---\n")).await?;
    }
    Ok(())
}

async fn status(group: &Group, replica: usize, token: &str) -> Result<GetStatusResponse, Status> {
    let mut admin =
        group.replicas[replica].server.admin().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(admin.get_status(by(token, GetStatusRequest {})).await?.into_inner())
}

/// Which replica is active and grants, and one that isn't and knows it. Both know the cluster's
/// keys.
async fn roles(group: &Group, token: &str) -> anyhow::Result<(usize, usize)> {
    let since = Instant::now();
    loop {
        let (one, other) = (status(group, 0, token).await, status(group, 1, token).await);
        if let (Ok(one), Ok(other)) = (&one, &other) {
            let serves = |status: &GetStatusResponse| status.role() == Role::Active && status.settling.is_none();
            if serves(one) && other.active.is_some() {
                return Ok((0, 1));
            }
            if serves(other) && one.active.is_some() {
                return Ok((1, 0));
            }
        }
        ensure!(since.elapsed() < PATIENCE, "{one:?}, {other:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn keep_alive(
    client: &mut ElectionClient,
    token: &str,
    ticket: &[u8],
) -> anyhow::Result<(CandidacyState, Vec<u8>)> {
    let items = vec![KeepAliveItem { ticket: ticket.to_vec(), want_task_token: false }];
    let mut results = client.keep_alive(by(token, KeepAliveRequest { items })).await?.into_inner().results;
    let result = results.pop().context("one result is due")?;
    Ok((result.state(), result.ticket))
}

fn get(election: &str) -> GetElectionRequest {
    GetElectionRequest { election: election.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_says_who_calls_and_only_replicas_are_believed() -> anyhow::Result<()> {
    let builder = Group::builder().quick().count(2).arg("--auth=kubernetes");
    let (plane, account) = builder.plane().await?;
    equip(&plane).await?;
    let own = token(&plane, "team-a", "worker", &[MEANT]).await?;
    let other = token(&plane, "team-b", "worker", &[MEANT]).await?;
    let group = builder.start_on(plane, &account).await?;
    let (active, standby) = roles(&group, &own).await?;
    let mut through = group.replicas[standby].server.elections().await?;
    let mut straight = group.replicas[active].server.elections().await?;

    let mut leader = Campaign::open(&mut through, by(&own, leased("team-a/report", "w", 6000))).await?;
    let lead = leader.elected().await?.fencing_token;
    for client in [&mut through, &mut straight] {
        let (state, ticket) = keep_alive(client, &own, &leader.ticket).await?;
        assert_eq!(state, CandidacyState::Leading);
        leader.ticket = ticket;
        assert_eq!(keep_alive(client, &other, &leader.ticket).await?.0, CandidacyState::Refused);
        let resign = client
            .resign(by(&other, ResignRequest { ticket: leader.ticket.clone() }))
            .await
            .expect_err("it is refused");
        assert_refused(&resign, Code::PermissionDenied, "OTHER_SUBJECT", &["system:serviceaccount:team-b:worker"]);
        let denied = client.get_election(by(&other, get("team-a/report"))).await.expect_err("it is refused");
        let who = "system:serviceaccount:team-b:worker may not observe in the election team-a/report";
        assert_refused(&denied, Code::PermissionDenied, "DENIED", &[who]);
        let nobody = client.get_election(get("team-a/report")).await.expect_err("it is refused");
        assert_refused(&nobody, Code::Unauthenticated, "NO_TOKEN", &[]);
        let mut pretends = by(&other, get("team-a/report"));
        pretends.metadata_mut().insert("leasehold-caller", "c3lzdGVt".parse()?);
        let pretends = client.get_election(pretends).await.expect_err("it is refused");
        assert_refused(&pretends, Code::Unavailable, "UNPROVEN_CALLER", &[]);
        let mut again = Campaign::open(client, by(&own, reopened(&leader.ticket))).await?;
        assert_eq!(again.elected().await?.fencing_token, lead);
    }
    // The audit log is the active replica's, and says where a call came from first.
    let log = group.replicas[active].server.process().stderr();
    ensure!(log.contains("\"event\":\"denied\"") && log.contains("\"from\":\"127.0.0.1\""), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_real_cluster_are_checked_without_it() -> anyhow::Result<()> {
    let builder = Group::builder().count(1).arg("--auth=kubernetes");
    let (plane, account) = builder.plane().await?;
    let stranger = ControlPlane::start().await?;
    equip(&plane).await?;
    equip(&stranger).await?;
    let own = token(&plane, "team-a", "worker", &[MEANT]).await?;
    let unseen = token(&plane, "team-a", "worker", &[MEANT]).await?;
    let elsewhere = token(&plane, "team-a", "worker", &[]).await?;
    let strange = token(&stranger, "team-a", "worker", &[MEANT]).await?;
    drop(stranger);
    let group = builder.start_on(plane, &account).await?;
    let since = Instant::now();
    while let Err(refused) = status(&group, 0, &own).await {
        ensure!(since.elapsed() < PATIENCE && refused.code() == Code::Unavailable, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = status(&group, 0, &elsewhere).await.expect_err("it is refused");
    assert_refused(
        &refused,
        Code::Unauthenticated,
        "INVALID_TOKEN",
        &["isn't meant for this service", "\"leasehold\" is due"],
    );
    // The other cluster calls itself the same, and has another key: a new one, for all that is
    // known.
    let refused = status(&group, 0, &strange).await.expect_err("it is refused");
    ensure!(["ISSUER_KEYS_UNKNOWN", "INVALID_TOKEN"].contains(&refusal(&refused).reason.as_str()), "{refused:?}");

    group.plane.freeze(Part::Both).await?;
    status(&group, 0, &own).await?;
    status(&group, 0, &unseen).await?;
    group.plane.thaw(Part::Both).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_of_a_real_cluster_replaces_itself_and_no_other_pod_does() -> anyhow::Result<()> {
    let builder = Group::builder().quick().count(2).arg("--auth=kubernetes");
    let (plane, account) = builder.plane().await?;
    equip(&plane).await?;
    let pod = ["--bound-object-kind=Pod", "--bound-object-name=worker", MEANT];
    let own = token(&plane, "team-a", "worker", &pod).await?;
    let unbound = token(&plane, "team-a", "worker", &[MEANT]).await?;
    // A pod of the same name, later.
    plane.kubectl(&["delete", "pod", "worker", "--namespace=team-a", "--now"]).await?;
    equip(&plane).await?;
    let next = token(&plane, "team-a", "worker", &pod).await?;

    let group = builder.start_on(plane, &account).await?;
    let (_, standby) = roles(&group, &unbound).await?;
    let mut client = group.replicas[standby].server.elections().await?;
    let again = || CampaignRequest { replace_former: true, ..leased("team-a/report", "worker-0", 6000) };
    let mut first = Campaign::open(&mut client, by(&own, again())).await?;
    let former = first.elected().await?.fencing_token;
    Campaign::open(&mut client, by(&next, again())).await?.waiting().await?;
    let refused = Campaign::open(&mut client, by(&unbound, again())).await.expect_err("it is refused");
    assert_refused(&refused, Code::PermissionDenied, "DENIED", &["may not replace"]);
    let mut second = Campaign::open(&mut client, by(&own, again())).await?;
    ensure!(second.elected().await?.fencing_token > former);
    assert_eq!(first.ended().await?.reason(), EndReason::Replaced);
    Ok(())
}
