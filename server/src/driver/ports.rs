//! What the server's shell is connected to: store, observers, callers, log and metrics.

use crate::clock;
use crate::errors::Refusal;
use crate::handle::EventSender;
use crate::metrics::{Metrics, Watched};
use crate::observers::Observers;
use crate::right::SharedRight;
use crate::store::RecordStore;
use leasehold_core::{
    Active, Change, ChangeReason, Ended, Input, Millis, Outcome, Output, Over, Reject, Status, WriteId,
};
use leasehold_core::{StreamId, Tenure, TenureEnd, Time};
use leasehold_shell::{Answer, BoardNews, Fact, Gone, News, Phase, Ports, RightNews, StreamItem, Write};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// All that the loop tells.
#[derive(Debug)]
pub(crate) struct ServerPorts {
    pub(crate) store: RecordStore,
    pub(crate) observers: Arc<Observers>,
    pub(crate) right: Arc<SharedRight>,
    pub(crate) metrics: Arc<Metrics>,
    /// Elections with metrics of their own.
    pub(crate) watched: Watched,
    pub(crate) phase: watch::Sender<Phase>,
    /// Whom this replica forwards to.
    pub(crate) active: watch::Sender<Option<Active>>,
    /// For the log; 0 without one.
    pub(crate) tenure: Tenure,
    /// When the record was stored last.
    pub(crate) stored_at: Time,
}

impl ServerPorts {
    /// Lets what the store was told last be written.
    pub(super) async fn finish(self) {
        self.store.finish().await;
    }

    pub(super) fn count(&self, status: &Status, streams: usize, inbox: usize, mirrors: usize) {
        self.metrics.observers.set(i64::try_from(self.observers.count()).unwrap_or(i64::MAX));
        let age = if self.tenure == Tenure(0) { Millis(0) } else { clock::now().since(self.stored_at) };
        self.metrics.set_record_age(age);
        self.metrics.set_status(status, streams, inbox, mirrors);
    }

    fn changed(&self, change: &Change) {
        self.metrics.changed(change.reason);
        self.watched.changed(change);
        let Some(leader) = &change.leader else { return };
        let (election, candidate, token) = (&change.election, &leader.candidate, leader.token.0);
        let tenure = self.tenure.0;
        match change.reason {
            ChangeReason::Elected => tracing::info!(%election, %candidate, token, tenure, "elected"),
            ChangeReason::Restored => {
                tracing::info!(%election, %candidate, token, tenure, "leads on, put back from the former tenure")
            }
            ChangeReason::Draining => tracing::info!(%election, %candidate, token, tenure, "told to hand over"),
            ChangeReason::Proclaimed | ChangeReason::Held | ChangeReason::Ended(_) => {}
        }
    }

    fn ended(&self, ended: &Ended) {
        self.metrics.ended(ended);
        let Ended { election, candidate, enrolment, .. } = ended;
        let reason = ended.reason.name();
        let tenure = self.tenure.0;
        match ended.token {
            Some(token) => tracing::info!(%election, %candidate, token = token.0, tenure, reason, "leadership ended"),
            None => tracing::debug!(%election, %candidate, enrolment = enrolment.0, tenure, reason, "candidacy ended"),
        }
    }

    fn refused(&self, reject: &Reject) {
        self.metrics.refused(Refusal::from(reject.clone()).code_and_reason().1);
    }

    fn tenure_ended(&self, Tenure(tenure): Tenure, why: TenureEnd) {
        match (why, &self.store) {
            (TenureEnd::RightEnded, _) => {
                tracing::error!(tenure, "tenure ended: the store didn't confirm a renewal in time")
            }
            (TenureEnd::Lost, RecordStore::Lease(_)) => {
                tracing::warn!(tenure, "tenure ended: somebody else holds the Lease")
            }
            (TenureEnd::Lost, RecordStore::File(_)) => {
                tracing::error!(tenure, "tenure ended: the data directory is another's")
            }
            (TenureEnd::Behind, _) => tracing::warn!(
                tenure,
                "tenure ended: a ticket shows higher numbers than this tenure's, so the record was lost or restored; \
                 the next tenure begins above them"
            ),
            (TenureEnd::Shutdown, _) => tracing::info!(tenure, "tenure ended: shutting down"),
        }
    }
}

impl Ports<EventSender, oneshot::Sender<Answer>, mpsc::Sender<News>> for ServerPorts {
    fn told(&mut self, now: Time, input: &Input) {
        tracing::trace!(?input);
        if let Input::Written { outcome: Outcome::Stored(_), .. } = input {
            self.stored_at = now;
        }
    }

    fn said(&mut self, output: &Output) {
        tracing::trace!(?output);
        match output {
            Output::Changed(change) => self.changed(change),
            Output::Ended(ended) => self.ended(ended),
            Output::Reply { reply: Err(reject), .. } | Output::Close { why: Some(reject), .. } => self.refused(reject),
            _ => {}
        }
    }

    fn read(&mut self) {
        self.store.read();
    }

    fn write(&mut self, write: Write) {
        self.store.write(write);
    }

    fn write_unsigned(&mut self, write: WriteId, over: Over, _: Time) {
        self.store.write_unsigned(write, over);
    }

    fn answer(&mut self, call: oneshot::Sender<Answer>, answer: Answer) {
        // A caller that has stopped waiting needs no answer.
        let _ = call.send(answer);
    }

    fn is_gone(&self, stream: &EventSender) -> bool {
        stream.is_closed()
    }

    fn send(&mut self, (_, stream): (StreamId, &mut EventSender), item: StreamItem) -> Result<(), Gone> {
        // Gone, or too slow to be waited for. Whichever it is, the stream is over.
        stream.try_send(item).map_err(|_| Gone)
    }

    fn mirror(&mut self, mirror: &mpsc::Sender<News>, news: News) -> Result<(), Gone> {
        mirror.try_send(news).map_err(|_| Gone)
    }

    fn board(&mut self, news: &BoardNews<'_>) {
        if matches!(news, BoardNews::Settled) {
            tracing::info!(tenure = self.tenure.0, "settled: nobody else comes back from the former tenure");
        }
        self.observers.tell(news);
    }

    fn follow(&mut self, active: Option<Active>) {
        if let Some(Active { tenure, address }) = &active {
            tracing::info!(tenure = tenure.0, %address, "another replica is active; forwarding to it");
        }
        self.active.send_replace(active);
    }

    fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Began { tenure, settles_in } => {
                tracing::info!(tenure = tenure.0, settles_in_ms = settles_in.0, "tenure began");
                self.tenure = tenure;
            }
            Fact::Ended(tenure, why) => {
                self.metrics.tenure_ended(why);
                self.watched.forget();
                self.tenure_ended(tenure, why);
                self.tenure = Tenure(0);
            }
        }
        self.store.tell(fact);
    }

    fn right(&mut self, news: RightNews) {
        self.right.changed();
        match news {
            RightNews::Extended(_, left) => self.metrics.right_extended(left),
            RightNews::Lapsed(tenure) => tracing::error!(
                tenure = tenure.0,
                "the store hasn't confirmed a write in time: nothing is answered until it does; then this tenure goes on"
            ),
            RightNews::Back(tenure, lapsed) => {
                let (tenure, lapsed_ms) = (tenure.0, lapsed.0);
                tracing::warn!(tenure, lapsed_ms, "stood still, or its store did; goes on where it was");
            }
            RightNews::Ended => {}
        }
    }

    fn phase(&mut self, phase: &Phase) {
        self.phase.send_replace(phase.clone());
    }
}
