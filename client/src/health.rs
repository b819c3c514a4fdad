//! The health of a worker: the check that a candidacy hangs on, when it is due, and the check that
//! runs.

use crate::error::Error;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// The interval of a check that doesn't say otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// The timeout of a check that doesn't say otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

type Outcome = Result<(), String>;

/// A check of the worker's health, for [`Campaign::health`](crate::Campaign::health): a worker
/// whose KeepAlives go on while its work hangs doesn't keep the lead.
///
/// - A worker enters the election when a check has succeeded, so a worker that lost the lead for
///   its health doesn't get it back before. With [`no_wait`](crate::Campaign::no_wait) a check that
///   fails is the end.
/// - A worker that turns unhealthy while it waits leaves the queue, and enters again, behind the
///   others, when it is well.
/// - A leader loses the lead as [`Lost::Unhealthy`](crate::Lost::Unhealthy):
///   [`guard`](crate::Leadership::guard) drops its future, and dropping the
///   [`Leadership`](crate::Leadership) resigns, so the next one leads then and not after the ttl.
///   The first check of a leader comes an interval after it was elected.
///
/// No KeepAlive waits for a check: each runs in a task of its own, which is dropped when its time
/// is over. On a runtime with several threads that holds for a check that blocks its thread as
/// well. On a runtime with a single thread such a check stops the KeepAlives too, and the lead ends
/// with its ttl. Work under the guard that blocks its thread can't be dropped: then the lead isn't
/// kept alive any more, and the next one leads after the ttl.
///
/// ```no_run
/// # use std::{sync::{Arc, Mutex}, time::{Duration, Instant}};
/// # async fn example(client: leasehold::Client) -> Result<(), leasehold::Error> {
/// # async fn charge(customer: u64, token: u64) {}
/// // When the work got on last; nothing while there is none.
/// let progress = Arc::new(Mutex::new(None::<Instant>));
/// let seen = Arc::clone(&progress);
/// let check = leasehold::HealthCheck::new(move || {
///     let idle = seen.lock().unwrap().map_or(Duration::ZERO, |at| at.elapsed());
///     async move { if idle.as_secs() < 10 { Ok(()) } else { Err(format!("no customer was charged for {idle:?}")) } }
/// });
/// let check = check.interval(Duration::from_secs(1)).timeout(Duration::from_secs(1));
/// loop {
///     let leadership = client.campaign("billing/nightly").health(check.clone()).await?;
///     let work = async {
///         for customer in 0..1000 {
///             *progress.lock().unwrap() = Some(Instant::now());
///             charge(customer, leadership.fencing_token()).await;
///         }
///     };
///     let done = leadership.guard(work).await;
///     *progress.lock().unwrap() = None;
///     match done {
///         Ok(()) => break leadership.resign().await,
///         Err(lost) => eprintln!("{lost}"), // "it is unhealthy: no customer was charged for 10.2s"
///     }
/// }
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a check is made only for the campaign that is given it"]
pub struct HealthCheck {
    check: Arc<dyn Fn() -> BoxFuture<'static, Outcome> + Send + Sync>,
    interval: Duration,
    timeout: Duration,
}

impl HealthCheck {
    /// A check by this function. `Err`, with what is wrong for people, and a panic mean unhealthy.
    pub fn new<C, F>(check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { check: Arc::new(move || check().boxed()), interval: DEFAULT_INTERVAL, timeout: DEFAULT_TIMEOUT }
    }

    /// From the end of one check to the start of the next: by default 5 s, and never zero.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long a check may take: by default 2 s, and never zero. No answer within that time means
    /// unhealthy.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let zero =
            [("the interval of the health check", self.interval), ("the timeout of the health check", self.timeout)];
        match zero.into_iter().find(|(_, time)| time.is_zero()) {
            Some((what, _)) => Err(Error::Invalid { what, detail: "it is zero".to_owned() }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck")
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The checks of one campaign, one after the other. Without a [`HealthCheck`] none is ever due.
pub(crate) struct HealthChecks {
    check: Option<HealthCheck>,
    /// Until the next check begins. The runtime's clock stands still while the machine is
    /// suspended, and so do the checks.
    rest: Pin<Box<Sleep>>,
    running: Option<RunningCheck>,
    /// Whether the last check succeeded.
    is_well: bool,
}

/// A check that runs, in a task of its own: a check that blocks its thread doesn't block those who
/// wait for it.
struct RunningCheck {
    task: JoinHandle<Outcome>,
    timeout: Pin<Box<Sleep>>,
}

impl HealthChecks {
    /// The first check is due at once.
    pub(crate) fn new(check: Option<HealthCheck>) -> Self {
        let is_well = check.is_none();
        Self { check, rest: Box::pin(tokio::time::sleep(Duration::ZERO)), running: None, is_well }
    }

    /// Whether the last check succeeded. True if there is nothing to check.
    pub(crate) fn is_well(&self) -> bool {
        self.is_well
    }

    /// The next check is due an interval from now. A check that runs goes on.
    pub(crate) fn rest(&mut self) {
        if let Some(check) = &self.check {
            self.rest = Box::pin(tokio::time::sleep(check.interval));
        }
    }

    /// The outcome of the next check. Cancel-safe: a check that runs goes on.
    pub(crate) async fn next(&mut self) -> Outcome {
        let Some(check) = &self.check else { return pending().await };
        if self.running.is_none() {
            self.rest.as_mut().await;
        }
        let running = self.running.get_or_insert_with(|| RunningCheck::start(check));
        let outcome = tokio::select! {
            biased;
            outcome = &mut running.task => outcome.unwrap_or_else(|_| Err("the check panicked".to_owned())),
            () = &mut running.timeout => Err(format!("no answer within {:?}", check.timeout)),
        };
        self.running = None;
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

impl RunningCheck {
    fn start(health: &HealthCheck) -> Self {
        let check = Arc::clone(&health.check);
        // What the function does before it returns its future may block as well.
        let task = tokio::spawn(async move { check().await });
        Self { task, timeout: Box::pin(tokio::time::sleep(health.timeout)) }
    }
}

impl Drop for RunningCheck {
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

    fn checks<F>(check: impl Fn() -> F + Send + Sync + 'static) -> HealthChecks
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        HealthChecks::new(Some(HealthCheck::new(check).interval(INTERVAL).timeout(TIMEOUT)))
    }

    #[tokio::test]
    async fn checks_come_one_after_the_other_until_one_fails() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let mut checks = checks(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move { if number < 3 { Ok(()) } else { Err(format!("check {number}")) } }
        });
        assert!(!checks.is_well(), "before the first one nobody knows");
        let start = tokio::time::Instant::now();
        assert_eq!(checks.next().await, Ok(()));
        assert!(checks.is_well());
        assert_eq!(checks.sick().await, "check 3");
        assert!(!checks.is_well() && start.elapsed() >= INTERVAL * 3);
        assert_eq!(made.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn one_that_hangs_or_panics_has_failed() {
        assert_eq!(checks(pending).sick().await, "no answer within 60ms");
        assert_eq!(checks(|| async { panic!("a bug") }).sick().await, "the check panicked");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_blocks_its_thread_has_failed_in_time() {
        let start = tokio::time::Instant::now();
        let blocks = || async {
            std::thread::sleep(TIMEOUT * 8);
            Ok(())
        };
        assert_eq!(checks(blocks).sick().await, "no answer within 60ms");
        assert!(start.elapsed() < TIMEOUT * 6, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn the_first_check_comes_at_once() {
        let hourly = HealthCheck::new(|| async { Ok(()) }).interval(Duration::from_secs(3600));
        let mut checks = HealthChecks::new(Some(hourly));
        assert_eq!(tokio::time::timeout(TIMEOUT * 100, checks.next()).await, Ok(Ok(())));
    }

    #[tokio::test]
    async fn a_check_that_isnt_waited_for_goes_on() {
        let (made, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
        let (count, released) = (Arc::clone(&made), Arc::clone(&release));
        let check = HealthCheck::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let released = Arc::clone(&released);
            async move {
                released.notified().await;
                Ok(())
            }
        });
        let mut checks = HealthChecks::new(Some(check.timeout(TIMEOUT * 1000)));
        for polled in 0.. {
            assert!(checks.next().now_or_never().is_none());
            if polled > 5 && made.load(Ordering::SeqCst) > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        release.notify_one();
        assert_eq!(checks.next().await, Ok(()));
        assert_eq!(made.load(Ordering::SeqCst), 1, "the same check all the time");
    }

    #[tokio::test]
    async fn without_a_check_none_is_due() {
        let mut checks = HealthChecks::new(None);
        assert!(checks.is_well());
        assert!(tokio::time::timeout(INTERVAL, checks.next()).await.is_err());
    }
}
