//! The API server frozen, and stopped: within the Lease's time nothing happens at all; beyond it
//! the active replica stops at its deadline, and everything comes back by itself.

use leasehold_kube_harness::Part;
use leasehold_replica_tests::{Group, Scene};
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// The duration of the Lease, less the margin.
const RIGHT: Duration = Duration::from_secs(7);
/// The duration of the Lease, and a standby's next look at it.
const TAKE_OVER: Duration = Duration::from_secs(8 + 3);
/// What a busy machine may add to what the protocol takes.
const SLACK: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_within_the_right_changes_nothing() -> anyhow::Result<()> {
    let scene = Scene::set(Group::builder(), Duration::from_secs(15)).await?;
    let probes = scene.probes("probe").await?;
    let (began, calm) = (Instant::now(), scene.calm());

    scene.renewal().await?;
    let frozen = Instant::now();
    scene.group.plane.freeze(Part::ApiServer).await?;
    sleep(Duration::from_secs(1)).await;
    // It goes on granting as well.
    scene.next_turn(Duration::from_secs(2)).await?;
    sleep_until((frozen + Duration::from_secs(4)).into()).await;
    scene.group.plane.thaw(Part::ApiServer).await?;
    scene.renewal().await?;
    sleep(Duration::from_secs(2)).await;
    scene.assert_unnoticed(&calm, &probes, began);

    scene.renewal().await?;
    let stopping = Instant::now();
    scene.group.plane.stop(Part::ApiServer).await?;
    sleep_until((stopping + Duration::from_secs(5)).into()).await;
    assert_eq!(scene.calm(), calm);
    scene.group.plane.start_again(Part::ApiServer).await?;
    let outage = stopping.elapsed();
    println!("the API server was away for {outage:?}");
    scene.group.active(TAKE_OVER + SLACK).await?;
    scene.renewal().await?;
    sleep(Duration::from_secs(2)).await;
    // The API server's own start takes some seconds more: the tenure may have ended, and no leader
    // of 15 s has noticed, unless its time was over by then. The last KeepAlive before the right's
    // end was accepted 5 s before that at the earliest.
    if outage < RIGHT - Duration::from_secs(1) {
        scene.assert_unnoticed(&calm, &probes, began);
    } else if outage < Duration::from_secs(14) {
        assert_eq!(scene.calm().leads, calm.leads);
    }
    scene.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_right_it_stops_at_its_deadline_and_comes_back_by_itself() -> anyhow::Result<()> {
    let ttl = Duration::from_secs(4);
    let mut scene = Scene::set(Group::builder().arg("--max-ttl").arg("4s"), ttl).await?;
    for (part, length) in [("freeze", Duration::from_secs(14)), ("stop", Duration::from_secs(30))] {
        let mut probe = scene.probe(part).await?;
        scene.renewal().await?;
        let began = Instant::now();
        match part {
            "freeze" => scene.group.plane.freeze(Part::ApiServer).await?,
            _ => scene.group.plane.stop(Part::ApiServer).await?,
        }
        let away = Instant::now();
        let ended = probe.unavailable(RIGHT + SLACK).await?;
        let accepted = probe.accepted_until().expect("it was accepted at first");
        println!("{part}: accepted for {:?}, all refused after {:?}", accepted - began, ended - began);
        // A renewal may have been under way, but none was sent later.
        assert!(accepted < away + RIGHT, "accepted for {:?}", accepted - away);
        assert!(accepted > began + RIGHT - Duration::from_secs(3), "accepted for {:?} only", accepted - began);
        assert!(ended < away + RIGHT + Duration::from_secs(2), "refused after {:?}", ended - away);

        sleep_until((began + length).into()).await;
        assert!(scene.terms.so_far().iter().all(|term| term.until < away + RIGHT), "{:?}", scene.tenures());
        assert!(scene.steady().iter().all(|(_, _, lasts)| !lasts), "{:?}", scene.steady());
        match part {
            "freeze" => scene.group.plane.thaw(Part::ApiServer).await?,
            _ => scene.group.plane.start_again(Part::ApiServer).await?,
        }
        let back = Instant::now();
        scene.active = scene.group.active(TAKE_OVER + SLACK).await?;
        println!("{part}: active again after {:?}", back.elapsed());
        scene.all_led_after(back, TAKE_OVER + ttl + SLACK).await?;
        println!("{part}: all elections led again after {:?}", back.elapsed());
    }
    scene.check().await?;
    Ok(())
}
