//! The real server: how it is started, and ended in good order.

use anyhow::{Result, ensure};
use leasehold_harness::{Server, ServerBuilder};
use std::fmt;
use std::time::Duration;

/// How long it may take to end: its own promise is 5 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How the server under load is started.
#[derive(Debug, clap::Args)]
pub(crate) struct RealArgs {
    /// What leasehold-server logs. At info, its default, each grant and each end of a leadership is
    /// a line.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: String,
    /// An argument for leasehold-server, e.g. --server-arg=--max-ttl=60s; may be given more than
    /// once.
    #[arg(long = "server-arg", value_name = "ARG", allow_hyphen_values = true)]
    server_args: Vec<String>,
}

impl RealArgs {
    /// Starts the release build of leasehold-server on free ports, with a temporary data folder.
    ///
    /// # Errors
    ///
    /// When it isn't built, or doesn't serve within 20 s: the error shows what it wrote.
    pub(crate) async fn start(&self) -> Result<Server> {
        self.start_with(|builder| builder).await
    }

    /// The same, with what the caller adds.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub(crate) async fn start_with(&self, more: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Result<Server> {
        let builder = more(Server::builder().release(true).arg("--log-level").arg(&self.log_level));
        self.server_args.iter().fold(builder, |builder, arg| builder.arg(arg)).start().await
    }
}

impl fmt::Display for RealArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leasehold-server --log-level {}", self.log_level)?;
        self.server_args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// Ends the server with SIGTERM.
///
/// # Errors
///
/// When it takes longer than 10 s (it is killed then), or says that something went wrong.
pub(crate) async fn stop(mut server: Server) -> Result<()> {
    let ending = server.sigterm(STOP_TIMEOUT).await?;
    ensure!(ending.status.success(), "the server ended with {}: {}", ending.status, ending.stderr);
    Ok(())
}
