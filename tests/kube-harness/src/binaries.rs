//! Where the programs of the control plane are.

use anyhow::{Context as _, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A first build takes 10 minutes on two idle processors.
const BUILD_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The two programs.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) controlplane: PathBuf,
    pub(crate) kubectl: PathBuf,
}

impl Binaries {
    /// Those in the folder that `LEASEHOLD_CONTROLPLANE` names; without it, those that
    /// `tests/controlplane/build` finds or builds.
    pub(crate) async fn find() -> anyhow::Result<Self> {
        let folder = match std::env::var_os("LEASEHOLD_CONTROLPLANE") {
            Some(folder) => PathBuf::from(folder),
            None => build().await?,
        };
        let found = Self { controlplane: folder.join("controlplane"), kubectl: folder.join("kubectl") };
        for path in [&found.controlplane, &found.kubectl] {
            ensure!(path.is_file(), "{} isn't there: run tests/controlplane/build", path.display());
        }
        Ok(found)
    }
}

async fn build() -> anyhow::Result<PathBuf> {
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../controlplane/build"));
    let mut command = Command::new(script);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(BUILD_TIMEOUT, command.output())
        .await
        .with_context(|| format!("tests/controlplane/build hasn't ended within {BUILD_TIMEOUT:?}"))?
        .context("tests/controlplane/build can't be run")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tests/controlplane/build: {}\n{stderr}", output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout).context("its folder isn't UTF-8")?.trim_end()))
}
