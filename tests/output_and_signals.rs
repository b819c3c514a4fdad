//! Output that nobody reads, and signals that mean nothing: neither keeps a server from serving,
//! nor from ending in good order.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, PATIENCE, Server, ServerBuilder, full_pipe, http_get, leased};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::Child;
use tonic::transport::Endpoint;

/// What is promised for an orderly end.
const LIMIT: Duration = Duration::from_secs(5);

/// An address that is free, as a server whose output nobody reads can't tell where it listens.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The end of this process, and how long it took.
async fn end(child: &mut Child) -> anyhow::Result<(ExitStatus, Duration)> {
    let since = Instant::now();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.context("it doesn't end")??;
    Ok((status, since.elapsed()))
}

fn terminate(child: &Child) -> anyhow::Result<()> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).context("it runs")?;
    Ok(kill_process(pid, Signal::TERM)?)
}

async fn served(http: SocketAddr) -> anyhow::Result<()> {
    let since = Instant::now();
    while !http_get(&format!("http://{http}/readyz")).await.is_ok_and(|answer| answer.status == 200) {
        ensure!(since.elapsed() < PATIENCE, "it doesn't serve");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Serves, floods its own log, and is told to end, with these pipes for its output.
async fn serves_and_ends(builder: ServerBuilder, stdout: Stdio, stderr: Stdio) -> anyhow::Result<()> {
    let (grpc, http) = (free()?, free()?);
    let folder = tempfile::tempdir()?;
    let mut command = builder.listen(grpc).http_listen(http).command(folder.path())?;
    let mut child = command.stdout(stdout).stderr(stderr).kill_on_drop(true).spawn()?;
    served(http).await?;
    let channel = Endpoint::from_shared(format!("http://{grpc}"))?.connect().await?;
    let mut client = leasehold_harness::ElectionClient::new(channel);
    for _ in 0..200 {
        let mut campaign = Campaign::open(&mut client, leased("jobs/unread", "x", 15_000)).await?;
        campaign.elected().await?;
        campaign.resign(&mut client).await?;
    }
    terminate(&child)?;
    let (status, took) = end(&mut child).await?;
    ensure!(status.success() && took < LIMIT, "{status} after {took:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_whose_greeting_nobody_reads_serves_and_ends_in_good_order() -> anyhow::Result<()> {
    let (_unread, stdout) = full_pipe()?;
    serves_and_ends(Server::builder(), stdout.into(), Stdio::null()).await
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_serves_and_ends_in_good_order() -> anyhow::Result<()> {
    let ((_out, stdout), (_err, stderr)) = (full_pipe()?, full_pipe()?);
    serves_and_ends(Server::builder().arg("--log-level=trace"), stdout.into(), stderr.into()).await
}

#[tokio::test]
async fn a_start_that_fails_ends_though_nobody_reads_why() -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    for (word, code) in [("--max-ttl=30s", 1), ("--no-such-flag", 2)] {
        let ((_out, stdout), (_err, stderr)) = (full_pipe()?, full_pipe()?);
        let mut command = Server::builder().arg(word).command(file.path())?;
        let mut child = command.stdout(stdout).stderr(stderr).kill_on_drop(true).spawn()?;
        let (status, took) = end(&mut child).await?;
        ensure!(status.code() == Some(code) && took < LIMIT, "{word}: {status} after {took:?}");
    }
    Ok(())
}

#[tokio::test]
async fn signals_that_mean_nothing_end_nothing() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/signals", "x", 15_000)).await?;
    leader.elected().await?;
    for (signal, name) in [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        server.process().signal(signal)?;
        let since = Instant::now();
        while !server.process().stderr().contains(&format!("{name} means nothing here")) {
            ensure!(since.elapsed() < PATIENCE, "it doesn't say what {name} means: {}", server.process().stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    ensure!(leader.keep_alive(&mut client).await?.fencing_token > 0, "it leads no more");
    let ending = server.sigterm(LIMIT).await?;
    ensure!(ending.status.success(), "{ending:?}");
    Ok(())
}
