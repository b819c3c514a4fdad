//! What workers and an observer see while replicas fail, noted as it happens, and what must be true
//! of it in the end.

mod record;
mod worker;

pub use record::{Leading, Record};

use anyhow::bail;
use futures::StreamExt as _;
use leasehold::proto::ElectionChange;
use leasehold::{Client, Observed, Selection};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a worker does once it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// It leads for as long as it can.
    Keeps,
    /// It resigns after this time, and enters again.
    Passes(Duration),
}

/// Workers and an observer of one service. Each has a client of its own, as processes would.
#[derive(Debug)]
pub struct Witness {
    endpoints: String,
    notes: Notes,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Workers of each election so far.
    workers: BTreeMap<String, usize>,
}

/// What was seen so far, shared by those who see.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    leads: Vec<Leading>,
    changes: Vec<(Instant, ElectionChange)>,
    errors: Vec<String>,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness {
    /// Begins to observe all elections of the service with these endpoints.
    ///
    /// # Errors
    ///
    /// When none of them answers.
    pub async fn start(endpoints: impl Into<String>) -> anyhow::Result<Self> {
        let endpoints = endpoints.into();
        let client = Client::connect(endpoints.clone()).await?;
        let (notes, stop, tasks) = (Notes::default(), CancellationToken::new(), TaskTracker::new());
        tasks.spawn(observe(client, notes.clone(), stop.clone()));
        Ok(Self { endpoints, notes, stop, tasks, workers: BTreeMap::new() })
    }

    /// Adds a worker to an election: its name is the election's with a number.
    ///
    /// # Errors
    ///
    /// When the endpoints aren't valid.
    pub fn worker(&mut self, election: &str, ttl: Duration, conduct: Conduct) -> anyhow::Result<()> {
        let number = self.workers.entry(election.to_owned()).or_default();
        let worker = worker::Worker {
            client: Client::connect_lazy(self.endpoints.clone())?,
            election: election.to_owned(),
            name: format!("{election}-{number}"),
            ttl,
            conduct,
            notes: self.notes.clone(),
            stop: self.stop.clone(),
        };
        *number += 1;
        self.tasks.spawn(worker.run());
        Ok(())
    }

    /// Adds two workers to an election, and waits until one of them leads.
    ///
    /// # Errors
    ///
    /// When none leads within `timeout`.
    pub async fn pair(
        &mut self,
        election: &str,
        ttl: Duration,
        conduct: Conduct,
        timeout: Duration,
    ) -> anyhow::Result<Leading> {
        let since = Instant::now();
        for _ in 0..2 {
            self.worker(election, ttl, conduct)?;
        }
        self.led_since(election, since, timeout).await
    }

    /// Waits for a grant in an election that a worker was told of at this moment or later: the
    /// first one.
    ///
    /// # Errors
    ///
    /// When none comes within `timeout`.
    pub async fn led_since(&self, election: &str, since: Instant, timeout: Duration) -> anyhow::Result<Leading> {
        let deadline = Instant::now() + timeout;
        loop {
            let fits = |lead: &&Leading| lead.election == election && lead.from >= since;
            if let Some(lead) = self.notes.lock().leads.iter().find(fits) {
                return Ok(lead.clone());
            }
            if Instant::now() >= deadline {
                bail!("{election} has no new leader within {timeout:?}: {:#?}", self.notes.lock().errors);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The leaderships so far, in the order in which workers learned of them.
    #[must_use]
    pub fn leads(&self) -> Vec<Leading> {
        self.notes.lock().leads.clone()
    }

    /// How often the observer's stream has broken so far.
    #[must_use]
    pub fn breaks(&self) -> usize {
        self.notes.lock().errors.iter().filter(|error| error.starts_with("observer")).count()
    }

    /// Stops all, and checks what holds always: one leader at a time, tokens that rise and aren't
    /// repeated, news that are true.
    ///
    /// # Errors
    ///
    /// With what was seen that may not be.
    pub async fn finish(self) -> anyhow::Result<Record> {
        let until = Instant::now();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let Seen { leads, changes, errors } = std::mem::take(&mut *self.notes.lock());
        let record = Record { leads, changes, errors, until };
        record.check()?;
        println!("{record}");
        Ok(record)
    }
}

async fn observe(client: Client, notes: Notes, stop: CancellationToken) {
    let mut news = client.observe(Selection::all());
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            event = news.next() => event,
        };
        match event {
            Some(Ok(Observed::Change(change))) => notes.lock().changes.push((Instant::now(), change.into())),
            Some(Ok(Observed::Reconnecting { error, .. })) => notes.lock().errors.push(format!("observer: {error}")),
            Some(Ok(_)) => {}
            Some(Err(error)) => notes.lock().errors.push(format!("observer, for good: {error}")),
            None => return,
        }
    }
}
