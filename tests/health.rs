//! A leader that is unhealthy or hangs makes way long before its ttl is over: the worker in Python,
//! and the hook of the Rust client.

use anyhow::{Context as _, ensure};
use leasehold::{Client, HealthCheck, Lost};
use leasehold_harness::{Language, PATIENCE, Server, Worker, http_get, token_in};
use leasehold_proto::v1::StepDownRequest;
use serde_json::Value;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// So long that nobody here waits for it.
const TTL: Duration = Duration::from_secs(15);
const ELECTION: &str = "billing/nightly-report";
/// Without progress for this long a task hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(1);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(2);

fn start(server: &Server, name: &str, format: &str) -> anyhow::Result<Worker> {
    Worker::start_with(Language::Python, server, ELECTION, name, TTL, |command| {
        command.args(["--hang-timeout", &HANG_TIMEOUT.as_secs_f64().to_string()]);
        command.env("LEASEHOLD_LOG_FORMAT", format).env("LEASEHOLD_METRICS_PORT", "0");
    })
}

/// The value of a series on a worker's page of metrics.
async fn metric(port: u64, name: &str) -> anyhow::Result<f64> {
    let page = http_get(&format!("http://127.0.0.1:{port}/metrics")).await?;
    ensure!(page.status == 200, "{}", page.head);
    let value = page.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.with_context(|| format!("no {name}:\n{}", page.body))?.parse().context("it isn't a number")
}

#[tokio::test]
async fn a_worker_whose_task_hangs_makes_way_within_the_hang_timeout() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut first = start(&server, "first", "json")?;
    first.process.wait_for_line(|line| line.contains("\"finished\""), PATIENCE).await?;
    let second = start(&server, "second", "text")?;
    second.says("waiting ahead=1", PATIENCE).await?;
    let hung = Instant::now();
    first.process.sigusr1()?;
    let next = second.says("elected token=", PATIENCE).await?;
    let took = next.at.duration_since(hung);
    ensure!(took >= HANG_TIMEOUT / 2 && took < HANG_TIMEOUT + SLACK, "the next one led after {took:?}");
    let ending = first.process.wait(PATIENCE).await?;
    assert_eq!((ending.status.code(), ending.stderr.as_str()), (Some(77), ""));

    let facts: Vec<Value> = ending.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let last: Vec<_> = facts[facts.len() - 4..].iter().map(|fact| fact["message"].as_str().unwrap_or("none")).collect();
    assert_eq!(last, ["lost", "task ended", "resigned", "unhealthy"]);
    let [lost, ended, ..] = &facts[facts.len() - 4..] else { unreachable!("there are four") };
    assert_eq!(
        (&lost["reason"], &lost["election"], &lost["candidate"]),
        (&"UNHEALTHY".into(), &ELECTION.into(), &"first".into())
    );
    ensure!(lost["token"].as_u64() < Some(token_in(&next.text)?), "{lost}");
    assert_eq!(ended["outcome"], "abandoned");
    ensure!(ended["duration_s"].as_f64() > Some(0.5), "{ended}");
    let finished = facts.iter().find(|fact| fact["outcome"] == "finished").context("one was finished")?;
    ensure!(finished["start"].as_str() < finished["end"].as_str(), "{finished}");
    ensure!(finished["duration_s"].as_f64() > Some(0.04), "{finished}");
    Ok(())
}

#[tokio::test]
async fn a_workers_page_of_metrics_counts_its_tasks() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let worker = start(&server, "worker", "text")?;
    let port = worker.says("metrics port=", PATIENCE).await?.text.replace("metrics port=", "").parse()?;
    worker.process.wait_for_line(|line| line.ends_with("outcome=finished"), PATIENCE).await?;
    assert_eq!(metric(port, "leasehold_worker_leading").await?, 1.0);
    ensure!(metric(port, "leasehold_worker_tasks_finished_total").await? >= 1.0);
    server
        .admin()
        .await?
        .step_down(StepDownRequest { election: ELECTION.to_owned(), ..StepDownRequest::default() })
        .await?;
    worker.says("lost reason=DRAINING", PATIENCE).await?;
    worker.process.wait_for_line(|line| line.ends_with("outcome=abandoned"), PATIENCE).await?;
    assert_eq!(metric(port, "leasehold_worker_tasks_abandoned_total").await?, 1.0);
    assert_eq!(metric(port, "leasehold_worker_tasks_failed_total").await?, 0.0);
    let started = metric(port, "leasehold_worker_tasks_started_total").await?;
    let ended = metric(port, "leasehold_worker_task_duration_seconds_count").await?;
    ensure!(started >= 2.0 && ended >= 2.0, "{started} started, {ended} ended");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rust_worker_whose_health_check_hangs_makes_way_within_its_timeout() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (interval, timeout) = (Duration::from_millis(200), Duration::from_millis(500));
    let hangs = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&hangs);
    let check = HealthCheck::new(move || {
        let hangs = seen.load(Ordering::SeqCst);
        async move { if hangs { pending().await } else { Ok(()) } }
    });
    let client = Client::connect(server.endpoint()).await?;
    let first = client.campaign(ELECTION).ttl(TTL).health(check.interval(interval).timeout(timeout)).await?;
    let low = first.fencing_token();
    let second = Client::connect(server.endpoint()).await?.campaign(ELECTION).ttl(TTL).enroll().await?;
    let start = Instant::now();
    hangs.store(true, Ordering::SeqCst);
    let lost = first.guard(pending::<()>()).await;
    drop(first);
    let second = second.elected().await?;
    let took = start.elapsed();
    assert_eq!(lost, Err(Lost::Unhealthy { detail: "no answer within 500ms".to_owned() }));
    ensure!(took < interval + timeout + SLACK, "the next one led after {took:?}");
    ensure!(second.fencing_token() > low);
    Ok(())
}
