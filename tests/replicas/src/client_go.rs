//! `client-go`: a Go program that competes for the Lease of the replicas by the rules of
//! Kubernetes' own library.

use crate::group::{LEASE, NAMESPACE};
use anyhow::{Context as _, ensure};
use leasehold_harness::{Line, Process};
use leasehold_kube_harness::ControlPlane;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// It lets go at once, and then ends.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A running one. It is killed when this is dropped.
#[derive(Debug)]
pub struct ClientGo {
    process: Process,
}

impl ClientGo {
    /// Starts one with a name of its own, and an administrator's rights.
    ///
    /// # Errors
    ///
    /// When it can't be built or started.
    pub async fn start(plane: &ControlPlane, identity: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(program().await?);
        command.args([NAMESPACE, LEASE, identity]).env("KUBECONFIG", plane.kubeconfig());
        let process = Process::spawn("client-go", command)?;
        process.wait_for_line(|line| line == "competing", END_TIMEOUT).await?;
        Ok(Self { process })
    }

    /// Waits until it leads.
    ///
    /// # Errors
    ///
    /// When it doesn't within `timeout`.
    pub async fn leads(&self, timeout: Duration) -> anyhow::Result<Line> {
        self.process.wait_for_line(|line| line == "leading", timeout).await
    }

    /// Whether it has said that it leads, or has lost that.
    #[must_use]
    pub fn said(&self, word: &str) -> bool {
        self.process.stdout().lines().any(|line| line == word)
    }

    /// Has it let go of the Lease, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it doesn't end.
    pub async fn let_go(mut self) -> anyhow::Result<()> {
        self.process.sigterm()?;
        self.process.wait(END_TIMEOUT).await?;
        Ok(())
    }

    /// Kills it: it has no time to let go.
    ///
    /// # Errors
    ///
    /// When it had already ended.
    pub async fn die(mut self) -> anyhow::Result<()> {
        self.process.kill9().await?;
        Ok(())
    }
}

/// The one that `LEASEHOLD_CLIENT_GO` names; without it, the one that
/// `tests/replicas/client-go/build` finds or builds.
async fn program() -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os("LEASEHOLD_CLIENT_GO") {
        return Ok(PathBuf::from(program));
    }
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/client-go/build"));
    let output = Command::new(script).output().await.context("tests/replicas/client-go/build can't be run")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tests/replicas/client-go/build: {}\n{stderr}", output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout).context("its path isn't UTF-8")?.trim_end()))
}
