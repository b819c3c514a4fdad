//! Manifests that were written for another kind of elector: a Lease with an empty holder, a Role
//! with the usual verbs.

use crate::{SLACK, START};
use anyhow::{Context as _, ensure};
use leasehold_kube_harness::ControlPlane;
use leasehold_replica_tests::{Conduct, Group, LEASE, NAMESPACE, Terms, Witness};
use std::time::{Duration, Instant};

const MANIFEST: &str = r#"
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: leasehold
  namespace: leasehold
spec:
  holderIdentity: ""
  leaseDurationSeconds: 15
"#;

/// The Role that comes with that Lease, and the rights on Secrets that Leasehold needs beside it.
const RULES: &str = "
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, watch, list, update, patch]
- apiGroups: ['']
  resources: [secrets]
  verbs: [get, create]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_manifest_with_an_empty_holder_is_applied_without_harm() -> anyhow::Result<()> {
    let plane = ControlPlane::start().await?;
    let account = plane.service_account_kubeconfig(NAMESPACE, "leasehold", RULES).await?;
    plane.admin().apply(MANIFEST).await?;
    let group = Group::builder().quick().start_on(plane, &account).await?;
    let first = group.settled(START).await?;
    let watched = Terms::watch(&group)?;
    let mut witness = Witness::start(group.endpoints()).await?;
    let ttl = Duration::from_secs(6);
    let kept = witness.pair("jobs/kept", ttl, Conduct::Keeps, START).await?;
    witness.pair("jobs/passed", ttl, Conduct::Passes(Duration::from_millis(200)), START).await?;
    let began = Instant::now();
    let mut emptied = 0;
    // Longer than the duration in the manifest, so that a standby that fell for it would have taken
    // over.
    while began.elapsed() < Duration::from_secs(18) {
        let said = group.plane.admin().apply(MANIFEST).await?;
        emptied += usize::from(said.contains("configured"));
        let deadline = Instant::now() + SLACK;
        loop {
            let lease = group.lease().await?;
            let (holder, seconds) = (&lease["spec"]["holderIdentity"], &lease["spec"]["leaseDurationSeconds"]);
            if holder.as_str().is_some_and(|holder| holder.starts_with(&format!("r{first}_"))) && seconds == 4 {
                break;
            }
            ensure!(Instant::now() < deadline, "the Lease isn't repaired: {lease:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    println!("the manifest has emptied the Lease {emptied} times");
    ensure!(emptied >= 5, "{emptied} times");
    let transitions = group.lease().await?["spec"]["leaseTransitions"].clone();
    let again = Instant::now();
    witness.led_since("jobs/passed", again, SLACK).await?;
    let record = witness.finish().await?;
    record.kept(&kept)?;
    let terms = watched.finish().await?;
    assert_eq!(terms.iter().map(|term| term.replica).collect::<Vec<_>>(), [first], "{transitions}");
    let name = group.plane.admin().run(&["get", "lease", LEASE, "--namespace", NAMESPACE, "--output=name"]).await?;
    ensure!(name.contains(LEASE));
    let log = group.replicas[first].server.process().stderr();
    ensure!(!log.contains("tenure ended"), "{}", log.lines().last().context("it logs")?);
    Ok(())
}
