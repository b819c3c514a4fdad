//! The loop: the only owner of the core. Takes all that lies in the inbox, handles it, then sends all outputs.

use crate::clock;
use crate::handle::{Answer, EventSender, Inbox, Message, StreamItem, StreamKind};
use crate::http::Beat;
use crate::metrics::{Metrics, Watched};
use crate::mirror::News;
use crate::observers::Observers;
use crate::right::LAPSE_PATIENCE;
use crate::store::{Fact, Store};
use leasehold_core::{
    Active, CallId, Change, ChangeReason, Config, Ended, Input, Millis, Outcome, Output, Reject, Replica, StreamId,
    Tenure, TenureEnd, Time,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// So many messages are handled before outputs are sent.
const BATCH: usize = 1024;
/// tokio's timers stand still while the machine is suspended: the loop looks at the clock at least this often.
const LONGEST_SLEEP: Millis = Millis(250);

/// What everybody may know of the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No tenure, for now.
    Standby {
        /// The Lease was read: this replica can forward, or take over. Never so with a file.
        heard: bool,
        /// It knows whom to forward to.
        follows: bool,
    },
    /// Active.
    Active {
        /// The tenure.
        tenure: Tenure,
        /// Whether it grants.
        settled: bool,
    },
    /// Shutting down, or over.
    Stopped,
}

/// The loop and all that it alone owns.
#[derive(Debug)]
pub(crate) struct Driver {
    replica: Replica,
    inbox: Inbox,
    store: Store,
    store_results: mpsc::Receiver<Input>,
    /// In the order in which they were opened: they end in it, so a simulation can be repeated.
    streams: BTreeMap<StreamId, EventSender>,
    calls: HashMap<CallId, oneshot::Sender<Answer>>,
    next_call: u64,
    /// Streams whose readers were found to be gone while outputs were sent.
    gone: Vec<StreamId>,
    changes: Vec<Arc<Change>>,
    observers: Arc<Observers>,
    metrics: Arc<Metrics>,
    watched: Watched,
    tenure: Tenure,
    /// Not later than the moment of any output that isn't sent yet.
    batch_began: Time,
    /// All outputs are sent.
    sent: bool,
    phase: watch::Sender<Phase>,
    stopped: bool,
    /// The Lease was read.
    heard: bool,
    /// The tenure has settled.
    settled: bool,
    /// Since when the right is seen to have lapsed, and whether that was said.
    lapse: Option<(Time, bool)>,
    /// When the record was stored last.
    stored_at: Time,
    beat: Arc<Beat>,
    /// Whom this replica forwards to.
    active: watch::Sender<Option<Active>>,
    /// Standbys that mirror this replica, and one that waits for its snapshot.
    mirrors: Vec<mpsc::Sender<News>>,
    opening: Option<mpsc::Sender<News>>,
}

/// What everybody may know of the loop while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) phases: watch::Receiver<Phase>,
    /// Whom this replica forwards to.
    pub(crate) active: watch::Receiver<Option<Active>>,
    /// When it went round last.
    pub(crate) beat: Arc<Beat>,
}

impl Driver {
    pub(crate) fn new(
        config: Config,
        inbox: Inbox,
        (store, store_results): (Store, mpsc::Receiver<Input>),
        observers: Arc<Observers>,
        (metrics, watched): (Arc<Metrics>, Watched),
    ) -> (Self, Known) {
        let (phase, phases) = watch::channel(Phase::Standby { heard: false, follows: false });
        let (active, actives) = watch::channel(None);
        let beat = Arc::new(Beat::default());
        let driver = Self {
            replica: Replica::new(config),
            inbox,
            store,
            store_results,
            streams: BTreeMap::new(),
            calls: HashMap::new(),
            next_call: 0,
            gone: Vec::new(),
            changes: Vec::new(),
            observers,
            metrics,
            watched,
            tenure: Tenure(0),
            batch_began: clock::now(),
            sent: true,
            phase,
            stopped: false,
            heard: false,
            settled: false,
            lapse: None,
            stored_at: Time(0),
            beat: Arc::clone(&beat),
            active,
            mirrors: Vec::new(),
            opening: None,
        };
        (driver, Known { phases, active: actives, beat })
    }

    /// Runs until the tenure of a shutdown is stored.
    pub(crate) async fn run(mut self) {
        let mut timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        let mut timer_at = Time(0);
        let mut messages = Vec::with_capacity(BATCH);
        let mut closed = Vec::with_capacity(BATCH);
        self.send_outputs();
        while !self.stopped {
            self.beat.mark();
            // A timer that fires too early does no harm, and setting one for each batch would cost more than all the rest of it.
            let (wake_at, left) = self.wake_in();
            if wake_at < timer_at || timer_at <= clock::now() {
                timer.as_mut().set(tokio::time::sleep(left));
                timer_at = wake_at;
            }
            let holds_calls = self.watch_the_right();
            tokio::select! {
                biased;
                Some(result) = self.store_results.recv() => {
                    self.hear(&result);
                    self.handle(result);
                }
                _ = self.inbox.closed.recv_many(&mut closed, BATCH) => {
                    for stream in closed.drain(..) {
                        self.streams.remove(&stream);
                        self.handle(Input::StreamClosed { stream });
                    }
                }
                _ = self.inbox.messages.recv_many(&mut messages, BATCH), if !holds_calls => {
                    for message in messages.drain(..) {
                        self.receive(message);
                    }
                }
                () = &mut timer => {
                    timer_at = Time(0);
                    self.handle(Input::Tick);
                }
            }
            self.send_outputs();
            self.count();
        }
        self.phase.send_replace(Phase::Stopped);
        self.store.finish().await;
    }

    /// When the loop has to wake up by itself, and how long that is from now.
    fn wake_in(&self) -> (Time, Duration) {
        let now = clock::now();
        let left = self.replica.next_deadline().map_or(LONGEST_SLEEP, |at| at.since(now)).min(LONGEST_SLEEP);
        (now + left, Duration::from_millis(left.0))
    }

    /// The clock is read for each input, after it was taken from the inbox: the core checks its right against this moment.
    fn handle(&mut self, input: Input) {
        tracing::trace!(?input);
        let now = clock::now();
        if self.sent {
            (self.batch_began, self.sent) = (now, false);
        }
        self.replica.handle(now, input);
    }

    fn handle_for(&mut self, meant_for: Option<Tenure>, input: Input) {
        match meant_for {
            Some(tenure) => self.handle(Input::Forwarded { tenure, input: Box::new(input) }),
            None => self.handle(input),
        }
    }

    /// Whether calls wait in the inbox: the right has just lapsed, and may be back in a moment. A
    /// server that stood still, or whose machine did, finds it so when it goes on, and its first
    /// write brings it back.
    fn watch_the_right(&mut self) -> bool {
        if !self.inbox.right.has_lapsed() {
            return false;
        }
        let now = clock::now();
        let (since, said) = self.lapse.unwrap_or((now, false));
        let holds = now.since(since) < Millis(u64::try_from(LAPSE_PATIENCE.as_millis()).unwrap_or(u64::MAX));
        if !holds && !said {
            tracing::error!(
                tenure = self.tenure.0,
                "the store hasn't confirmed a write in time: nothing is answered until it does; then this tenure goes on"
            );
            self.phase.send_replace(Phase::Standby { heard: self.heard, follows: false });
        }
        self.lapse = Some((since, said || !holds));
        holds
    }

    /// The right is extended. If it had lapsed, everything goes on where it was.
    fn extended(&mut self, until: Time) {
        let (before, now) = (self.inbox.right.until(), clock::now());
        self.inbox.right.extend(until);
        self.metrics.right_extended(until.since(now));
        if let Some((_, said)) = self.lapse.take_if(|_| now < until) {
            let lapsed_ms = now.since(before).0;
            tracing::warn!(tenure = self.tenure.0, lapsed_ms, "stood still, or its store did; goes on where it was");
            if said {
                self.phase.send_replace(Phase::Active { tenure: self.tenure, settled: self.settled });
            }
        }
    }

    /// A Lease that can be read is enough to serve: as active, or as a standby.
    fn hear(&mut self, result: &Input) {
        if let Input::Written { outcome: Outcome::Stored(_), .. } = result {
            self.stored_at = clock::now();
        }
        let heard = matches!(result, Input::Watched { .. } | Input::FoundLease { .. });
        if heard && !self.heard {
            self.heard = true;
            self.stand_by();
        }
    }

    /// Says what this replica is while it has no tenure.
    fn stand_by(&self) {
        let (heard, follows) = (self.heard, self.active.borrow().is_some());
        self.phase.send_if_modified(|phase| {
            let next = Phase::Standby { heard, follows };
            let changed = matches!(phase, Phase::Standby { .. }) && *phase != next;
            if changed {
                *phase = next;
            }
            changed
        });
    }

    fn tell_mirrors(&mut self, news: &News) {
        let before = self.mirrors.len();
        // One that is too slow begins anew.
        self.mirrors.retain(|mirror| mirror.try_send(news.clone()).is_ok());
        for _ in self.mirrors.len()..before {
            self.handle(Input::MirrorClosed);
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Campaign { stream, entry, events, meant_for } => {
                if !events.is_closed() {
                    self.streams.insert(stream, events);
                    self.handle_for(meant_for, Input::Campaign { stream, entry: *entry });
                }
            }
            Message::Reopen { stream, ticket, events, meant_for } => {
                if !events.is_closed() {
                    self.streams.insert(stream, events);
                    self.handle_for(meant_for, Input::Reopen { stream, ticket: *ticket });
                }
            }
            Message::Ask { ask, reply, meant_for } => {
                let call = CallId(self.next_call);
                self.next_call += 1;
                self.calls.insert(call, reply);
                self.handle_for(meant_for, Input::Call { call, ask });
            }
            Message::Mirror(news) => {
                // One at a time: its snapshot is the next thing that the core says of mirrors.
                self.opening = Some(news);
                self.handle(Input::MirrorOpened);
                self.send_outputs();
                self.opening = None;
            }
            Message::Mirrored(input) => self.handle(*input),
            Message::Shutdown => self.handle(Input::Shutdown),
        }
    }

    fn send_outputs(&mut self) {
        loop {
            while let Some(output) = self.replica.poll_output() {
                tracing::trace!(?output);
                // Observers and readers of the board see a change before anybody is told of its cause.
                if let Output::Changed(change) = output {
                    self.changed(&change);
                    self.changes.push(change);
                } else {
                    self.publish();
                    self.act(output);
                }
            }
            self.publish();
            let gone = std::mem::take(&mut self.gone);
            if gone.is_empty() {
                self.sent = true;
                return;
            }
            for stream in gone {
                self.handle(Input::StreamClosed { stream });
            }
        }
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

    fn publish(&mut self) {
        if !self.changes.is_empty() {
            self.observers.publish(&mut self.changes);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Changed(_) => {}
            Output::Read => self.store.read(),
            Output::Write { write, over, record } => self.store.write(write, over, record, self.batch_began),
            Output::WriteUnsigned { write, over } => self.store.write_unsigned(write, over),
            Output::Follow(active) => {
                if let Some(Active { tenure, address }) = &active {
                    tracing::info!(tenure = tenure.0, %address, "another replica is active; forwarding to it");
                }
                self.active.send_replace(active);
                self.stand_by();
            }
            Output::MirrorSnapshot(batch) => {
                if let Some(mirror) = self.opening.take() {
                    // It has just been opened: there is room.
                    let _ = mirror.try_send(News::Snapshot(Arc::from(batch)));
                    self.mirrors.push(mirror);
                }
            }
            Output::MirrorChanged(batch) => self.tell_mirrors(&News::Changed(batch)),
            Output::Reply { call, reply } => {
                if let Err(reject) = &reply {
                    self.refused(reject);
                }
                if let Some(caller) = self.calls.remove(&call) {
                    let _ = caller.send(Answer { tenure: self.tenure, at: self.batch_began, reply });
                }
            }
            Output::Event { stream, version, event } => {
                self.send(stream, StreamKind::Event(version, event));
            }
            Output::Ended(ended) => self.ended(&ended),
            Output::Close { stream, why } => {
                if let Some(reject) = &why {
                    self.refused(reject);
                }
                self.send(stream, StreamKind::Close(why.map(Box::new)));
                self.streams.remove(&stream);
            }
            Output::TenureBegan { tenure, began, settles_in, resumes_after } => {
                tracing::info!(tenure = tenure.0, settles_in_ms = settles_in.0, "tenure began");
                self.tenure = tenure;
                self.store.tell(Fact::Began(tenure));
                self.observers.begin(tenure, began + settles_in, resumes_after);
                (self.settled, self.lapse) = (false, None);
                self.phase.send_replace(Phase::Active { tenure, settled: false });
            }
            Output::RightUntil(until) => self.extended(until),
            Output::Settled => {
                tracing::info!(tenure = self.tenure.0, "settled: nobody else comes back from the former tenure");
                self.observers.settle();
                self.settled = true;
                self.phase.send_replace(Phase::Active { tenure: self.tenure, settled: true });
            }
            Output::TenureEnded { tenure, why } => self.tenure_ended(tenure, why),
            Output::Stopped => self.stopped = true,
        }
    }

    fn tenure_ended(&mut self, tenure: Tenure, why: TenureEnd) {
        let reject = if why == TenureEnd::Shutdown { Reject::ShuttingDown } else { Reject::NotActive };
        // The right before all else.
        self.observers.end(&reject);
        self.lapse = None;
        self.metrics.tenure_ended(why);
        self.watched.forget();
        self.store.tell(Fact::Ended(tenure, why));
        self.mirrors.clear();
        let standby = Phase::Standby { heard: self.heard, follows: false };
        let phase = match why {
            TenureEnd::RightEnded => {
                tracing::error!(tenure = tenure.0, "tenure ended: the store didn't confirm a renewal in time");
                standby
            }
            TenureEnd::Lost => {
                match &self.store {
                    Store::Lease(_) => tracing::warn!(tenure = tenure.0, "tenure ended: somebody else holds the Lease"),
                    Store::File(_) => {
                        tracing::error!(tenure = tenure.0, "tenure ended: the data directory is another's")
                    }
                }
                standby
            }
            TenureEnd::Behind => {
                tracing::warn!(
                    tenure = tenure.0,
                    "tenure ended: a ticket shows higher numbers than this tenure's, so the record was lost or restored; \
                     the next tenure begins above them"
                );
                standby
            }
            TenureEnd::Shutdown => {
                tracing::info!(tenure = tenure.0, "tenure ended: shutting down");
                Phase::Stopped
            }
        };
        self.phase.send_replace(phase);
        for (_, mut events) in std::mem::take(&mut self.streams) {
            let kind = StreamKind::Close(Some(Box::new(reject.clone())));
            let _ = events.try_send(StreamItem { tenure, at: self.batch_began, kind });
        }
        self.tenure = Tenure(0);
    }

    fn send(&mut self, stream: StreamId, kind: StreamKind) {
        let Some(events) = self.streams.get_mut(&stream) else { return };
        if events.try_send(StreamItem { tenure: self.tenure, at: self.batch_began, kind }).is_err() {
            // Gone, or too slow to be waited for. Whichever it is, the stream is over.
            self.streams.remove(&stream);
            self.gone.push(stream);
        }
    }

    fn refused(&self, reject: &Reject) {
        self.metrics.refused(crate::errors::Refusal::from(reject.clone()).code_and_reason().1);
    }

    fn count(&mut self) {
        let status = self.replica.status();
        self.metrics.observers.set(i64::try_from(self.observers.count()).unwrap_or(i64::MAX));
        let age = if self.tenure == Tenure(0) { Millis(0) } else { clock::now().since(self.stored_at) };
        self.metrics.set_record_age(age);
        self.metrics.set_status(&status, self.streams.len(), self.inbox.messages.len(), self.mirrors.len());
    }
}
