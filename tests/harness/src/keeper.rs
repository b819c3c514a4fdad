//! Keeps candidacies alive in the background, as a healthy worker does.

use crate::{Campaign, ElectionClient, PATIENCE};
use anyhow::ensure;
use leasehold_proto::v1::{KeepAliveItem, KeepAliveRequest, KeepAliveResult};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Keeps a set of candidacies alive until it is dropped. Failed calls are tried again.
#[derive(Debug)]
pub struct Keeper {
    kept: Arc<Mutex<Vec<Kept>>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Kept {
    ticket: Vec<u8>,
    /// Which state of the candidacy the ticket is of.
    version: u64,
    tenure: u64,
    latest: Option<KeepAliveResult>,
}

impl Keeper {
    /// Starts with the candidacies' tickets as they are now; they stand in the order given.
    #[must_use]
    pub fn start(client: &ElectionClient, campaigns: &[&Campaign], every: Duration) -> Self {
        let kept = campaigns
            .iter()
            .map(|campaign| Kept { ticket: campaign.ticket.clone(), version: 0, tenure: 0, latest: None })
            .collect();
        let kept = Arc::new(Mutex::new(kept));
        let task = tokio::spawn(run(client.clone(), Arc::clone(&kept), every));
        Self { kept, task }
    }

    /// The latest result of a candidacy.
    #[must_use]
    pub fn latest(&self, index: usize) -> Option<KeepAliveResult> {
        self.lock()[index].latest.clone()
    }

    /// The latest ticket of a candidacy.
    #[must_use]
    pub fn ticket(&self, index: usize) -> Vec<u8> {
        self.lock()[index].ticket.clone()
    }

    /// Waits until a KeepAlive of a candidacy was answered in a later tenure than `former`; the
    /// latest result.
    ///
    /// # Errors
    ///
    /// When that doesn't happen.
    pub async fn answered_after(&self, index: usize, former: u64) -> anyhow::Result<KeepAliveResult> {
        let since = Instant::now();
        loop {
            let Kept { tenure, latest, .. } = self.lock()[index].clone();
            match latest {
                Some(latest) if tenure > former => return Ok(latest),
                latest => ensure!(since.elapsed() < PATIENCE, "candidacy {index} isn't kept alive: {latest:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(mut client: ElectionClient, kept: Arc<Mutex<Vec<Kept>>>, every: Duration) {
    loop {
        let sent: Vec<Kept> = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let items =
            sent.iter().map(|one| KeepAliveItem { ticket: one.ticket.clone(), want_task_token: false }).collect();
        let call = client.keep_alive(KeepAliveRequest { items });
        if let Ok(Ok(answer)) = tokio::time::timeout(every * 2, call).await {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = answer.into_inner();
            for (one, result) in kept.iter_mut().zip(answer.results) {
                one.tenure = answer.tenure;
                if result.version >= one.version && !result.ticket.is_empty() {
                    one.version = result.version;
                    one.ticket.clone_from(&result.ticket);
                }
                one.latest = Some(result);
            }
        }
        tokio::time::sleep(every).await;
    }
}
