//! The tools of other languages: the Python worker of `examples/python`, and grpcurl.

use crate::{Line, Process, Server, repository};
use anyhow::Context as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// A worker in Python, as it stands in `examples/python`.
#[derive(Debug)]
pub struct PythonWorker {
    /// The label of its candidacies.
    pub name: String,
    /// Its process.
    pub process: Process,
}

impl PythonWorker {
    /// Starts one that does a step of its task every 50 ms.
    ///
    /// # Errors
    ///
    /// When Python isn't there: `tests/run` sees to it.
    pub fn start(server: &Server, election: &str, name: &str, ttl: Duration) -> anyhow::Result<Self> {
        let mut command = python(&repository().join("examples/python/worker.py"))?;
        command.arg(election).args(["--name", name, "--step", "0.05"]);
        command.args(["--ttl", &ttl.as_secs_f64().to_string()]);
        command.env("LEASEHOLD_ENDPOINT", server.address().to_string());
        Ok(Self { name: name.to_owned(), process: Process::spawn(name, command)? })
    }

    /// Waits until a line begins with `fact`.
    ///
    /// # Errors
    ///
    /// When none comes within `timeout`.
    pub async fn says(&self, fact: &str, timeout: Duration) -> anyhow::Result<Line> {
        self.process.wait_for_line(|line| line.starts_with(fact), timeout).await
    }
}

/// A command that runs a Python script with the packages and stubs that the tests need.
///
/// # Errors
///
/// When `tests/run` hasn't said where they are.
pub fn python(script: &std::path::Path) -> anyhow::Result<Command> {
    // -P: stubs that lie beside the script may be older than the proto.
    let mut command = Command::new(from_run("LEASEHOLD_PYTHON")?);
    command.arg("-P").arg("-u").arg(script).env("PYTHONPATH", from_run("LEASEHOLD_PYTHON_STUBS")?);
    Ok(command)
}

/// A grpcurl command line against a server: flags, then `arguments` after the address.
///
/// # Errors
///
/// When `tests/run` hasn't said where grpcurl is.
pub fn grpcurl(server: &Server, flags: &[&str], arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(from_run("LEASEHOLD_GRPCURL")?);
    command.arg("-plaintext").args(flags).arg(server.address().to_string()).args(arguments);
    Ok(command)
}

/// The number after `token=` in a line of a worker.
///
/// # Errors
///
/// When there is none.
pub fn token_in(line: &str) -> anyhow::Result<u64> {
    let (_, rest) = line.split_once("token=").with_context(|| format!("no token in {line:?}"))?;
    let digits = rest.split(' ').next().unwrap_or_default();
    digits.parse().with_context(|| format!("the token in {line:?} isn't a number"))
}

fn from_run(variable: &str) -> anyhow::Result<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    value.map(PathBuf::from).with_context(|| {
        format!("{variable} isn't set: run this test with `tests/run service`, which installs what it needs")
    })
}
