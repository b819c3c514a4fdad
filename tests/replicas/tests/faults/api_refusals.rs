//! The API server refuses: conflicts, as somebody else changes the Lease all the time; 429 and 500.

use axum::body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use leasehold_kube_harness::HttpApi;
use leasehold_replica_tests::{Group, Scene};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{interval, sleep, sleep_until};

/// The duration of the Lease.
const DURATION: Duration = Duration::from_secs(8);
/// The TTL of the workers.
const TTL: Duration = Duration::from_secs(15);
/// What a busy machine may add to what the protocol takes.
const SLACK: Duration = Duration::from_secs(10);

/// Labels the Lease again and again, as `kubectl label` does, without its start each time; how
/// often the API server agreed.
async fn label_for(time: Duration, every: Duration, api: &HttpApi) -> anyhow::Result<u32> {
    let stream = TcpStream::connect(api.address()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (end, mut beat, mut accepted) = (Instant::now() + time, interval(every), 0);
    while Instant::now() < end {
        beat.tick().await;
        let label = format!("{{\"metadata\":{{\"labels\":{{\"touched\":\"{accepted}\"}}}}}}");
        let request = hyper::Request::patch("/apis/coordination.k8s.io/v1/namespaces/leasehold/leases/leasehold")
            .header("host", api.address().to_string())
            .header("content-type", "application/merge-patch+json")
            .body(Body::from(label))?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        accepted += u32::from(response.status().is_success());
        axum::body::to_bytes(Body::new(response.into_body()), 1 << 20).await?;
    }
    Ok(accepted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_labels_the_lease_all_the_time_changes_nothing() -> anyhow::Result<()> {
    let scene = Scene::set(Group::builder(), TTL).await?;
    let probes = scene.probes("probe").await?;
    let (calm, began) = (scene.calm(), Instant::now());
    let writes = scene.group.plane.writes().await?.len();
    let api = scene.group.plane.admin().serve_http().await?;
    let labels = label_for(Duration::from_secs(20), Duration::from_millis(100), &api).await?;
    // A replica that is far behind doesn't even try; one that is a little behind does, and hears of
    // the conflict.
    let rare = label_for(Duration::from_secs(10), Duration::from_millis(500), &api).await?;
    let all = scene.group.plane.writes().await?.split_off(writes);
    let replicas = all.iter().filter(|write| write.user.ends_with(":leasehold") && write.resource == "leases");
    let (renewed, conflicts): (Vec<_>, Vec<_>) = replicas.partition(|write| write.accepted());
    println!("{labels} and {rare} labels, {} renewals, {} conflicts", renewed.len(), conflicts.len());
    assert!(labels > 100, "only {labels} labels");
    assert!(!conflicts.is_empty() && conflicts.iter().all(|write| write.code == 409), "{conflicts:?}");
    // A renewal that conflicts is tried again at once, not in a tight loop.
    assert!((10..=50).contains(&renewed.len()) && conflicts.len() <= 90, "{} and {}", renewed.len(), conflicts.len());
    sleep(Duration::from_secs(2)).await;
    scene.assert_unnoticed(&calm, &probes, began);
    // What others write stays.
    let lease = scene.group.lease_now().await?;
    assert!(lease.object["metadata"]["labels"]["touched"].is_string(), "{lease:?}");
    scene.check().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_the_api_server_change_no_leader() -> anyhow::Result<()> {
    let scene = Scene::set(Group::builder().over_http(), TTL).await?;
    let probes = scene.probes("probe").await?;
    let (calm, began) = (scene.calm(), Instant::now());
    let http = |number: usize| scene.group.replicas[number].http.as_ref().expect("it was asked for");
    for status in [429, 500] {
        let renewed = scene.renewal().await?;
        let before = http(scene.active).refused();
        http(scene.active).refuse_writes(status);
        sleep_until((renewed.asked + Duration::from_secs(5)).into()).await;
        http(scene.active).heal();
        let refused = http(scene.active).refused() - before;
        println!("{refused} writes were answered with {status}");
        // It tries again, soon, but not in a tight loop.
        assert!((2..=20).contains(&refused), "{refused}");
        scene.renewal().await?;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(scene.calm(), calm, "{status}");
    }
    scene.assert_unnoticed(&calm, &probes, began);

    // Beyond the right, for all replicas at once: the tenure ends, and nobody can claim the next
    // until it is over.
    scene.renewal().await?;
    let refusing = Instant::now();
    (0..3).for_each(|number| http(number).refuse_all(if number == scene.active { 429 } else { 500 }));
    sleep_until((refusing + Duration::from_secs(10)).into()).await;
    assert!(scene.terms.so_far().iter().all(|term| term.until < refusing + DURATION), "{:?}", scene.tenures());
    (0..3).for_each(|number| http(number).heal());
    let healed = Instant::now();
    scene.group.active(DURATION + SLACK).await?;
    println!("active {:?} after ten seconds of refusals", healed.elapsed());
    // Leaders of 15 s outlast it.
    scene.group.settled(TTL + DURATION + SLACK).await?;
    assert_eq!(scene.calm().leads, calm.leads);
    scene.next_turn(SLACK).await?;
    scene.check().await?;
    Ok(())
}
