//! Rights: what replicas may do, what they do without one of them, and that workers need none.

use crate::{SLACK, START};
use anyhow::{Context as _, ensure};
use leasehold_harness::{Process, Profile, binary};
use leasehold_kube_harness::Kubectl;
use leasehold_replica_tests::{Conduct, Group, LEASE, NAMESPACE, RULES, Terms, Witness};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::process::Command;

const DURATION: Duration = Duration::from_secs(4);
const TTL: Duration = Duration::from_secs(6);

/// What every service account may: ask who it is and what it may do, and read certificates that are
/// for everybody.
const EVERYBODYS: [&str; 4] = [
    "clustertrustbundles.certificates.k8s.io [] get,list,watch",
    "selfsubjectaccessreviews.authorization.k8s.io [] create",
    "selfsubjectreviews.authentication.k8s.io [] create",
    "selfsubjectrulesreviews.authorization.k8s.io [] create",
];

/// Resource, names and verbs of each rule that kubectl lists for an account, but for those that
/// everybody has.
async fn rights(account: &Kubectl) -> anyhow::Result<BTreeSet<String>> {
    let list = account.run(&["auth", "can-i", "--list", "--namespace", NAMESPACE]).await?;
    let rule = |line: &str| -> Option<String> {
        // Lines that begin with white space are paths, not resources.
        let resource = line.split(' ').next().filter(|resource| !resource.is_empty())?;
        let mut lists = line.split('[').skip(2).filter_map(|rest| rest.split(']').next());
        let (names, mut verbs) = (lists.next()?, lists.next()?.split(' ').collect::<Vec<_>>());
        verbs.sort_unstable();
        Some(format!("{resource} [{names}] {}", verbs.join(",")))
    };
    let rules = list.lines().skip(1).filter_map(rule);
    Ok(rules.filter(|rule| !EVERYBODYS.contains(&rule.as_str())).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_have_few_rights_and_workers_none() -> anyhow::Result<()> {
    let mut group = Group::builder().quick().start().await?;
    let few = [
        "configmaps [] create",
        "configmaps [leasehold-ca] get,update",
        "events [] create,patch",
        "events.events.k8s.io [] create,patch",
        "leases.coordination.k8s.io [] create",
        "leases.coordination.k8s.io [leasehold] get,list,update,watch",
        "secrets [] create",
        "secrets [leasehold-keys] get,update",
    ];
    assert_eq!(rights(&group.account).await?, few.map(str::to_owned).into());
    let nobody = group.plane.service_account_kubeconfig(NAMESPACE, "worker", "").await?;
    assert_eq!(rights(&nobody).await?, BTreeSet::new());
    ensure!(nobody.run(&["get", "lease", LEASE, "--namespace", NAMESPACE]).await.is_err());

    let first = group.settled(START).await?;
    let worker = worker_without_anything(&group)?;
    worker.wait_for_line(|line| line.contains("leads jobs/worker"), START).await?;
    // All that replicas ever write: a first start, renewals, a release, a takeover, a Lease that is
    // gone, a Secret that is gone.
    group.replicas[first].server.sigterm(Duration::from_secs(10)).await?;
    group.settled(DURATION + SLACK).await?;
    let admin = group.plane.admin();
    admin.run(&["delete", "secret", "leasehold-keys", "--namespace", NAMESPACE]).await?;
    admin.run(&["delete", "lease", LEASE, "--namespace", NAMESPACE]).await?;
    let deadline = Instant::now() + Duration::from_secs(10) + SLACK;
    for object in ["lease/leasehold", "secret/leasehold-keys"] {
        while admin.run(&["get", object, "--namespace", NAMESPACE]).await.is_err() {
            ensure!(Instant::now() < deadline, "{object} isn't made again");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let client = leasehold::Client::connect(group.endpoints()).await?;
    let leader = client.get("jobs/worker").await?.leader.context("the worker leads")?;
    assert_eq!(leader.candidate, "worker");
    worker.sigterm()?;
    let account = format!("system:serviceaccount:{NAMESPACE}:leasehold");
    for write in group.plane.writes().await?.iter().filter(|write| write.user == account) {
        // This test itself asked what the account may do.
        if write.resource == "selfsubjectrulesreviews" {
            continue;
        }
        ensure!(["leases", "secrets", "events"].contains(&write.resource.as_str()), "{write:?}");
        ensure!(write.code != 403, "a right is missing: {write:?}");
    }
    Ok(())
}

/// A worker process with an endpoint and nothing else: no kubeconfig, no token, no environment.
fn worker_without_anything(group: &Group) -> anyhow::Result<Process> {
    let mut command = Command::new(binary("leasehold-cli", "leasehold", Profile::Same)?);
    command.env_clear().args(["--endpoint", &group.endpoints(), "campaign", "jobs/worker", "--name", "worker"]);
    command.args(["--ttl", "6s"]);
    Process::spawn("leasehold", command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_may_not_make_the_lease_wait_for_somebody_who_does() -> anyhow::Result<()> {
    let create = "- apiGroups: [coordination.k8s.io]\n  resources: [leases]\n  verbs: [create]\n";
    let without = RULES.replace(create, "");
    ensure!(without.len() < RULES.len());
    let group = Group::builder().quick().rules(&without).start().await?;
    group.settled(START).await?;
    let watched = Terms::watch(&group)?;
    let mut witness = Witness::start(group.endpoints()).await?;
    witness.pair("jobs/a", TTL, Conduct::Keeps, START).await?;
    let admin = group.plane.admin();
    let lease = group.lease().await?;
    admin.run(&["delete", "lease", LEASE, "--namespace", NAMESPACE]).await?;
    let deadline = Instant::now() + DURATION + SLACK;
    for replica in &group.replicas {
        while !replica.server.process().stderr().contains("this replica has no right to make one") {
            ensure!(Instant::now() < deadline, "a replica doesn't say why it isn't active");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // The right of the last one runs out, and it says so.
    while group.active(Duration::ZERO).await.is_ok() {
        ensure!(Instant::now() < deadline, "nobody can be active by now");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let manifest = serde_json::json!({
        "apiVersion": lease["apiVersion"],
        "kind": lease["kind"],
        "metadata": {"name": LEASE, "namespace": NAMESPACE},
    });
    let made = Instant::now();
    admin.apply(&manifest.to_string()).await?;
    group.settled(DURATION + TTL + SLACK * 2).await?;
    println!("a Lease that somebody made again: granting after {:?}", made.elapsed());
    witness.led_since("jobs/a", made, SLACK).await?;
    witness.finish().await?;
    assert_eq!(watched.finish().await?.len(), 2);
    Ok(())
}
