//! Asks all replicas again and again whether they are active: at no moment are two, and tenures
//! rise.

use crate::{Group, Replica};
use anyhow::{Context as _, ensure};
use leasehold_harness::AdminClient;
use leasehold_proto::v1::{GetStatusRequest, Role};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Endpoint;

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(25);
/// A replica that is paused or gone doesn't hold up the next question for longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// A tenure, as its replica told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The tenure.
    pub tenure: u64,
    /// The number of the replica.
    pub replica: usize,
    /// When it first said that it is active.
    pub from: Instant,
    /// When it was last asked and said so: it was active then, or later.
    pub until: Instant,
}

/// Tasks that ask, one for each replica.
#[derive(Debug)]
pub struct Terms {
    terms: Arc<Mutex<BTreeMap<(usize, u64), Term>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Terms {
    /// Asks the replicas of this group. They may end and come back on the same address.
    ///
    /// # Errors
    ///
    /// When an address isn't valid.
    pub fn watch(group: &Group) -> anyhow::Result<Self> {
        let terms = Self { terms: Arc::default(), stop: CancellationToken::new(), tasks: TaskTracker::new() };
        for (number, replica) in group.replicas.iter().enumerate() {
            terms.also(number, replica)?;
        }
        Ok(terms)
    }

    /// Asks one more.
    ///
    /// # Errors
    ///
    /// When its address isn't valid.
    pub fn also(&self, number: usize, replica: &Replica) -> anyhow::Result<()> {
        let channel = Endpoint::from_shared(replica.server.endpoint())?.connect_timeout(PATIENCE).connect_lazy();
        self.tasks.spawn(ask(AdminClient::new(channel), number, Arc::clone(&self.terms), self.stop.clone()));
        Ok(())
    }

    /// The tenures that were seen so far, in their order.
    #[must_use]
    pub fn so_far(&self) -> Vec<Term> {
        let mut terms: Vec<_> = self.terms.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        terms.sort_by_key(|term| term.tenure);
        terms
    }

    /// All tenures in their order, once it is certain that no two were at once.
    ///
    /// # Errors
    ///
    /// When two were, or a later one had a lower number.
    pub async fn finish(self) -> anyhow::Result<Vec<Term>> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let terms = self.so_far();
        for pair in terms.windows(2) {
            let [former, next] = pair else { unreachable!("windows of two") };
            ensure!(former.tenure < next.tenure, "one tenure, two replicas: {former:?} and {next:?}");
            ensure!(former.until <= next.from, "two replicas were active at once: {former:?} and {next:?}");
        }
        Ok(terms)
    }
}

async fn ask(
    mut client: AdminClient,
    replica: usize,
    terms: Arc<Mutex<BTreeMap<(usize, u64), Term>>>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, client.get_status(GetStatusRequest {})).await;
        let status = answer.context("silent").and_then(|answer| Ok(answer?.into_inner()));
        if let Ok(status) = status
            && status.role() == Role::Active
        {
            let (tenure, now) = (status.tenure, Instant::now());
            let mut terms = terms.lock().unwrap_or_else(PoisonError::into_inner);
            let term = terms.entry((replica, tenure)).or_insert(Term { tenure, replica, from: now, until: now });
            term.until = term.until.max(asked);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
