//! The active replica cut off from the API server but not from workers, and from workers but not
//! from the API server.

use leasehold_replica_tests::{Group, Scene, Terms};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// The duration of the Lease.
const DURATION: Duration = Duration::from_secs(8);
/// The same, less the margin.
const RIGHT: Duration = Duration::from_secs(7);
/// What a busy machine may add to what the protocol takes.
const SLACK: Duration = Duration::from_secs(10);

fn now_active(terms: &Terms) -> Option<usize> {
    terms.so_far().last().map(|term| term.replica)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_api_server_it_stops_at_its_deadline_and_another_takes_over() -> anyhow::Result<()> {
    let ttl = Duration::from_secs(15);
    let scene = Scene::set(Group::builder(), ttl).await?;
    let cut_off = scene.active;
    let mut probe = scene.probe("probe").await?;
    let leads = scene.steady();

    scene.renewal().await?;
    let began = Instant::now();
    scene.group.replicas[cut_off].api.cut();
    // What was on its way has arrived by then.
    sleep(Duration::from_millis(500)).await;
    let renewed = scene.group.lease_now().await?.renewed();
    let ended = probe.unavailable(RIGHT + SLACK).await?;
    let accepted = probe.accepted_until().expect("it was accepted at first");
    println!("accepted for {:?} after the last renewal, all refused after {:?}", accepted - renewed, ended - renewed);
    // To the millisecond, as the Lease says.
    assert!(accepted < renewed + RIGHT + Duration::from_millis(10), "accepted for {:?}", accepted - renewed);
    assert!(accepted > began + RIGHT - Duration::from_secs(3), "accepted for {:?} only", accepted - began);
    assert!(ended < renewed + RIGHT + Duration::from_secs(2), "refused after {:?}", ended - renewed);

    let successor = scene.group.active(DURATION + SLACK).await?;
    assert_ne!(successor, cut_off);
    let taken_over = scene.group.lease_now().await?.renewed();
    println!("another is active {:?} after the last renewal", renewed.elapsed());
    assert!(taken_over > renewed + DURATION - Duration::from_millis(10), "after {:?}", taken_over - renewed);
    // Workers follow, whatever replica they were connected to: nobody loses a lead of 15 s.
    sleep_until((renewed + RIGHT + ttl).into()).await;
    assert_eq!(scene.steady(), leads);
    scene.group.replicas[cut_off].api.heal();
    scene.group.settled(DURATION + ttl + SLACK).await?;
    scene.next_turn(SLACK).await?;
    assert_eq!(scene.steady(), leads);

    // It is a standby like any other now: what it is asked it forwards.
    let status = scene.group.replicas[cut_off].status().await?;
    let lease = scene.group.lease_now().await?;
    assert_eq!((status.tenure, status.active.map(|active| active.tenure)), (0, lease.tenure()));
    assert_eq!(scene.tenures().len(), 2, "{:?}", scene.tenures());
    scene.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_workers_it_stays_active_and_nobody_leads_twice() -> anyhow::Result<()> {
    let ttl = Duration::from_secs(5);
    let builder = Group::builder().reached_by_way().arg("--max-ttl").arg("5s");
    let scene = Scene::set(builder, ttl).await?;
    let tenures = scene.tenures();
    let replica = &scene.group.replicas[scene.active];
    let before = scene.witness.leads().len();

    // Neither workers nor standbys reach it; the API server does.
    replica.way.cut();
    let began = Instant::now();
    let last_answer = Duration::from_secs(1);
    sleep(ttl + last_answer).await;
    // All that it led is over in the eyes of those who led, by their own deadlines.
    assert!(scene.witness.leads().iter().all(|lead| lead.until.is_some()), "{:#?}", scene.witness.leads());
    let during = scene.witness.leads().len();
    sleep_until((began + Duration::from_secs(20)).into()).await;
    // It holds the Lease, so nobody takes over; and nobody is elected as long as it can't be
    // reached.
    assert_eq!(scene.tenures(), tenures);
    assert_eq!(now_active(&scene.terms), Some(scene.active));
    assert_eq!(scene.witness.leads().len(), during, "{:#?}", scene.witness.leads());
    println!("{before} grants before, {} in the first seconds", during - before);

    let healed = Instant::now();
    replica.way.heal();
    scene.all_led_after(healed, ttl + SLACK).await?;
    println!("all elections are led again {:?} after it can be reached", healed.elapsed());
    assert_eq!(scene.tenures(), tenures);
    let led: BTreeSet<_> = scene.steady().into_iter().filter(|(_, _, lasts)| *lasts).collect();
    assert_eq!(led.len(), 3, "{led:?}");
    scene.check().await?;
    Ok(())
}
