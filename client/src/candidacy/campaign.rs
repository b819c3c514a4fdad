//! Entering an election: what to ask for.

use super::enrolled::Candidacy;
use super::leadership::Leadership;
use super::task;
use super::terms::Terms;
use crate::error::Error;
use crate::health::HealthCheck;
use crate::transport::Connections;
use futures::future::BoxFuture;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

/// The ttl of a candidacy that doesn't say otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(15);
/// How long to go on trying to enter while the service can't be reached, unless said otherwise.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// A campaign that is about to begin: await it to lead, or [`enroll`](Campaign::enroll) first and
/// wait later.
///
/// Awaiting it returns when this worker leads. It waits for that without limit unless
/// [`no_wait`](Campaign::no_wait) or [`max_wait`](Campaign::max_wait) is set, through broken
/// connections and restarts of the service: it keeps its place with its ticket, and enters again by
/// itself if an outage was longer than the ttl.
///
/// **Cancel safety:** dropping the future resigns, in the background and as well as that is
/// possible: if the service can't be told, the candidacy runs out after its ttl. If the answer to
/// the first request is lost, the next try finds the candidacy that the first one made. Only if
/// there is no next try, nobody knows of that candidacy; it runs out likewise, and may lead until
/// then.
///
/// # Errors
///
/// - [`Error::NotGranted`]: a try that wasn't granted in time.
/// - [`Error::Unhealthy`]: a try whose [`health`](Campaign::health) check failed.
/// - [`Error::Unreachable`]: the service couldn't be entered within
///   [`patience`](Campaign::patience).
/// - [`Error::Refused`]: bad names, a ttl out of range, a limit that is reached.
/// - [`Error::Ended`]: the service ended the waiting candidacy, e.g. because a successor of the
///   same name replaced it.
/// - [`Error::Invalid`]: a ttl, a hold or a time of the health check that can't be sent or kept.
///
/// ```no_run
/// # async fn example() -> Result<(), leasehold::Error> {
/// let client = leasehold::Client::connect("127.0.0.1:7400").await?;
/// let leadership = client.campaign("billing/nightly").value("10.0.0.7:80").await?;
/// println!("leading with fencing token {}", leadership.fencing_token());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a campaign does nothing until it is awaited"]
pub struct Campaign {
    connections: Arc<Connections>,
    terms: Terms,
}

impl Campaign {
    pub(crate) fn new(connections: Arc<Connections>, election: String) -> Self {
        let terms = Terms {
            election,
            candidate: default_candidate(),
            ttl: DEFAULT_TTL,
            value: String::new(),
            no_wait: false,
            max_wait: None,
            replace_former: false,
            patience: DEFAULT_PATIENCE,
            hold: None,
            health: None,
        };
        Self { connections, terms }
    }

    /// A label for this candidate: 1 to 256 bytes. It needn't be unique. By default `HOSTNAME-PID`.
    pub fn candidate(mut self, name: impl Into<String>) -> Self {
        self.terms.candidate = name.into();
        self
    }

    /// How long the candidacy outlives its last KeepAlive: whole milliseconds from 1 s to the
    /// service's `max_ttl` (15 s unless configured). By default 15 s. KeepAlives are sent three
    /// times as often.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.ttl = ttl;
        self
    }

    /// What observers see beside the leader's name, e.g. an address: at most 4096 bytes. By default
    /// nothing.
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.terms.value = value.into();
        self
    }

    /// A try: unless it can be granted at once, it fails as [`Error::NotGranted`].
    pub fn no_wait(mut self) -> Self {
        self.terms.no_wait = true;
        self
    }

    /// A try with patience: unless it is granted within this time from the start (and half a
    /// second, for the word to arrive), it fails as [`Error::NotGranted`]. Zero is the same as
    /// [`no_wait`](Campaign::no_wait).
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.terms.max_wait = Some(max_wait);
        self
    }

    /// The caller knows that the former process of this name is dead: its candidacies of the same
    /// name end at once, and this one takes their place. Where that isn't true, two workers may
    /// believe that they lead.
    pub fn replace_former(mut self) -> Self {
        self.terms.replace_former = true;
        self
    }

    /// Once per tick: for this long after the grant the election isn't granted again, whoever
    /// resigns, dies, or is told to hand over. Whole milliseconds, 24 h at most; by default not at
    /// all.
    ///
    /// What runs on a timer on several machines needs it. Their clocks differ by more than a short
    /// job lasts, so without it a machine that is late finds the election free again. With
    /// [`no_wait`](Campaign::no_wait) only one machine gets to do the job:
    ///
    /// ```no_run
    /// # async fn example(client: leasehold::Client) -> Result<(), leasehold::Error> {
    /// # async fn send_reports() {}
    /// use std::time::Duration;
    ///
    /// match client.campaign("billing/hourly").no_wait().hold(Duration::from_secs(60)).await {
    ///     Ok(leadership) => {
    ///         let _ = leadership.guard(send_reports()).await;
    ///         leadership.resign().await?;
    ///     }
    ///     Err(leasehold::Error::NotGranted { .. }) => {} // another machine does it
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// The hold survives restarts of the service in good order, and its crashes as long as this
    /// candidacy leads. A crash after the end of this candidacy forgets it.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.terms.hold = Some(hold);
        self
    }

    /// How long to go on trying to enter while the service can't be reached: by default 10 s. Once
    /// the election was entered the campaign goes on trying for ever, or for
    /// [`max_wait`](Campaign::max_wait).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.terms.patience = patience;
        self
    }

    /// Ties the candidacy to the health of this worker: see [`HealthCheck`]. By default nothing is
    /// checked.
    pub fn health(mut self, check: HealthCheck) -> Self {
        self.terms.health = Some(check);
        self
    }

    /// Enters the election, and returns when the service has confirmed it: waiting or leading.
    ///
    /// # Errors
    ///
    /// As for the campaign as a whole; a try that isn't granted at once may fail here already.
    pub async fn enroll(self) -> Result<Candidacy, Error> {
        Candidacy::enroll(task::spawn(self.connections, self.terms.checked()?)).await
    }
}

impl IntoFuture for Campaign {
    type Output = Result<Leadership, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.enroll().await?.elected().await })
    }
}

/// Which process this is, for people.
fn default_candidate() -> String {
    format!("{}-{}", host_name(), std::process::id())
}

#[cfg(all(unix, not(pretend_windows)))]
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "worker".to_owned() } else { name }
}

#[cfg(any(not(unix), pretend_windows))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "worker".to_owned())
}
