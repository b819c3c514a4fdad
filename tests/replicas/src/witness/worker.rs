//! A worker that campaigns again and again, and notes from when until when it leads in its own
//! eyes.

use super::{Conduct, Leading, Notes};
use leasehold::{Client, Leadership};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// After an error that ended a campaign.
const PAUSE: Duration = Duration::from_millis(200);
/// Longer than any test.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) election: String,
    pub(super) name: String,
    pub(super) ttl: Duration,
    pub(super) conduct: Conduct,
    pub(super) notes: Notes,
    pub(super) stop: CancellationToken,
}

impl Worker {
    pub(super) async fn run(self) {
        while !self.stop.is_cancelled() {
            let campaign = self.client.campaign(&self.election).candidate(&self.name);
            let campaign = campaign.ttl(self.ttl).patience(PATIENCE);
            let leads = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                leads = campaign => leads,
            };
            match leads {
                Ok(leadership) => self.lead(leadership).await,
                Err(error) => {
                    self.notes.lock().errors.push(format!("{}: {error}", self.name));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Notes no more than it may believe: not earlier than it was told, not later than its own
    /// deadline.
    async fn lead(&self, leadership: Leadership) {
        let from = Instant::now();
        let index = {
            let mut seen = self.notes.lock();
            seen.leads.push(Leading {
                election: self.election.clone(),
                worker: self.name.clone(),
                token: leadership.fencing_token(),
                from,
                until: None,
                why: String::new(),
            });
            seen.leads.len() - 1
        };
        let over = async {
            match self.conduct {
                Conduct::Keeps => std::future::pending().await,
                Conduct::Passes(after) => tokio::time::sleep(after).await,
            }
        };
        let (until, why) = tokio::select! {
            lost = leadership.lost() => (Instant::now().min(leadership.deadline()), lost.to_string()),
            () = over => (Instant::now(), "it passed it on".to_owned()),
            () = self.stop.cancelled() => (Instant::now(), "the test is over".to_owned()),
        };
        {
            let mut seen = self.notes.lock();
            let lead = &mut seen.leads[index];
            (lead.until, lead.why) = (Some(until), why);
        }
        // Whoever can't tell the service runs out of time: that is no less a handover.
        if let Err(error) = leadership.resign().await {
            self.notes.lock().errors.push(format!("{} resigns: {error}", self.name));
        }
    }
}
