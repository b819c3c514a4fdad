//! Health: the check that a candidacy hangs on, when it is due, and the one that runs.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

type Outcome = Result<(), String>;
type Check = Arc<dyn Fn() -> BoxFuture<'static, Outcome> + Send + Sync>;

/// What is checked, and how often.
#[derive(Clone)]
pub(crate) struct Health {
    check: Check,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl Health {
    pub(crate) fn new<C, F>(check: C, interval: Duration, timeout: Duration) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        Self { check: Arc::new(move || check().boxed()), interval, timeout }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The checks of one campaign, one after the other. Without a [`Health`] none is ever due.
pub(crate) struct Pulse {
    health: Option<Health>,
    /// Until the next check begins. The runtime's clock, which stands still while the machine is suspended: so do checks.
    rest: Pin<Box<Sleep>>,
    flight: Option<Flight>,
    /// What the last check said.
    is_well: bool,
}

/// A check that runs, in a task of its own: one that blocks its thread doesn't block whoever waits for it.
struct Flight {
    task: JoinHandle<Outcome>,
    timeout: Pin<Box<Sleep>>,
}

impl Pulse {
    /// The first check is due at once.
    pub(crate) fn new(health: Option<Health>) -> Self {
        let is_well = health.is_none();
        Self { health, rest: Box::pin(tokio::time::sleep(Duration::ZERO)), flight: None, is_well }
    }

    /// Whether the last check said so. True if there is nothing to check.
    pub(crate) fn is_well(&self) -> bool {
        self.is_well
    }

    /// The next check is due an interval from now. One that runs goes on.
    pub(crate) fn rest(&mut self) {
        if let Some(health) = &self.health {
            self.rest = Box::pin(tokio::time::sleep(health.interval));
        }
    }

    /// The outcome of the next check. Cancel-safe: one that runs goes on.
    pub(crate) async fn next(&mut self) -> Outcome {
        let Some(health) = &self.health else { return pending().await };
        if self.flight.is_none() {
            self.rest.as_mut().await;
        }
        let flight = self.flight.get_or_insert_with(|| Flight::start(health));
        let outcome = tokio::select! {
            biased;
            outcome = &mut flight.task => outcome.unwrap_or_else(|_| Err("the check panicked".to_owned())),
            () = &mut flight.timeout => Err(format!("no answer within {:?}", health.timeout)),
        };
        self.flight = None;
        self.is_well = outcome.is_ok();
        self.rest();
        outcome
    }

    /// Returns when a check has failed, with what it said. Cancel-safe.
    pub(crate) async fn sick(&mut self) -> String {
        loop {
            if let Err(detail) = self.next().await {
                return detail;
            }
        }
    }
}

impl Flight {
    fn start(health: &Health) -> Self {
        let check = Arc::clone(&health.check);
        // What the function does before it returns its future may block as well.
        let task = tokio::spawn(async move { check().await });
        Self { task, timeout: Box::pin(tokio::time::sleep(health.timeout)) }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const INTERVAL: Duration = Duration::from_millis(20);
    const TIMEOUT: Duration = Duration::from_millis(60);

    fn pulse<F>(check: impl Fn() -> F + Send + Sync + 'static) -> Pulse
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Pulse::new(Some(Health::new(check, INTERVAL, TIMEOUT)))
    }

    #[tokio::test]
    async fn checks_come_one_after_the_other_until_one_fails() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let mut pulse = pulse(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move { if number < 3 { Ok(()) } else { Err(format!("check {number}")) } }
        });
        assert!(!pulse.is_well(), "before the first one nobody knows");
        let start = tokio::time::Instant::now();
        assert_eq!(pulse.next().await, Ok(()), "the first one comes at once");
        assert!(pulse.is_well() && start.elapsed() < INTERVAL);
        assert_eq!(pulse.sick().await, "check 3");
        assert!(!pulse.is_well() && start.elapsed() >= INTERVAL * 3);
        assert_eq!(made.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn one_that_hangs_or_panics_has_failed() {
        assert_eq!(pulse(pending).sick().await, "no answer within 60ms");
        assert_eq!(pulse(|| async { panic!("a bug") }).sick().await, "the check panicked");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_blocks_its_thread_has_failed_in_time() {
        let start = tokio::time::Instant::now();
        let blocks = || async {
            std::thread::sleep(TIMEOUT * 8);
            Ok(())
        };
        assert_eq!(pulse(blocks).sick().await, "no answer within 60ms");
        assert!(start.elapsed() < TIMEOUT * 6, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn one_that_is_given_up_is_dropped_and_one_that_isnt_waited_for_goes_on() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let mut pulse = pulse(move || {
            count.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::time::sleep(TIMEOUT / 2).await;
                Ok(())
            }
        });
        for _ in 0..5 {
            assert!(tokio::time::timeout(Duration::from_millis(2), pulse.next()).await.is_err());
        }
        assert_eq!(pulse.next().await, Ok(()));
        assert_eq!(made.load(Ordering::SeqCst), 1, "the same check all the time");
    }

    #[tokio::test]
    async fn without_a_check_none_is_due() {
        let mut pulse = Pulse::new(None);
        assert!(pulse.is_well());
        assert!(tokio::time::timeout(INTERVAL, pulse.next()).await.is_err());
    }
}
