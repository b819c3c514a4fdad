//! The services on a loop without a clock or a task: whoever fuzzes them says when time passes, and a call is answered before it
//! returns. The right never ends by the machine's clock.

use crate::handle::{self, Answer, EventSender, Handle, Inbox, Message, StreamItem, StreamKind};
use crate::keys::Keys;
use crate::line::Line;
use crate::metrics::Metrics;
use crate::mirror::{Mirrors, Seals};
use crate::observers::Observers;
use crate::service::{Admin, Context, Elections};
use crate::task_token::{Signer, TaskTokens};
use crate::ticket::Sealer;
use futures::{Stream, StreamExt};
use leasehold_core::{
    CallId, ClockFloor, Config, Found, Input, Millis, Outcome, Output, Reject, Replica, StreamId, Tenure, TenureEnd,
    Time,
};
use leasehold_proto::v1;
use leasehold_proto::v1::admin_service_server::AdminService;
use leasehold_proto::v1::election_service_server::ElectionService;
use leasehold_proto::v1::replica_service_server::ReplicaService;
use std::collections::{HashMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tonic::Status;

/// What comes on a stream.
pub type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Deadlines in one step of time: a loop that needs more doesn't get on.
const MOST_DEADLINES: usize = 10_000;

/// What is costly to make, and the same for everybody.
struct Fixed {
    runtime: Runtime,
    task_tokens: Arc<TaskTokens>,
    sealer: Sealer,
    seals: Seals,
    metrics: Arc<Metrics>,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let keys = Keys::generate();
    Fixed {
        // For its timers; nothing ever runs on it.
        runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime of one thread"),
        task_tokens: Arc::new(TaskTokens::new(&keys, "leasehold".to_owned())),
        sealer: Sealer::new(&keys),
        seals: Seals::new(&keys),
        metrics: Arc::new(Metrics::new()),
    }
});

/// A server without sockets and a disk: its file holds whatever it was told that it holds.
#[derive(Debug)]
pub struct Service {
    context: Arc<Context>,
    handle: Handle,
    inbox: Inbox,
    replica: Replica,
    observers: Arc<Observers>,
    calls: HashMap<CallId, oneshot::Sender<Answer>>,
    streams: HashMap<StreamId, EventSender>,
    next_call: u64,
    now: Time,
    tenure: Tenure,
    found: Found,
    /// All that the core was told, the oldest first.
    pub heard: Vec<Input>,
}

impl Service {
    /// Starts over what was found.
    #[must_use]
    pub fn start(config: Config, found: Found) -> Self {
        let (handle, inbox) = handle::channel(16, false);
        let observers = Observers::new(Arc::clone(&handle.right), 16);
        let context = Arc::new(Context {
            handle: handle.clone(),
            observers: Arc::clone(&observers),
            sealer: FIXED.sealer.clone(),
            signer: Signer::inline(Arc::clone(&FIXED.task_tokens)),
            line: Line::new(1),
            metrics: Arc::clone(&FIXED.metrics),
            max_ttl: Duration::from_millis(config.max_ttl.0),
            replica: (String::new(), String::new()),
            active: watch::channel(None).1,
        });
        let mut this = Self {
            context,
            handle,
            inbox,
            replica: Replica::new(config),
            observers,
            calls: HashMap::new(),
            streams: HashMap::new(),
            next_call: 0,
            now: Time(1_000_000),
            tenure: Tenure(0),
            found,
            heard: Vec::new(),
        };
        this.handle(Input::Tick);
        this
    }

    /// `ElectionService`.
    #[must_use]
    pub fn elections(
        &self,
    ) -> impl ElectionService<CampaignStream = Events<v1::CampaignResponse>, ObserveStream = Events<v1::ObserveResponse>>
    + use<> {
        Elections(Arc::clone(&self.context))
    }

    /// `AdminService`.
    #[must_use]
    pub fn admin(&self) -> impl AdminService + use<> {
        Admin(Arc::clone(&self.context))
    }

    /// `ReplicaService`.
    #[must_use]
    pub fn mirrors(&self) -> impl ReplicaService + use<> {
        Mirrors::new(self.handle.clone(), FIXED.seals.clone())
    }

    /// Answers a call.
    ///
    /// # Panics
    /// If it waits for anything but the loop.
    pub fn answer<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        loop {
            if let Some(answer) = poll(call.as_mut()) {
                return answer;
            }
            assert!(self.turn(), "a call waits for something other than the loop");
        }
    }

    /// What comes on a stream right now; `None` if nothing does.
    pub fn next<T>(&mut self, stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<Option<T>> {
        self.turn();
        poll(pin!(stream.next()))
    }

    /// Lets time pass, from one deadline to the next.
    ///
    /// # Panics
    /// If the core asks to be woken at once for ever.
    pub fn pass(&mut self, time: Millis) {
        let until = self.now + time;
        for _ in 0..MOST_DEADLINES {
            let Some(at) = self.replica.next_deadline().filter(|at| *at < until) else {
                self.now = until;
                self.handle(Input::Tick);
                return;
            };
            self.now = self.now.max(at);
            self.handle(Input::Tick);
        }
        panic!("{MOST_DEADLINES} deadlines in {time}");
    }

    /// Handles what lies in the inbox. Whether anything did.
    fn turn(&mut self) -> bool {
        let mut any = false;
        while let Ok(stream) = self.inbox.closed.try_recv() {
            self.streams.remove(&stream);
            self.handle(Input::StreamClosed { stream });
            any = true;
        }
        while let Ok(message) = self.inbox.messages.try_recv() {
            self.receive(message);
            any = true;
        }
        any
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Campaign { stream, entry, events, .. } => {
                if !events.is_closed() {
                    self.streams.insert(stream, events);
                    self.handle(Input::Campaign { stream, entry: *entry });
                }
            }
            Message::Reopen { stream, ticket, events, .. } => {
                if !events.is_closed() {
                    self.streams.insert(stream, events);
                    self.handle(Input::Reopen { stream, ticket: *ticket });
                }
            }
            Message::Ask { ask, reply, .. } => {
                let call = CallId(self.next_call);
                self.next_call += 1;
                self.calls.insert(call, reply);
                self.handle(Input::Call { call, ask });
            }
            // A mirror that hears nothing: frames have a target of their own.
            Message::Mirror(_) => self.handle(Input::MirrorOpened),
            Message::Mirrored(input) => self.handle(*input),
            Message::Shutdown => self.handle(Input::Shutdown),
        }
    }

    fn handle(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.heard.push(input.clone());
            self.replica.handle(self.now, input);
            self.replica.check();
            while let Some(output) = self.replica.poll_output() {
                inputs.extend(self.act(output));
            }
        }
    }

    /// What the store says to it, if anything.
    fn act(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Read => return Some(Input::Found { found: self.found.clone(), clock_floor: ClockFloor(1) }),
            Output::Write { write, record, .. } => {
                self.found = Found::Record(*record);
                return Some(Input::Written { write, outcome: Outcome::Stored(None) });
            }
            Output::Reply { call, reply } => {
                if let Some(caller) = self.calls.remove(&call) {
                    let _ = caller.send(Answer { tenure: self.tenure, at: self.now, reply });
                }
            }
            Output::Event { stream, version, event } => self.send(stream, StreamKind::Event(version, event)),
            Output::Close { stream, why } => {
                self.send(stream, StreamKind::Close(why.map(Box::new)));
                self.streams.remove(&stream);
            }
            Output::Changed(change) => self.observers.publish(&mut vec![change]),
            Output::TenureBegan { tenure, began, settles_in, resumes_after } => {
                self.tenure = tenure;
                self.observers.begin(tenure, began + settles_in, resumes_after);
            }
            Output::RightUntil(_) => self.inbox.right.extend(Time(u64::MAX)),
            Output::Settled => self.observers.settle(),
            Output::TenureEnded { why, .. } => {
                let reject = if why == TenureEnd::Shutdown { Reject::ShuttingDown } else { Reject::NotActive };
                self.inbox.right.end();
                self.observers.end(&reject);
                self.streams.clear();
                self.tenure = Tenure(0);
            }
            Output::WriteUnsigned { .. }
            | Output::Follow(_)
            | Output::MirrorSnapshot(_)
            | Output::MirrorChanged(_)
            | Output::Stopped
            | Output::Ended(_) => {}
        }
        None
    }

    fn send(&mut self, stream: StreamId, kind: StreamKind) {
        if let Some(events) = self.streams.get_mut(&stream)
            && events.try_send(StreamItem { tenure: self.tenure, at: self.now, kind }).is_err()
        {
            self.streams.remove(&stream);
        }
    }
}

/// Asks a future once.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let _timers = FIXED.runtime.enter();
    match future.poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}
