//! Up to a hundred candidacies that are enrolled together and kept alive with one call.

use anyhow::Result;
use leasehold_harness::ElectionClient;
use leasehold_proto::v1::{KeepAliveItem, KeepAliveRequest};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

use super::enrol::{Held, enrol};
use super::plan::Plan;
use super::streams::Streams;
use super::tally::Tally;

/// A batch, and what it needs.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) client: ElectionClient,
    pub(super) streams: Arc<Streams>,
}

impl Batch {
    /// Enrols the batch, says how many of it lead, and keeps it alive until the moment that `stops`
    /// names. Only what is sent when that moment is known counts as measured; a loss always counts.
    ///
    /// # Errors
    ///
    /// When a candidacy can't be enrolled.
    pub(super) async fn run(
        mut self,
        enrolled: mpsc::Sender<usize>,
        mut stops: watch::Receiver<Option<Instant>>,
    ) -> Result<Tally> {
        let mut held = self.enrol().await?;
        let leading = held.iter().filter(|one| one.fencing_token.is_some()).count();
        // A receiver that is gone has given up the run, and drops this task next.
        enrolled.send(leading).await.ok();
        drop(enrolled);

        let mut tally = Tally::new();
        let mut due = self.plan.due(self.number, Instant::now());
        loop {
            let until = *stops.borrow_and_update();
            if let Some(until) = until.filter(|&until| due >= until) {
                tokio::time::sleep_until(until.into()).await;
                tally.finish(&held, until);
                return Ok(tally);
            }
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {
                    self.keep_alive(&mut held, &mut tally, until.is_some().then_some(due)).await;
                    due += self.plan.interval();
                }
                Ok(()) = stops.changed() => {}
            }
        }
    }

    async fn enrol(&mut self) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for number in self.plan.members(self.number) {
            let (one, stream) = enrol(&mut self.client, &self.plan, number).await?;
            held.push(one);
            if self.plan.streams {
                self.streams.watch(stream);
            }
        }
        Ok(held)
    }

    /// Keeps all alive with one call, and drops those that are over. `measured_from` is when the
    /// call was due, if it is measured.
    async fn keep_alive(&mut self, held: &mut Vec<Held>, tally: &mut Tally, measured_from: Option<Instant>) {
        let want = self.plan.task_tokens;
        let items = held
            .iter()
            .map(|one| KeepAliveItem {
                ticket: one.ticket.clone(),
                want_task_token: want && one.fencing_token.is_some(),
            })
            .collect();
        let sent = Instant::now();
        // The next call is due then: a worker wouldn't wait longer for this one.
        let timeout = self.plan.interval();
        match tokio::time::timeout(timeout, self.client.keep_alive(KeepAliveRequest { items })).await {
            Ok(Ok(response)) => {
                let answered = Instant::now();
                if let Some(due) = measured_from {
                    tally.measure(sent - due, answered - sent);
                }
                tally.judge(held, response.into_inner().results, &self.plan, [sent, answered]);
            }
            Ok(Err(status)) => tally.call_failed(&status.to_string()),
            Err(_) => tally.call_failed(&format!("no answer within {timeout:?}")),
        }
    }
}
