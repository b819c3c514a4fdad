//! The Rust client's guard in a real process: `client/examples/worker.rs`, stopped and continued.

use anyhow::ensure;
use leasehold_harness::{Process, Server, example};
use std::time::Duration;
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(20);
/// Of the example, and the allowance that the server adds.
const LEASE: Duration = Duration::from_millis(5_250);

fn worker(server: &Server, name: &str) -> anyhow::Result<Process> {
    let mut command = tokio::process::Command::new(example("leasehold", "worker")?);
    command.args(["billing/nightly", &server.endpoint()]);
    Process::spawn(name, command)
}

fn token(line: &str) -> Option<u64> {
    line.strip_prefix("leading with fencing token ")?.parse().ok()
}

#[tokio::test]
async fn a_worker_that_was_paused_past_its_ttl_does_nothing_more_when_it_wakes() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let first = worker(&server, "first")?;
    let led = first.wait_for_line(|line| token(line).is_some(), PATIENCE).await?;
    first.wait_for_line(|line| line.starts_with("step 1 "), PATIENCE).await?;
    let second = worker(&server, "second")?;
    second.wait_for_line(|line| line == "waiting, 1 before this one", PATIENCE).await?;

    first.sigstop().await?;
    let before = first.lines().len();
    let next = second.wait_for_line(|line| token(line).is_some(), LEASE + PATIENCE).await?;
    ensure!(token(&next.text) > token(&led.text), "{} after {}", next.text, led.text);
    first.sigcont()?;

    let woke = first.wait_for_line_from(before, |_| true, PATIENCE).await?;
    ensure!(!woke.text.starts_with("step"), "it worked after its time: {}", first.stdout());
    first.wait_for_line_from(before, |line| line == "waiting, 1 before this one", PATIENCE).await?;
    let later = first.lines();
    ensure!(!later[before..].iter().any(|line| line.text.starts_with("step")), "{}", first.stdout());
    Ok(())
}

#[tokio::test]
async fn a_worker_uses_no_proxy_of_its_environment() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let proxy = TcpListener::bind("127.0.0.1:0").await?;
    let mut command = tokio::process::Command::new(example("leasehold", "worker")?);
    // Without a scheme, as libraries of gRPC want it.
    command.args(["billing/nightly", &server.address().to_string()]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "grpc_proxy"] {
        let url = format!("http://{}", proxy.local_addr()?);
        command.env(name, &url).env(name.to_uppercase(), &url);
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    let worker = Process::spawn("worker", command)?;
    let step = worker.wait_for_line(|line| line.starts_with("step 6 "), PATIENCE);
    tokio::select! {
        step = step => step?,
        asked = proxy.accept() => anyhow::bail!("the proxy was asked: {asked:?}"),
    };
    Ok(())
}

#[tokio::test]
async fn a_leader_keeps_its_token_when_the_server_is_killed_and_started_again() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let worker = worker(&server, "worker")?;
    let led = worker.wait_for_line(|line| token(line).is_some(), PATIENCE).await?;
    worker.wait_for_line(|line| line.starts_with("step 2 "), PATIENCE).await?;
    server.kill9().await?;
    server.restart().await?;
    let before = worker.lines().len();
    // Longer than its lease: it would have ended if the new server hadn't accepted its ticket.
    let steps = |line: &str| line.starts_with("step") && line.ends_with(&token(&led.text).unwrap_or(0).to_string());
    tokio::time::sleep(LEASE).await;
    worker.wait_for_line_from(before + 4, steps, PATIENCE).await?;
    ensure!(worker.lines().iter().filter(|line| token(&line.text).is_some()).count() == 1, "{}", worker.stdout());
    Ok(())
}
