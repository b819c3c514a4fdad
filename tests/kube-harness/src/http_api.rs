//! `kubectl proxy`: an API server by plain HTTP, with one user's rights, for tests that look into
//! the requests or answer them.

use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long the start may take.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running `kubectl proxy`. It is killed when this is dropped.
#[derive(Debug)]
pub struct HttpApi {
    address: SocketAddr,
    _child: Child,
}

impl HttpApi {
    /// Starts it, and waits until it says where it serves.
    pub(crate) async fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("kubectl proxy doesn't start")?;
        let mut stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut line = String::new();
        let read = tokio::time::timeout(START_TIMEOUT, stdout.read_line(&mut line)).await;
        read.context("kubectl proxy says nothing")??;
        match line.trim().rsplit_once(' ').and_then(|(_, address)| address.parse().ok()) {
            Some(address) => Ok(Self { address, _child: child }),
            None => bail!("kubectl proxy doesn't say where it serves: {line:?}"),
        }
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
