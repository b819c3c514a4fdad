//! What ends a run from outside: a signal, or a limit of time.

use anyhow::{Context as _, Result, bail};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Runs `work`, but drops it, and with it the servers it started, on SIGINT, SIGTERM or after
/// `limit`.
///
/// # Errors
///
/// That of `work`, or which of the three ended it.
pub(crate) async fn unless_stopped<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be listened for")?;
    tokio::select! {
        outcome = work => outcome,
        _ = terminate.recv() => bail!("ended by SIGTERM"),
        _ = interrupt.recv() => bail!("ended by SIGINT"),
        () = tokio::time::sleep(limit) => bail!("not finished within {limit:?}: something hangs"),
    }
}

#[cfg(test)]
mod tests {
    use super::unless_stopped;
    use std::time::Duration;

    #[tokio::test]
    async fn work_that_hangs_is_ended_with_a_reason() {
        let hang = std::future::pending::<anyhow::Result<()>>();
        let error = unless_stopped(Duration::from_millis(20), hang).await.expect_err("it hangs");
        assert_eq!(error.to_string(), "not finished within 20ms: something hangs");
        let done = unless_stopped(Duration::from_secs(60), async { Ok(7) }).await.expect("it is done");
        assert_eq!(done, 7);
    }
}
