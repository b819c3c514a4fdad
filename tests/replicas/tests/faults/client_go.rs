//! A program with Kubernetes' own leader election competes for the same Lease: it is respected, and
//! respects the replicas.

use leasehold_replica_tests::{ClientGo, Group, Lease, Scene, Terms};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long the other one's claim is good for.
const THEIRS: Duration = Duration::from_secs(15);
/// How long a replica's claim is.
const OURS: Duration = Duration::from_secs(8);
/// How often it looks, and renews.
const THEIR_PERIOD: Duration = Duration::from_secs(2);
/// The TTL of the workers.
const TTL: Duration = Duration::from_secs(4);
/// What a busy machine may add to what the protocol takes.
const SLACK: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_waits_while_the_other_holds_the_lease() -> anyhow::Result<()> {
    let builder = Group::builder().arg("--max-ttl").arg("4s");
    let (plane, account) = builder.plane().await?;
    let other = ClientGo::start(&plane, "other").await?;
    other.leads(SLACK).await?;
    let group = builder.start_on(plane, &account).await?;
    let terms = Terms::watch(&group)?;
    // Longer than the duration of the replicas' own.
    sleep(Duration::from_secs(12)).await;
    assert!(terms.so_far().is_empty(), "{terms:?}");
    assert!(!other.said("lost"));
    assert_eq!(group.lease_now().await?.holder(), "other");
    other.let_go().await?;
    let let_go = Instant::now();
    let claim = group.lease_where(THEIRS + SLACK, |lease| lease.tenure().is_some()).await?;
    println!("a replica claims {:?} after it was let go", claim.renewed() - let_go);
    // It isn't ours to know what an empty holder means to others: a whole duration of our own has
    // to pass.
    assert!(claim.renewed() > let_go + OURS - Duration::from_secs(1), "after {:?}", claim.renewed() - let_go);
    terms.finish().await?;

    let scene = Scene::of(group, TTL, None).await?;
    let probes = scene.probes("probe").await?;
    let other = ClientGo::start(&scene.group.plane, "other-2").await?;
    let (calm, began) = (scene.calm(), Instant::now());
    sleep(THEIRS + THEIR_PERIOD * 2).await;
    assert!(!other.said("leading"));
    scene.assert_unnoticed(&calm, &probes, began);
    other.let_go().await?;
    scene.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_takes_over_from_the_other_when_that_one_dies() -> anyhow::Result<()> {
    let mut scene = Scene::set(Group::builder().count(2).arg("--max-ttl").arg("4s"), TTL).await?;
    let other = ClientGo::start(&scene.group.plane, "other").await?;
    let before = scene.renewal().await?;
    let last = scene.next_turn(SLACK).await?.token;
    for replica in &mut scene.group.replicas {
        replica.server.kill9().await?;
    }
    let dead = Instant::now();
    other.leads(THEIRS + THEIR_PERIOD * 2 + SLACK).await?;
    println!("the other one leads {:?} after the replicas' death", dead.elapsed());
    for replica in &mut scene.group.replicas {
        replica.server.restart().await?;
    }
    sleep(Duration::from_secs(4)).await;
    assert_eq!(scene.group.lease_now().await?.holder(), "other");
    assert_eq!(scene.tenures().len(), 1, "{:?}", scene.tenures());
    other.die().await?;
    let died = Instant::now();
    let claimed = |lease: &Lease| lease.tenure() > before.tenure();
    let claim = scene.group.lease_where(THEIRS + SLACK, claimed).await?;
    println!("a replica claims {:?} after the other one's death", claim.renewed() - died);
    assert!(claim.renewed() > died + THEIRS - THEIR_PERIOD * 2, "after {:?}", claim.renewed() - died);
    scene.all_led_after(died, TTL * 2 + SLACK).await?;
    let next = scene.next_turn(SLACK).await?.token;
    assert!(next > last, "{next} after {last}");
    let (_, terms, _) = scene.check().await?;
    assert_eq!(terms.len(), 2, "{terms:?}");
    Ok(())
}
