//! The answer to a write of the Lease that was stored is lost: a renewal's, which nobody notices,
//! and a claim's, which counts from the moment it was sent.

use leasehold_replica_tests::{Group, Lease, Scene};
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// The duration of the Lease.
const DURATION: Duration = Duration::from_secs(8);
/// What a busy machine may add to what the protocol takes.
const SLACK: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_whose_answer_is_lost_is_found_and_nobody_notices() -> anyhow::Result<()> {
    let scene = Scene::set(Group::builder().over_http(), Duration::from_secs(15)).await?;
    let probes = scene.probes("probe").await?;
    let (calm, began) = (scene.calm(), Instant::now());
    let http = scene.group.replicas[scene.active].http.as_ref().expect("it was asked for");
    for round in 0..3 {
        let before = scene.renewal().await?;
        http.lose_answers_to_writes();
        let lost = scene.renewal_after(&before).await?;
        assert_eq!(lost.holder(), before.holder());
        // The request has been given up before answers come again.
        sleep_until((lost.renewed() + Duration::from_millis(1600)).into()).await;
        http.heal();
        let next = scene.renewal_after(&lost).await?;
        println!("round {round}: {:?} between the renewal that was lost and the next", next.renewed() - lost.renewed());
        sleep(Duration::from_secs(3)).await;
        scene.assert_unnoticed(&calm, &probes, began);
    }
    scene.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_is_lost_counts_from_its_sending() -> anyhow::Result<()> {
    let ttl = Duration::from_secs(15);
    let mut scene = Scene::set(Group::builder().count(2).over_http(), ttl).await?;
    let leads = scene.steady();
    let former = scene.renewal().await?.holder().to_owned();
    scene.group.replicas[scene.active].server.kill9().await?;
    let replica = &scene.group.replicas[1 - scene.active];
    let http = replica.http.as_ref().expect("it was asked for");
    http.lose_answers_to_writes();
    let claimed = |lease: &Lease| !lease.holder().is_empty() && lease.holder() != former;
    let claim = scene.group.lease_where(DURATION + SLACK, claimed).await?;
    http.heal();
    let sent = claim.renewed();
    // Once the request is given up it reads, and finds what it has written.
    scene.group.active(Duration::from_secs(4)).await?;
    let status = replica.status().await?;
    // The claim that was lost, and no second one.
    assert_eq!(Some(status.tenure), claim.tenure());
    let age: Duration = status.tenure_age.expect("it is active").try_into()?;
    println!("found after {:?}; the tenure says that it is {age:?} old", sent.elapsed());
    // The Lease says when to the millisecond.
    assert!(age >= Duration::from_millis(1500) && age <= sent.elapsed() + Duration::from_millis(10), "{age:?}");

    scene.group.settled(ttl + SLACK).await?;
    println!("it grants {:?} after the claim", sent.elapsed());
    // The longest TTL and its allowance, from the moment of sending.
    assert!(sent.elapsed() >= Duration::from_millis(15_750 - 10), "granting {:?} after the claim", sent.elapsed());
    scene.next_turn(SLACK).await?;
    assert_eq!(scene.steady(), leads);
    let (_, terms, _) = scene.check().await?;
    assert_eq!(terms.len(), 2, "{terms:?}");
    // Until then it didn't know of its claim, and wasn't active.
    assert!(terms[1].from >= sent + Duration::from_millis(1500), "active {:?} after it claimed", terms[1].from - sent);
    Ok(())
}
