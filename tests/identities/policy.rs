//! Who may do what, and what they are shown.

use super::{Place, TTL_MS};
use anyhow::ensure;
use leasehold_harness::{Observer, PATIENCE, Server, assert_refused, by, leased, refusal};
use leasehold_proto::v1::verify_token_request::Token;
use leasehold_proto::v1::{
    CampaignRequest, CandidacyState, CheckPolicyRequest, GetElectionRequest, KeepAliveItem, KeepAliveRequest,
    ListElectionsRequest, ObserveRequest, ResignRequest, StepDownRequest, VerifyTokenRequest,
};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::{Code, Status};

fn denied(status: &Status, verb: &str, election: &str) {
    assert_refused(status, Code::PermissionDenied, "DENIED", &["may not", verb, election, "to allow it"]);
    let metadata = refusal(status).metadata;
    assert_eq!((metadata["verb"].as_str(), metadata["election"].as_str()), (verb, election));
}

#[tokio::test]
async fn without_a_policy_a_service_account_has_what_lies_under_its_namespace() -> anyhow::Result<()> {
    let mut place = Place::new(&["--admin", "system:serviceaccount:leasehold:ops"]).await?;
    let (a, b) = (place.cluster.unbound("team-a", "worker"), place.cluster.unbound("team-b", "worker"));
    let ops = place.cluster.unbound("leasehold", "ops");
    let mut leader = place.lead(&a, "team-a/report").await?;
    let _other = place.lead(&b, "team-b/report").await?;
    for election in ["team-b/report", "team-a", "team-a-b/x", "x/team-a/y"] {
        denied(&place.enter(&a, leased(election, "w", TTL_MS)).await.unwrap_err(), "campaign", election);
    }

    let get = |election: &str| GetElectionRequest { election: election.to_owned() };
    place.client.get_election(by(&a, get("team-a/report"))).await?;
    denied(&place.client.get_election(by(&a, get("team-b/report"))).await.unwrap_err(), "observe", "team-b/report");
    let verify =
        |election: &str| VerifyTokenRequest { election: election.to_owned(), token: Some(Token::FencingToken(1)) };
    ensure!(!place.client.verify_token(by(&a, verify("team-a/report"))).await?.into_inner().valid);
    denied(&place.client.verify_token(by(&a, verify("team-b/report"))).await.unwrap_err(), "verify", "team-b/report");
    let step_down = |election: &str| StepDownRequest { election: election.to_owned(), ..Default::default() };
    let refused = place.admin.step_down(by(&a, step_down("team-a/report"))).await.unwrap_err();
    denied(&refused, "step-down", "team-a/report");

    place.client.get_election(by(&ops, get("team-b/report"))).await?;
    place.admin.step_down(by(&ops, step_down("team-a/report"))).await?;
    ensure!(matches!(leader.next().await?, Some(leasehold_proto::v1::campaign_response::Event::Draining(_))));

    let audit = place.audit("denied", 7).await?;
    let verbs: Vec<_> = audit.iter().map(|line| line["verb"].as_str().unwrap_or_default()).collect();
    assert_eq!(verbs, ["campaign", "campaign", "campaign", "campaign", "observe", "verify", "step-down"]);
    let line = &audit[4];
    assert_eq!(line["subject"], json!("system:serviceaccount:team-a:worker"));
    assert_eq!((&line["election"], &line["from"]), (&json!("team-b/report"), &json!("127.0.0.1")));
    let line = place.audit("step-down", 1).await?.remove(0);
    assert_eq!(line["subject"], json!("system:serviceaccount:leasehold:ops"));
    Ok(())
}

#[tokio::test]
async fn lists_and_observers_are_shown_what_they_may_see() -> anyhow::Result<()> {
    let mut place = Place::new(&["--admin", "system:serviceaccount:leasehold:ops"]).await?;
    let mut leaders = Vec::new();
    for (namespace, election) in [
        ("team-a", "team-a/1"),
        ("team-a", "team-a/2"),
        ("team-a", "team-a/3"),
        ("team-a-b", "team-a-b/1"),
        ("team-b", "team-b/1"),
    ] {
        let token = place.cluster.unbound(namespace, "worker");
        leaders.push(place.lead(&token, election).await?);
    }
    let a = place.cluster.unbound("team-a", "viewer");
    let ops = place.cluster.unbound("leasehold", "ops");
    let list = |prefix: &str, page_size: u32, page_token: &str| ListElectionsRequest {
        prefix: prefix.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let mut names = async |token: &str, request: ListElectionsRequest| -> Result<(Vec<String>, String), Status> {
        let page = place.client.list_elections(by(token, request)).await?.into_inner();
        Ok((page.elections.into_iter().map(|election| election.name).collect(), page.next_page_token))
    };
    assert_eq!(names(&ops, list("", 0, "")).await?.0.len(), 5);
    assert_eq!(
        names(&a, list("", 0, "")).await?,
        (vec!["team-a/1".into(), "team-a/2".into(), "team-a/3".into()], String::new())
    );
    let (first, next) = names(&a, list("team", 2, "")).await?;
    assert_eq!((first, next.as_str()), (vec!["team-a/1".to_owned(), "team-a/2".to_owned()], "team-a/2"));
    assert_eq!(names(&a, list("team", 2, &next)).await?, (vec!["team-a/3".to_owned()], String::new()));
    denied(&names(&a, list("team-b/", 0, "")).await.unwrap_err(), "observe", "team-b/**");

    let mut everything = Observer::open(&mut place.client, by(&a, ObserveRequest::default())).await?;
    let (snapshot, _) = everything.synced().await?;
    let seen: Vec<_> = snapshot.iter().map(|change| change.election.as_str()).collect();
    assert_eq!(seen, ["team-a/1", "team-a/2", "team-a/3"]);
    let named = |names: &[&str]| ObserveRequest {
        elections: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    let both = Observer::open(&mut place.client, by(&a, named(&["team-a/1", "team-b/1"]))).await.unwrap_err();
    denied(&both, "observe", "team-b/1");
    // What happens elsewhere isn't shown either.
    let worker = place.cluster.unbound("team-b", "worker");
    let _hidden = place.lead(&worker, "team-b/2").await?;
    let worker = place.cluster.unbound("team-a", "worker");
    let _shown = place.lead(&worker, "team-a/4").await?;
    assert_eq!(everything.change().await?.election, "team-a/4");
    Ok(())
}

#[tokio::test]
async fn quotas_keep_a_subject_within_its_share() -> anyhow::Result<()> {
    let mut place = Place::new(&["--max-calls-per-subject=20", "--max-observers-per-subject=2"]).await?;
    let (noisy, quiet) = (place.cluster.unbound("team-a", "noisy"), place.cluster.unbound("team-a", "quiet"));
    let get = || GetElectionRequest { election: "team-a/x".to_owned() };
    let mut refused = 0;
    for _ in 0..400 {
        if let Err(status) = place.client.get_election(by(&noisy, get())).await {
            assert_refused(&status, Code::ResourceExhausted, "TOO_FAST", &["20 calls a second"]);
            refused += 1;
        }
        if refused > 10 {
            break;
        }
    }
    ensure!(refused > 10, "400 calls came in over more than 19 s");
    place.client.get_election(by(&quiet, get())).await?;

    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(Observer::open(&mut place.client, by(&quiet, ObserveRequest::default())).await?);
    }
    let third = Observer::open(&mut place.client, by(&quiet, ObserveRequest::default())).await.unwrap_err();
    assert_refused(&third, Code::ResourceExhausted, "TOO_MANY_OBSERVERS", &["max_observers_per_subject"]);
    drop(open);
    let since = Instant::now();
    while Observer::open(&mut place.client, by(&quiet, ObserveRequest::default())).await.is_err() {
        ensure!(since.elapsed() < PATIENCE, "the places aren't given back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_subject_that_calls_as_often_as_it_can_costs_another_one_nothing() -> anyhow::Result<()> {
    let mut place = Place::new(&["--max-calls-per-subject=50", "--max-ttl=3s"]).await?;
    let (noisy, quiet) = (place.cluster.unbound("team-a", "noisy"), place.cluster.unbound("team-a", "quiet"));
    let mut noise = JoinSet::new();
    let refused = Arc::new(AtomicUsize::new(0));
    for _ in 0..8 {
        let (mut client, noisy) = (place.server.elections().await?, noisy.clone());
        let refused = Arc::clone(&refused);
        noise.spawn(async move {
            loop {
                let get = GetElectionRequest { election: "team-a/x".to_owned() };
                if let Err(status) = client.get_election(by(&noisy, get)).await {
                    assert_refused(&status, Code::ResourceExhausted, "TOO_FAST", &["50 calls a second"]);
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    // One candidacy lasts, and each of 30 others is whole. The quiet subject keeps within its own
    // quota: three calls in a tenth of a second at most.
    let mut leader = place.enter(&quiet, leased("team-a/kept", "w", 3000)).await?;
    let lead = leader.elected().await?.fencing_token;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut campaign = place.enter(&quiet, leased("team-a/turn", "w", 3000)).await?;
        campaign.elected().await?;
        let kept = KeepAliveRequest { items: vec![KeepAliveItem { ticket: leader.ticket, want_task_token: false }] };
        let mut kept = place.client.keep_alive(by(&quiet, kept)).await?.into_inner().results;
        let kept = kept.pop().expect("one result is due");
        assert_eq!((kept.state(), kept.fencing_token), (CandidacyState::Leading, lead));
        leader.ticket = kept.ticket;
        place.client.resign(by(&quiet, ResignRequest { ticket: campaign.ticket.clone() })).await?;
        campaign.ended().await?;
    }
    ensure!(refused.load(Ordering::Relaxed) > 20, "nobody was noisy");
    ensure!(noise.try_join_next().is_none(), "the noise ended");
    Ok(())
}

#[tokio::test]
async fn a_caller_is_told_who_it_is_and_what_it_may_do() -> anyhow::Result<()> {
    let mut place = Place::new(&["--admin", "system:serviceaccount:leasehold:ops"]).await?;
    let (own, ops) = (place.cluster.bound("team-a", "worker", "pod-a"), place.cluster.unbound("leasehold", "ops"));
    let who = place.admin.who_am_i(by(&own, Default::default())).await?.into_inner();
    let known = (who.subject.as_str(), who.pod_name.as_str(), who.pod_uid.as_str());
    assert_eq!(known, ("system:serviceaccount:team-a:worker", "worker-0", "pod-a"));
    let left = who.valid_for.expect("a token has an end").seconds;
    ensure!((3000..=3610).contains(&left), "{left} s");

    let ask = |subject: &str, verb: &str, election: &str| CheckPolicyRequest {
        subject: subject.to_owned(),
        verb: verb.to_owned(),
        election: election.to_owned(),
    };
    let mut check = async |token: &str, request| -> Result<(bool, String), Status> {
        let decision = place.admin.check_policy(by(token, request)).await?.into_inner();
        Ok((decision.allowed, decision.detail))
    };
    let (allowed, why) = check(&own, ask("", "campaign", "team-a/x")).await?;
    ensure!(allowed && why == "the rule for service accounts that holds without a policy file", "{why}");
    let (allowed, why) = check(&own, ask("", "step-down", "team-a/x")).await?;
    ensure!(!allowed && why.contains("may not step-down in the election team-a/x"), "{why}");
    ensure!(check(&own, ask(&who.subject, "observe", "team-a/x")).await?.0);
    // About others only those are answered who may do everything.
    denied(&check(&own, ask("cn:x", "observe", "team-a/x")).await.unwrap_err(), "admin", "team-a/x");
    ensure!(!check(&ops, ask("cn:x", "observe", "team-a/x")).await?.0);
    let (allowed, why) = check(&ops, ask("", "admin", "any")).await?;
    ensure!(allowed && why == "the setting admin", "{why}");
    let bad = check(&ops, ask("", "lead", "a")).await.unwrap_err();
    assert_refused(&bad, Code::InvalidArgument, "INVALID_REQUEST", &["\"lead\" is no verb"]);
    Ok(())
}

#[tokio::test]
async fn a_page_names_nothing_that_it_doesnt_show() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("policy.toml");
    let rule = |subject: &str, elections: &str, verb: &str| {
        format!("[[rule]]\nsubjects = ['**:{subject}']\nelections = ['{elections}']\nverbs = ['{verb}']\n")
    };
    write(&file, &(rule("worker", "**", "campaign") + &rule("viewer", "*/seen", "observe")))?;
    let mut place = Place::new(&["--policy", &file.display().to_string()]).await?;
    let (worker, viewer) = (place.cluster.unbound("a", "worker"), place.cluster.unbound("a", "viewer"));
    let mut leaders = Vec::new();
    for election in ["a/hidden", "b/seen", "c/hidden", "d/hidden", "e/seen", "f/hidden"] {
        leaders.push(place.lead(&worker, election).await?);
    }
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListElectionsRequest { prefix: String::new(), page_size: 1, page_token };
        let page = place.client.list_elections(by(&viewer, request)).await?.into_inner();
        pages.push((page.elections.into_iter().map(|election| election.name).collect(), page.next_page_token.clone()));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let page =
        |names: &[&str], next: &str| (names.iter().map(ToString::to_string).collect::<Vec<_>>(), next.to_owned());
    assert_eq!(pages, [page(&["b/seen"], "b/seen"), page(&["e/seen"], "e/seen"), page(&[], "")]);
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    Ok(std::fs::write(path, text)?)
}

const REPLACERS: &str = "
[[rule]]
subjects = ['system:serviceaccount:*:worker']
elections = ['shared/*', '{namespace}/{name}/**']
verbs = ['campaign', 'replace']
";

#[tokio::test]
async fn a_policy_file_is_read_again_and_a_broken_one_keeps_the_one_before() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("policy.toml");
    write(&file, REPLACERS)?;
    let mut place = Place::new(&["--policy", &file.display().to_string()]).await?;
    let token = place.cluster.unbound("team-a", "worker");
    let again = |election: &str| CampaignRequest { replace_former: true, ..leased(election, "w", TTL_MS) };
    let mut leader = place.enter(&token, again("shared/x")).await?;
    leader.elected().await?;
    // The policy allows what no pod proves.
    let mut next = place.enter(&token, again("shared/x")).await?;
    next.elected().await?;
    place.enter(&token, leased("team-a/worker/x", "w", TTL_MS)).await?;
    let refused = place.enter(&token, leased("team-a/x", "w", TTL_MS)).await.unwrap_err();
    denied(&refused, "campaign", "team-a/x");
    ensure!(refused.message().contains(&format!("no rule of the policy {} allows it", file.display())), "{refused:?}");

    write(&file, &REPLACERS.replace("'campaign'", "'compaign'"))?;
    let since = Instant::now();
    while place.metric("leasehold_policy_broken").await? < 1.0 {
        ensure!(since.elapsed() < PATIENCE, "nobody notices");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    place.enter(&token, again("shared/x")).await?.elected().await?;
    let line = place.audit("policy-broken", 1).await?.remove(0);
    let why = line["why"].as_str().unwrap_or_default();
    ensure!(why.starts_with(&format!("{}:5: \"compaign\" is no verb", file.display())), "{why}");

    // Another file by a rename, as volumes do it.
    let new = folder.path().join("new.toml");
    write(&new, &REPLACERS.replace(", 'replace'", ""))?;
    std::fs::rename(&new, &file)?;
    let since = Instant::now();
    while place.metric("leasehold_policy_broken").await? > 0.0 {
        ensure!(since.elapsed() < PATIENCE, "nobody notices");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = place.enter(&token, again("shared/x")).await.unwrap_err();
    denied(&refused, "replace", "shared/x");
    ensure!(place.metric("leasehold_policy_loads_total").await? >= 1.0);
    place.audit("policy-changed", 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_doesnt_start_with_a_policy_that_cant_be_used() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("policy.toml");
    let builder = || Server::builder().arg("--auth=mtls").arg("--policy").arg(file.display().to_string());
    let ending = builder().run_to_end().await?;
    ensure!(!ending.status.success() && ending.stderr.contains("No such file"), "{ending:?}");
    write(&file, "[[rule]]\nsubjects = ['a']\nelections = ['a b']\nverbs = ['observe']\n")?;
    let ending = builder().run_to_end().await?;
    let says = format!("the policy can't be used: {}:3: \"a b\" has ' ' in it", file.display());
    ensure!(!ending.status.success() && ending.stderr.contains(&says), "{ending:?}");
    Ok(())
}
