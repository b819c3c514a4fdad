//! The Lease is deleted, or the Secret.

use leasehold_replica_tests::{Group, Lease, Proxy, Scene};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The duration of the Lease.
const DURATION: Duration = Duration::from_secs(8);
/// The same, less the margin.
const RIGHT: Duration = Duration::from_secs(7);
/// What a busy machine may add to what the protocol takes.
const SLACK: Duration = Duration::from_secs(10);
/// A Lease that is gone is made again as soon as the watch has told of it; at the next renewal at
/// the latest.
const REPAIR: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_lease_is_made_again_and_makes_no_two_active() -> anyhow::Result<()> {
    let ttl = Duration::from_secs(5);
    let scene = Scene::set(Group::builder().arg("--max-ttl").arg("5s"), ttl).await?;
    let probes = scene.probes("probe").await?;
    let (calm, began) = (scene.calm(), Instant::now());
    for _ in 0..3 {
        let before = scene.renewal().await?;
        scene.group.edit("delete", &[]).await?;
        let same = |lease: &Lease| (lease.holder(), lease.tenure()) == (before.holder(), before.tenure());
        scene.group.lease_where(REPAIR, |lease| same(lease) && lease.uid() != before.uid()).await?;
    }
    scene.renewal().await?;
    sleep(Duration::from_secs(1)).await;
    scene.assert_unnoticed(&calm, &probes, began);
    drop(probes);

    // While the active one is cut off. It is the end of its right that ends it.
    let mut probe = scene.probe("cut-off").await?;
    scene.renewal().await?;
    scene.group.replicas[scene.active].api.cut();
    sleep(Duration::from_millis(500)).await;
    let before = scene.group.lease_now().await?;
    scene.group.edit("delete", &[]).await?;
    let deleted = Instant::now();
    let made = scene.group.lease_where(REPAIR, |lease| lease.uid() != before.uid()).await?;
    assert_eq!((made.holder(), made.tenure()), ("", None), "{made:?}");
    let ended = probe.unavailable(RIGHT + SLACK).await?;
    let accepted = probe.accepted_until().expect("it was accepted at first");
    println!(
        "accepted for {:?} after the last renewal, all refused after {:?}",
        accepted - before.renewed(),
        ended - before.renewed()
    );
    assert!(accepted < before.renewed() + RIGHT + Duration::from_millis(10), "{:?}", accepted - before.renewed());

    let claim = scene.group.lease_where(DURATION + SLACK, |lease| lease.tenure().is_some()).await?;
    println!("a replica claims {:?} after the deletion", claim.renewed() - deleted);
    assert!(claim.renewed() + Duration::from_millis(10) >= made.asked + DURATION - REPAIR, "{claim:?}");
    assert!(claim.renewed() >= deleted + DURATION - Duration::from_millis(500), "{:?}", claim.renewed() - deleted);
    assert_ne!(claim.holder(), before.holder());
    scene.group.replicas[scene.active].api.heal();
    let back = Instant::now();
    // Nobody knows how the last tenure ended: its leaders are gone, and enter again.
    scene.all_led_after(back, ttl * 2 + SLACK).await?;
    let (_, terms, _) = scene.check().await?;
    assert_eq!(terms.len(), 2, "{terms:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_secret_is_made_again_with_the_same_keys() -> anyhow::Result<()> {
    let ttl = Duration::from_secs(15);
    let spare = Proxy::unaimed().await?;
    let mut scene = Scene::of(Group::builder().count(2).start().await?, ttl, Some(&spare)).await?;
    let (calm, leads) = (scene.calm(), scene.steady());
    let secret = ["secret", "leasehold-keys", "--namespace", "leasehold"];
    let before = scene.group.plane.admin().json(&[&["get"], &secret[..]].concat()).await?;
    scene.group.plane.kubectl(&[&["delete"], &secret[..]].concat()).await?;
    let deleted = Instant::now();
    // One that is started now waits for it: with keys of its own it could open no ticket that is
    // out there.
    let late = scene.group.add().await?;
    println!("the new replica runs {:?} after the deletion", deleted.elapsed());
    let after = scene.group.plane.admin().json(&[&["get"], &secret[..]].concat()).await?;
    assert_eq!(after["data"], before["data"]);
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(scene.calm(), calm);

    // The others die, so it is the tickets that tell it who leads.
    scene.terms.also(late, &scene.group.replicas[late])?;
    spare.aim(scene.group.replicas[late].server.address());
    for number in 0..2 {
        scene.group.replicas[number].server.kill9().await?;
    }
    let active = scene.group.settled(DURATION + ttl + SLACK).await?;
    assert_eq!(active, late);
    scene.next_turn(SLACK).await?;
    assert_eq!(scene.steady(), leads);
    scene.check().await?;
    Ok(())
}
