//! The bare service in a process of its own, as the real server is.

use anyhow::{Context as _, Result};
use leasehold_harness::Process;
use std::time::Duration;
use tokio::process::Command;

use crate::exchange::Exchange;

/// What the first line of its output begins with; its address follows.
pub(crate) const LISTENING: &str = "bare service listening on ";

/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running bare server. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct BareServer {
    process: Process,
    /// Where it serves, as a URL.
    pub(crate) endpoint: String,
}

impl BareServer {
    /// Starts this program again as a bare server that sends these messages.
    ///
    /// # Errors
    ///
    /// When it doesn't listen within 10 s: the error shows what it wrote.
    pub(crate) async fn start(messages: &Exchange) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("this program doesn't know its own file")?);
        command.arg("bare-server").arg("--messages").arg(messages.to_text());
        let process = Process::spawn("the bare server", command)?;
        let line = process.wait_for_line(|line| line.starts_with(LISTENING), START_TIMEOUT).await?;
        let endpoint = format!("http://{}", line.text.trim_start_matches(LISTENING));
        Ok(Self { process, endpoint })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}
