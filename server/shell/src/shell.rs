//! The owner of the core: what comes in becomes inputs, and what the core says is done.

use crate::standing::Standing;
use crate::{Answer, BoardNews, Fact, Message, News, Opening, Phase, Ports, Right, RightNews, StreamItem, Word, Write};
use leasehold_core::{
    CallId, Change, Config, Input, Output, Reject, Replica, Reply, Status, StreamId, Tenure, TenureEnd, Time,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A replica, and all that belongs to it alone. The types are those of [`Ports`].
#[derive(Debug)]
pub struct Shell<S, C, M> {
    replica: Replica,
    right: Arc<Right>,
    /// The right of a tenure whose number the core tells next.
    first_right: Option<Time>,
    standing: Standing,
    /// What everybody was told last.
    phase: Phase,
    /// In the order in which they were opened: they end in it, so a simulation can be repeated.
    streams: BTreeMap<StreamId, S>,
    /// Streams whose readers were found to be gone while outputs were sent.
    gone: Vec<StreamId>,
    calls: Calls<C>,
    mirrors: Vec<M>,
    /// A mirror that waits for its snapshot.
    opening: Option<M>,
    /// Changes that the board hasn't seen.
    changes: Vec<Arc<Change>>,
    batch: Batch,
}

/// Calls without an answer, in the order of their numbers. The core answers each one at once, so
/// this is as short as a batch.
#[derive(Debug)]
struct Calls<C> {
    waiting: VecDeque<(CallId, C)>,
    next: u64,
}

/// The inputs since outputs were sent last.
#[derive(Debug)]
struct Batch {
    /// Not later than the moment of any output that isn't sent yet.
    began: Time,
    /// All outputs are sent.
    sent: bool,
}

impl<C> Calls<C> {
    fn enter(&mut self, call: C) -> CallId {
        let id = CallId(self.next);
        self.next += 1;
        self.waiting.push_back((id, call));
        id
    }

    fn take(&mut self, id: CallId) -> Option<C> {
        let at = self.waiting.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.waiting.remove(at).map(|(_, call)| call)
    }
}

impl<S, C, M> Shell<S, C, M> {
    /// A replica that begins by reading the record, and its right. `config` must be
    /// [valid](Config::validate).
    #[must_use]
    pub fn new(config: Config, right: Arc<Right>, now: Time) -> Self {
        let standing = Standing::default();
        Self {
            replica: Replica::new(config),
            right,
            first_right: None,
            phase: standing.phase(),
            standing,
            streams: BTreeMap::new(),
            gone: Vec::new(),
            calls: Calls { waiting: VecDeque::new(), next: 0 },
            mirrors: Vec::new(),
            opening: None,
            changes: Vec::new(),
            batch: Batch { began: now, sent: true },
        }
    }

    /// Something that a caller or another replica asks. `now` is to be read after the message was
    /// taken from wherever it waited: the core checks its right against this moment.
    pub fn receive(&mut self, now: Time, message: Message<S, C, M>, ports: &mut impl Ports<S, C, M>) {
        match message {
            Message::Open { stream, opening, items, meant_for } => {
                if ports.is_gone(&items) {
                    return;
                }
                self.streams.insert(stream, items);
                let input = match opening {
                    Opening::Enter(entry) => Input::Campaign { stream, entry: *entry },
                    Opening::Reopen(ticket) => Input::Reopen { stream, ticket: *ticket },
                };
                self.handle_for(now, meant_for, input, ports);
            }
            Message::Ask { ask, call, meant_for } => {
                let call = self.calls.enter(call);
                self.handle_for(now, meant_for, Input::Call { call, ask }, ports);
            }
            Message::Mirror(mirror) => {
                // One mirror at a time: its snapshot is the next thing that the core says of
                // mirrors. A replica without a tenure has none, and the mirror is dropped.
                self.opening = Some(mirror);
                self.handle(now, Input::MirrorOpened, ports);
                self.send_outputs(now, ports);
                self.opening = None;
            }
            Message::Mirrored(input) => self.handle(now, *input, ports),
            Message::Shutdown => self.handle(now, Input::Shutdown, ports),
        }
    }

    /// Something that the store, a watch or the clock says. Outputs wait for
    /// [`send_outputs`](Self::send_outputs).
    pub fn handle(&mut self, now: Time, input: Input, ports: &mut impl Ports<S, C, M>) {
        if self.batch.sent {
            self.batch = Batch { began: now, sent: false };
        }
        ports.told(now, &input);
        // A Lease that can be read is enough to serve: as active, or as a standby.
        if matches!(input, Input::Watched { .. } | Input::FoundLease { .. }) {
            self.standing.heard = true;
            self.tell_phase(ports);
        }
        self.replica.handle(now, input);
    }

    /// The reader of a Campaign stream is gone.
    pub fn close_stream(&mut self, now: Time, stream: StreamId, ports: &mut impl Ports<S, C, M>) {
        self.streams.remove(&stream);
        self.handle(now, Input::StreamClosed { stream }, ports);
    }

    /// A mirror is gone, as was noticed otherwise than by telling it something.
    pub fn close_mirror(&mut self, now: Time, which: impl Fn(&M) -> bool, ports: &mut impl Ports<S, C, M>) {
        if let Some(at) = self.mirrors.iter().position(which) {
            self.mirrors.remove(at);
            self.handle(now, Input::MirrorClosed, ports);
        }
    }

    /// Does what the core has said.
    pub fn send_outputs(&mut self, now: Time, ports: &mut impl Ports<S, C, M>) {
        loop {
            while let Some(output) = self.replica.poll_output() {
                // Observers and readers of the board see a change before anybody is told of its
                // cause.
                if !matches!(output, Output::Changed(_)) {
                    self.publish(ports);
                }
                ports.said(&output);
                self.act(now, output, ports);
            }
            self.publish(ports);
            if self.gone.is_empty() {
                self.batch.sent = true;
                debug_assert!(self.calls.waiting.is_empty(), "each call is answered at once");
                let (shells, cores) = (self.standing.tenure, self.replica.tenure().unwrap_or_default());
                debug_assert!(shells == cores, "the shell is in {shells}, the core in {cores}");
                return;
            }
            for stream in std::mem::take(&mut self.gone) {
                self.handle(now, Input::StreamClosed { stream }, ports);
            }
        }
    }

    /// Whether calls are to wait where they are: the right has just lapsed, and may be back in a
    /// moment. A server that stood still, or whose machine did, finds it so when it goes on, and
    /// its first write brings it back.
    pub fn holds_calls(&mut self, now: Time, ports: &mut impl Ports<S, C, M>) -> bool {
        let looked = self.standing.look(&self.right, now);
        if looked.must_be_said {
            ports.right(RightNews::Lapsed(self.standing.tenure));
            self.tell_phase(ports);
        }
        looked.holds_calls
    }

    /// When to look again at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.replica.next_deadline()
    }

    /// The tenure, while the replica is active.
    #[must_use]
    pub fn tenure(&self) -> Option<Tenure> {
        self.replica.tenure()
    }

    /// Whether the process may exit.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.standing.stopped
    }

    /// What the replica is and holds.
    #[must_use]
    pub fn status(&mut self) -> Status {
        self.replica.status()
    }

    /// How many Campaign streams are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How many standbys mirror this replica.
    #[must_use]
    pub fn mirrors(&self) -> usize {
        self.mirrors.len()
    }

    /// Panics if an invariant is broken. For tests and simulations: it looks at everything.
    ///
    /// # Panics
    /// When state that must agree doesn't.
    pub fn check(&self) {
        self.replica.check();
    }

    fn handle_for(&mut self, now: Time, tenure: Option<Tenure>, input: Input, ports: &mut impl Ports<S, C, M>) {
        let input = match tenure {
            Some(tenure) => Input::Forwarded { tenure, input: Box::new(input) },
            None => input,
        };
        self.handle(now, input, ports);
    }

    fn publish(&mut self, ports: &mut impl Ports<S, C, M>) {
        if !self.changes.is_empty() {
            ports.board(&BoardNews::Changed(&self.changes));
            self.changes.clear();
        }
    }

    fn act(&mut self, now: Time, output: Output, ports: &mut impl Ports<S, C, M>) {
        match output {
            Output::Ended(_) => {}
            Output::Changed(change) => self.changes.push(change),
            Output::Read => ports.read(),
            Output::Write { write, over, record } => {
                ports.write(Write { write, over, record, sent: self.batch.began });
            }
            Output::WriteUnsigned { write, over } => ports.write_unsigned(write, over, self.batch.began),
            Output::Follow(active) => {
                self.standing.follows = active.is_some();
                ports.follow(active);
                self.tell_phase(ports);
            }
            Output::MirrorSnapshot(batch) => {
                debug_assert!(self.opening.is_some(), "a snapshot is for a mirror that is being opened");
                if let Some(mirror) = self.opening.take() {
                    // A mirror that is gone already is noticed with the first change.
                    let _ = ports.mirror(&mirror, News::Snapshot(Arc::from(batch)));
                    self.mirrors.push(mirror);
                }
            }
            Output::MirrorChanged(batch) => self.tell_mirrors(now, &News::Changed(batch), ports),
            Output::Reply { call, reply } => self.answer(call, reply, ports),
            Output::Event { stream, version, event } => {
                let item = StreamItem::Event(self.word((version, event)));
                self.send(stream, item, ports);
            }
            Output::Close { stream, why } => {
                self.send(stream, StreamItem::Close(why.map(Box::new)), ports);
                self.streams.remove(&stream);
            }
            Output::TenureBegan { tenure, began, settles_in, resumes_after } => {
                self.standing.began(tenure);
                let first_right = self.first_right.take();
                debug_assert!(first_right.is_some(), "no tenure begins without a right");
                if let Some(until) = first_right {
                    self.extended(now, until, ports);
                }
                ports.fact(Fact::Began { tenure, settles_in });
                ports.board(&BoardNews::Began { tenure, settles_at: began + settles_in, resumes_after });
                self.tell_phase(ports);
            }
            // The right of a tenure that is about to begin: `TenureBegan` comes next.
            Output::RightUntil(until) if self.standing.tenure == Tenure(0) => self.first_right = Some(until),
            Output::RightUntil(until) => self.extended(now, until, ports),
            Output::Settled => {
                self.standing.settled = true;
                ports.board(&BoardNews::Settled);
                self.tell_phase(ports);
            }
            Output::TenureEnded { tenure, why } => self.tenure_ended(tenure, why, ports),
            Output::Stopped => {
                self.standing.stopped = true;
                self.tell_phase(ports);
            }
        }
    }

    fn word<T>(&self, what: T) -> Word<T> {
        Word::new(self.standing.tenure, self.batch.began, what)
    }

    fn answer(&mut self, call: CallId, reply: Result<Reply, Reject>, ports: &mut impl Ports<S, C, M>) {
        let caller = self.calls.take(call);
        debug_assert!(caller.is_some(), "each call is answered once");
        if let Some(caller) = caller {
            let answer: Answer = self.word(reply);
            ports.answer(caller, answer);
        }
    }

    fn send(&mut self, stream: StreamId, item: StreamItem, ports: &mut impl Ports<S, C, M>) {
        // The core may not know yet that the reader is gone.
        let Some(items) = self.streams.get_mut(&stream) else { return };
        if ports.send((stream, items), item).is_err() {
            self.streams.remove(&stream);
            self.gone.push(stream);
        }
    }

    fn tell_mirrors(&mut self, now: Time, news: &News, ports: &mut impl Ports<S, C, M>) {
        let before = self.mirrors.len();
        self.mirrors.retain(|mirror| ports.mirror(mirror, news.clone()).is_ok());
        for _ in self.mirrors.len()..before {
            self.handle(now, Input::MirrorClosed, ports);
        }
    }

    /// The right is extended. If it had lapsed, everything goes on where it was.
    fn extended(&mut self, now: Time, until: Time, ports: &mut impl Ports<S, C, M>) {
        let before = self.right.until();
        let tenure = self.standing.tenure;
        self.right.extend(tenure, until);
        ports.right(RightNews::Extended(tenure, until.since(now)));
        if self.standing.extended(until, now) {
            ports.right(RightNews::Back(tenure, now.since(before)));
            self.tell_phase(ports);
        }
    }

    fn tenure_ended(&mut self, tenure: Tenure, why: TenureEnd, ports: &mut impl Ports<S, C, M>) {
        let stopping = why == TenureEnd::Shutdown;
        let reject = if stopping { Reject::ShuttingDown } else { Reject::NotActive };
        // The right before all else. Whoever has a board ends it there.
        ports.board(&BoardNews::Ended { why: &reject, right: &self.right });
        self.right.end();
        ports.right(RightNews::Ended);
        self.standing.ended(stopping);
        self.mirrors.clear();
        ports.fact(Fact::Ended(tenure, why));
        self.tell_phase(ports);
        for (stream, mut items) in std::mem::take(&mut self.streams) {
            // A reader that is gone needs no word.
            let _ = ports.send((stream, &mut items), StreamItem::Close(Some(Box::new(reject.clone()))));
        }
    }

    fn tell_phase(&mut self, ports: &mut impl Ports<S, C, M>) {
        let phase = self.standing.phase();
        if self.phase != phase {
            ports.phase(&phase);
            self.phase = phase;
        }
    }
}

impl<M> Shell<(), CallId, M> {
    /// Lets the core hear this input in the way in which a server's shell would. For simulations,
    /// which make inputs up.
    pub fn tell(&mut self, now: Time, input: Input, ports: &mut impl Ports<(), CallId, M>) {
        let (meant_for, input) = match input {
            Input::Forwarded { tenure, input } => (Some(tenure), *input),
            input => (None, input),
        };
        let open = |stream, opening| Message::Open { stream, opening, items: (), meant_for };
        let message = match input {
            Input::Campaign { stream, entry } => open(stream, Opening::Enter(Box::new(entry))),
            Input::Reopen { stream, ticket } => open(stream, Opening::Reopen(Box::new(ticket))),
            Input::Call { call, ask } => Message::Ask { ask, call, meant_for },
            Input::MirrorSnapshot(_) | Input::MirrorChanged(_) => Message::Mirrored(Box::new(input)),
            Input::Shutdown => Message::Shutdown,
            Input::StreamClosed { stream } => return self.close_stream(now, stream, ports),
            input => return self.handle(now, input, ports),
        };
        self.receive(now, message, ports);
    }
}
