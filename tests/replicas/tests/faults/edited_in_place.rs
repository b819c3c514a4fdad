//! Somebody changes the Lease: the active replica puts right what it may, and nobody notices;
//! another holder it gives way to.

use leasehold_replica_tests::{Group, Lease, Scene};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The duration of the Lease.
const DURATION: Duration = Duration::from_secs(8);
/// The TTL of the workers.
const TTL: Duration = Duration::from_secs(15);
/// What a busy machine may add to what the protocol takes.
const SLACK: Duration = Duration::from_secs(10);
/// A Lease that was touched is put right as soon as the watch has told of it; at the next renewal
/// at the latest.
const REPAIR: Duration = Duration::from_secs(4);

/// What manifests that were written before the replicas are say of the Lease.
const MANIFEST: &str = "
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: leasehold, namespace: leasehold}
spec: {holderIdentity: '', leaseDurationSeconds: 15}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_other_holder_is_put_right_and_nobody_notices() -> anyhow::Result<()> {
    let scene = Scene::set(Group::builder(), TTL).await?;
    let probes = scene.probes("probe").await?;
    let (calm, began, first) = (scene.calm(), Instant::now(), scene.renewal().await?);
    let as_before = |lease: &Lease| {
        let told = ["replica", "tenure", "address", "margin-ms", "longest-ttl-ms"];
        let same = told.iter().all(|name| lease.annotation(name) == first.annotation(name));
        same && (lease.holder(), lease.duration()) == (first.holder(), first.duration())
    };
    assert!(as_before(&first) && first.tenure().is_some(), "{first:?}");
    for _ in 0..4 {
        scene.group.plane.admin().apply(MANIFEST).await?;
        scene.group.lease_where(REPAIR, as_before).await?;
    }
    // Again and again, without a look at what becomes of it.
    for _ in 0..10 {
        scene.group.plane.admin().apply(MANIFEST).await?;
    }
    scene.group.lease_where(REPAIR, as_before).await?;

    let none = ["replica-", "tenure-", "ceiling-", "renewed-at-ms-", "longest-ttl-ms-", "keys-", "address-"];
    let none: Vec<_> = none.iter().map(|name| format!("leasehold.dev/{name}")).collect();
    scene.group.edit("annotate", &none.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    scene.group.lease_where(REPAIR, as_before).await?;
    scene.group.edit("annotate", &["leasehold.dev/tenure=nonsense", "--overwrite"]).await?;
    scene.group.lease_where(REPAIR, as_before).await?;
    for spec in [r#"{"leaseDurationSeconds":3}"#, r#"{"leaseDurationSeconds":20}"#, r#"{"renewTime":null}"#] {
        let patch = format!(r#"{{"spec":{spec}}}"#);
        scene.group.edit("patch", &["--type=merge", "--patch", &patch]).await?;
        scene.group.lease_where(REPAIR, |lease| as_before(lease) && lease.renew_time().is_some()).await?;
    }

    // A version of this very tenure, from before: the same holder, an older renewal.
    let older = scene.renewal().await?;
    scene.renewal().await?;
    restore(&scene.group, &older).await?;
    scene.group.lease_where(REPAIR, |lease| as_before(lease) && lease.renew_time() > older.renew_time()).await?;
    scene.renewal().await?;
    sleep(Duration::from_secs(1)).await;
    scene.assert_unnoticed(&calm, &probes, began);
    scene.check().await?;
    Ok(())
}

/// `kubectl replace` with an older version, as somebody does who has kept a copy.
async fn restore(group: &Group, older: &Lease) -> anyhow::Result<()> {
    let mut object = older.object.clone();
    let metadata = object["metadata"].as_object_mut().expect("it is an object");
    metadata.retain(|name, _| ["name", "namespace", "annotations", "labels"].contains(&name.as_str()));
    let done = group.plane.admin().output(&["replace", "--filename=-"], Some(&object.to_string())).await?;
    anyhow::ensure!(done.success, "{}", done.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_holder_is_given_way_to_at_once_and_replaced_after_its_silence() -> anyhow::Result<()> {
    let scene = Scene::set(Group::builder(), TTL).await?;
    let mut probe = scene.probe("probe").await?;
    let leads = scene.steady();
    let patch = r#"{"spec":{"holderIdentity":"somebody"}}"#;
    let edited = Instant::now();
    scene.group.edit("patch", &["--type=merge", "--patch", patch]).await?;
    let ended = probe.unavailable(SLACK).await?;
    println!("all refused {:?} after kubectl was started", ended - edited);
    assert!(ended < edited + Duration::from_secs(3), "after {:?}", ended - edited);

    let mine = |lease: &Lease| lease.holder() != "somebody";
    let claim = scene.group.lease_where(DURATION + SLACK, mine).await?;
    println!("a replica claims {:?} after the edit", claim.renewed() - edited);
    assert!(claim.renewed() >= edited + DURATION, "after {:?}", claim.renewed() - edited);
    scene.group.settled(DURATION + TTL + SLACK).await?;
    scene.next_turn(SLACK).await?;
    // What the annotations tell still holds, so leaders of 15 s stay.
    assert_eq!(scene.steady(), leads);
    assert_eq!(scene.tenures().len(), 2, "{:?}", scene.tenures());
    scene.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_of_an_earlier_tenure_makes_no_two_active() -> anyhow::Result<()> {
    let ttl = Duration::from_secs(4);
    let scene = Scene::set(Group::builder().arg("--max-ttl").arg("4s"), ttl).await?;
    let (first, older) = (scene.active, scene.renewal().await?);
    scene.group.replicas[first].api.cut();
    let second = scene.group.active_where(DURATION + SLACK, |status| Some(status.tenure) != older.tenure()).await?;
    assert_ne!(first, second);
    scene.group.replicas[first].api.heal();
    scene.group.settled(DURATION + SLACK).await?;
    // The replica that this version names runs, and knows better. The one that is active can't be
    // told for now.
    scene.group.replicas[second].api.cut();
    let restored = Instant::now();
    restore(&scene.group, &older).await?;
    let third = scene.group.lease_where(DURATION + SLACK, |lease| lease.renew_time() > older.renew_time()).await?;
    println!("claimed {:?} after an earlier tenure's version came back", third.renewed() - restored);
    scene.group.replicas[second].api.heal();
    let settled = scene.group.settled(DURATION + ttl + SLACK).await?;
    println!("replica {first}, then {second}, then {settled}");
    scene.next_turn(SLACK).await?;
    let (_, terms, _) = scene.check().await?;
    assert_eq!(terms.len(), 3, "{terms:?}");
    Ok(())
}
