//! Programs in other languages: the workers of `examples`, and grpcurl.

use crate::{Line, Process, Server, repository};
use anyhow::Context as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// The languages of the workers in `examples`. All take the same flags and print the same facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `examples/python`, with grpcio.
    Python,
    /// `examples/go`, with grpc-go.
    Go,
    /// `examples/node`, with grpc-js.
    Node,
}

/// A worker, as it stands in `examples`.
#[derive(Debug)]
pub struct Worker {
    /// The label of its candidacies.
    pub name: String,
    /// Its process.
    pub process: Process,
}

impl Worker {
    /// Starts one that does a step of its task every 50 ms, and says so in words.
    ///
    /// # Errors
    ///
    /// When what its language needs isn't there: `tests/run` sees to it.
    pub fn start(
        language: Language,
        server: &Server,
        election: &str,
        name: &str,
        ttl: Duration,
    ) -> anyhow::Result<Self> {
        Self::start_with(language, server, election, name, ttl, |_| {})
    }

    /// The same, with more arguments or another environment.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_with(
        language: Language,
        server: &Server,
        election: &str,
        name: &str,
        ttl: Duration,
        change: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        Self::start_at(language, &server.address().to_string(), election, name, ttl, change)
    }

    /// The same with the service at this endpoint.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_at(
        language: Language,
        endpoint: &str,
        election: &str,
        name: &str,
        ttl: Duration,
        change: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let mut command = language.worker()?;
        command.arg(election).args(["--name", name, "--step", "0.05"]);
        command.args(["--ttl", &ttl.as_secs_f64().to_string()]);
        command.env("LEASEHOLD_ENDPOINT", endpoint).env("LEASEHOLD_LOG_FORMAT", "text");
        change(&mut command);
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

impl Language {
    /// A command that runs its worker, without arguments.
    fn worker(self) -> anyhow::Result<Command> {
        match self {
            Self::Python => python(&repository().join("examples/python/worker.py")),
            Self::Go => Ok(Command::new(from_run("LEASEHOLD_GO_WORKER")?)),
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(from_run("LEASEHOLD_NODE_WORKER")?);
                Ok(command)
            }
        }
    }
}

/// A command that runs a Python script with the packages and stubs that the tests need.
///
/// # Errors
///
/// When `tests/run` hasn't said where they are.
pub fn python(script: &std::path::Path) -> anyhow::Result<Command> {
    // -P, and in this order: stubs that lie beside the script may be older than the proto.
    let beside = script.parent().map(PathBuf::from);
    let path = std::env::join_paths([from_run("LEASEHOLD_PYTHON_STUBS")?].into_iter().chain(beside))?;
    let mut command = Command::new(from_run("LEASEHOLD_PYTHON")?);
    // -B: nothing is written into the tree.
    command.arg("-P").arg("-B").arg("-u").arg(script).env("PYTHONPATH", path);
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

/// The path in a variable that `tests/run` sets.
///
/// # Errors
///
/// When it isn't set.
pub fn from_run(variable: &str) -> anyhow::Result<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    value.map(PathBuf::from).with_context(|| {
        format!("{variable} isn't set: run this test with `tests/run service`, which installs what it needs")
    })
}
