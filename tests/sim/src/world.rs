//! The world: its events in the order of time, and the loop that handles them.

use crate::Report;
use crate::api::{Api, Request};
use crate::checks::{Checks, Violation};
use crate::network::Network;
use crate::observers::Observer;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::server::{Parcel, Proc, Server};
use crate::store::Store;
use crate::truth::Fact;
use crate::worker::{Message, Worker};
use leasehold_core::{Lease, Millis, Ticket, Time};
use std::collections::{BTreeMap, VecDeque};

/// So many of the last events a failure shows.
const TRACE: usize = 300;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A process of this replica starts, unless one runs.
    Start {
        at: usize,
    },
    Shutdown(Proc),
    /// SIGTERM arrives.
    Stop(Proc),
    /// The supervisor loses patience with a process that should have stopped.
    Kill(Proc),
    /// The process goes on.
    Resume(Proc),
    /// The replica wanted to look.
    Wake(Proc),
    /// The file's job under way is done.
    StoreDone {
        serial: u64,
    },
    /// A request reaches the API server.
    ApiTakes(Box<Request>),
    /// Somebody deletes the Lease once more.
    DeletedAgain,
    WatchBreaks(Proc),
    WatchOpens(Proc),
    WatchTells {
        proc: Proc,
        stream: u64,
        lease: Option<Box<Lease>>,
    },
    /// Something reaches a replica's machine.
    Arrive {
        at: usize,
        parcel: Parcel,
    },
    /// Something reaches a worker.
    Deliver {
        worker: usize,
        life: u64,
        message: Message,
    },
    /// Somebody waits until no replica runs.
    AllStopped,
    /// A worker looks at its candidacy.
    Look {
        worker: usize,
        life: u64,
    },
    WorkerStarts {
        worker: usize,
    },
    WorkerResumes {
        worker: usize,
        life: u64,
    },
    ObserverReads {
        observer: usize,
    },
    Fault,
    /// Old tickets are sent again.
    Replay,
    FaultsEnd,
    /// Workers must be back after a restore.
    BackDue,
    ProgressDue,
    TheEnd,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    pub(crate) now: Time,
    pub(crate) servers: Vec<Server>,
    /// The file.
    pub(crate) store: Store,
    pub(crate) api: Api,
    /// What wall clocks say, in milliseconds; those of replicas with a Lease go on from there, each
    /// so much ahead.
    pub(crate) wall_clock_ms: u64,
    pub(crate) wall_ahead_ms: Vec<u64>,
    pub(crate) network: Network,
    pub(crate) workers: Vec<Worker>,
    pub(crate) observers: Vec<Observer>,
    pub(crate) checks: Checks,
    /// All tickets that were ever given.
    pub(crate) tickets: Vec<Ticket>,
    /// Faults have ended.
    pub(crate) calm: bool,
    /// Somebody follows the runbook for a restored cluster: no replica starts.
    pub(crate) runbook: bool,
    /// Boxed: the map moves what is in it.
    queue: BTreeMap<(Time, u64), Box<Event>>,
    last_id: u64,
    events: u64,
    reached: BTreeMap<&'static str, u64>,
    trace: Option<VecDeque<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let plan = Plan::new(&mut Rng::new(seed));
        Self::with_plan(seed, plan, trace)
    }

    pub(crate) fn with_plan(seed: u64, plan: Plan, trace: bool) -> Self {
        // What happens in the world is drawn from another line than what it is like.
        let mut rng = Rng::new(seed ^ 0x5bd1_e995_9d1b_873f);
        let workers = plan.candidates.iter().cloned().map(Worker::new).collect();
        let observers = (0..plan.observers).map(|n| Observer::new(n, &plan)).collect();
        let count = plan.replicas.max(1);
        let apart = if plan.wild_clocks { 3_600_000 } else { 0 };
        Self {
            servers: (0..count).map(|_| Server::default()).collect(),
            store: Store::new(),
            api: Api::default(),
            wall_clock_ms: 0,
            wall_ahead_ms: (0..count).map(|_| rng.between(0, apart)).collect(),
            network: Network::default(),
            workers,
            observers,
            checks: Checks::new(count, plan.replicas > 0),
            tickets: Vec::new(),
            calm: false,
            runbook: false,
            queue: BTreeMap::new(),
            last_id: 0,
            events: 0,
            reached: BTreeMap::new(),
            trace: trace.then(VecDeque::new),
            now: Time(0),
            rng,
            plan,
        }
    }

    pub(crate) fn now(&self) -> Millis {
        Millis(self.now.0)
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn into_report(self) -> Report {
        let reached = self.reached.into_iter().map(|(what, count)| (what.to_owned(), count)).collect();
        Report { events: self.events, reached }
    }

    pub(crate) fn into_trace(self) -> Vec<String> {
        self.trace.unwrap_or_default().into()
    }

    /// A fault was made, or a state reached.
    pub(crate) fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push_back(format!("{:>9} {}", Millis(self.now.0).0, line()));
            if trace.len() > TRACE {
                trace.pop_front();
            }
        }
    }

    /// Something is so, of this replica or seen from it.
    pub(crate) fn note(&mut self, at: usize, fact: &Fact<'_>) -> Result<(), Violation> {
        self.checks.note(self.now, at, fact)
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn after(&mut self, delay: Millis, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        let id = self.new_id();
        self.queue.insert((at.max(self.now), id), Box::new(event));
    }

    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        self.begin();
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.events += 1;
            if !matches!(*event, Event::Wake(_) | Event::Look { .. } | Event::ObserverReads { .. }) {
                self.trace(|| format!("{event:?}"));
            }
            if matches!(*event, Event::TheEnd) {
                return self.the_end();
            }
            self.handle(*event)?;
        }
        Ok(())
    }

    fn begin(&mut self) {
        for at in 0..self.servers.len() {
            let delay = if at == 0 { Millis(0) } else { self.rng.millis(0, 5000) };
            self.after(delay, Event::Start { at });
        }
        for worker in 0..self.workers.len() {
            let delay = self.rng.millis(0, 5000);
            self.after(delay, Event::WorkerStarts { worker });
            self.workers[worker].home = self.rng.index(self.servers.len());
        }
        for observer in 0..self.observers.len() {
            self.after(Millis(10), Event::ObserverReads { observer });
        }
        if !self.plan.faults.is_empty() {
            self.after(self.plan.fault_every, Event::Fault);
        }
        self.after(self.plan.safety, Event::FaultsEnd);
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Start { at } => self.start_process(at),
            Event::Shutdown(proc) => self.shut_down(proc),
            Event::Stop(proc) if self.is_alive(proc) => self.stop(proc),
            Event::Kill(proc) if self.is_alive(proc) && !self.may_die(proc.at) => {
                self.after(Millis(500), Event::Kill(proc));
                Ok(())
            }
            Event::Kill(proc) if self.is_alive(proc) => self.kill(proc.at),
            Event::Resume(proc) if self.is_alive(proc) => self.resume_process(proc.at),
            Event::Wake(proc) if self.is_alive(proc) => self.wake(proc.at),
            Event::Kill(_) | Event::Stop(_) | Event::Resume(_) | Event::Wake(_) => Ok(()),
            Event::StoreDone { serial } => self.store_done(serial),
            Event::ApiTakes(request) => self.api_takes(*request),
            Event::DeletedAgain => self.delete_again(),
            Event::WatchBreaks(proc) => {
                if self.is_alive(proc) && !self.calm {
                    self.break_watch(proc.at);
                }
                Ok(())
            }
            Event::WatchOpens(proc) => {
                self.watch_opens(proc);
                Ok(())
            }
            Event::WatchTells { proc, stream, lease } => self.watch_tells(proc, stream, lease.map(|lease| *lease)),
            Event::Arrive { at, parcel } => self.arrive(at, parcel),
            Event::Deliver { worker, life, message } => self.deliver(worker, life, message),
            Event::Look { worker, life } => self.look(worker, life),
            Event::WorkerStarts { worker } => self.worker_starts(worker),
            Event::WorkerResumes { worker, life } => self.worker_resumes(worker, life),
            Event::ObserverReads { observer } => self.observer_reads(observer),
            Event::Fault => self.fault(),
            Event::Replay => {
                self.replay();
                Ok(())
            }
            Event::AllStopped => self.all_stopped(),
            Event::FaultsEnd => self.faults_end(),
            Event::BackDue => self.workers_are_back(),
            Event::ProgressDue => {
                let wanted: Vec<_> = self.workers.iter().filter_map(Worker::wants).cloned().collect();
                let at = self.active().unwrap_or(0);
                self.note(at, &Fact::ProgressDue { wanted: &wanted })
            }
            Event::TheEnd => Ok(()),
        }
    }

    /// None of them drops what it is told for having heard of higher tenures.
    fn workers_are_back(&mut self) -> Result<(), Violation> {
        let heard: Vec<_> = self.workers.iter().enumerate().filter_map(|(n, w)| Some((n, w.heard_of()?))).collect();
        let at = self.active().unwrap_or(0);
        self.note(at, &Fact::BackDue { heard: &heard })
    }

    fn the_end(&mut self) -> Result<(), Violation> {
        for observer in 0..self.observers.len() {
            self.read_all(observer)?;
        }
        let now = self.now;
        let candidacies: Vec<_> =
            self.workers.iter().enumerate().filter_map(|(n, worker)| Some((n, worker.counts_on(now)?))).collect();
        let led: Vec<_> = self.workers.iter().filter_map(|worker| worker.lead(now)).map(|(token, _)| token).collect();
        let at = self.active().unwrap_or(0);
        self.note(at, &Fact::TheEnd { candidacies: &candidacies, led: &led })
    }
}
