//! Processes: the core and the shell around it, which can be killed, stopped in good order, paused
//! and started.

mod inbox;
mod shell;

use crate::checks::Violation;
use crate::clock::Clock;
use crate::mirrors::Mirroring;
use crate::store::{Job, Jobs};
use crate::truth::Fact;
use crate::world::{Event, World};
pub(crate) use inbox::Parcel;
use leasehold_core::{Active, CallId, Config, Holder, Input, Millis, Store, Tenure, Time};
use leasehold_shell::{Right, Shell, TenureBoard};
use std::collections::VecDeque;
use std::sync::Arc;

/// A process: one of the lives of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Proc {
    pub(crate) at: usize,
    pub(crate) life: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    /// Counts the processes.
    pub(crate) life: u64,
    /// The process runs.
    pub(crate) up: bool,
    /// Streams are pipes of the network, and mirrors go by their numbers. `None` while it says
    /// something, and while no process runs.
    shell: Option<Shell<(), CallId, u64>>,
    /// Its state may be shown as long as this lasts, by its own clock.
    pub(crate) right: Arc<Right>,
    pub(crate) paused: bool,
    /// Its machine doesn't hear anything either.
    pub(crate) suspended: bool,
    pub(crate) stopping: bool,
    /// When it started, and whether on the same start of the machine as the one before it.
    pub(crate) started: (Time, bool),
    /// It has seen the newest record of a file.
    pub(crate) has_read: bool,
    /// It has had a tenure: what it found in a file at its start is no longer the newest.
    pub(crate) was_active: bool,
    /// The newest renewal in a Lease that it has heard of.
    pub(crate) knows: (Tenure, Millis),
    pub(crate) tenure: Option<Tenure>,
    pub(crate) board: TenureBoard,
    /// Whom it forwards to.
    pub(crate) followed: Option<Active>,
    /// What has come while it stood still.
    pub(crate) inbox: VecDeque<Parcel>,
    pub(crate) clock: Clock,
    pub(crate) jobs: Jobs,
    /// The stream of its watch, if there is one, and when the last event on it comes.
    pub(crate) watch: Option<(u64, Time)>,
    /// Events on its watch come so much later.
    pub(crate) watch_lag: Millis,
    /// Who mirrors it.
    pub(crate) mirrors: Vec<Mirroring>,
    /// The stream through which it mirrors another.
    pub(crate) mirror: Option<u64>,
    wakes_at: Option<Time>,
}

impl Server {
    /// Its local time.
    pub(crate) fn local(&self, now: Time) -> Time {
        self.clock.read(now)
    }

    /// Whether it may show what its tenure knows.
    pub(crate) fn may_speak(&self, now: Time) -> bool {
        self.up && !self.paused && self.tenure.is_some() && self.right.lasts(self.local(now))
    }
}

impl World {
    pub(crate) fn proc(&self, at: usize) -> Proc {
        Proc { at, life: self.servers[at].life }
    }

    pub(crate) fn is_alive(&self, proc: Proc) -> bool {
        self.servers[proc.at].life == proc.life && self.servers[proc.at].up
    }

    pub(crate) fn start_process(&mut self, at: usize) -> Result<(), Violation> {
        if self.servers[at].up {
            return Ok(());
        }
        if self.runbook {
            return Ok(());
        }
        // Whoever starts now has seen nothing: a restored Lease would be the truth to it.
        if self.api.restored && !self.plan.naive_may_start() {
            self.after(Millis(300), Event::Start { at });
            return Ok(());
        }
        let life = self.servers[at].life + 1;
        let me = format!("r{at}-{life}");
        let config = self.plan.config(&mut self.rng, &me);
        config.validate().expect("the plan's settings fit together");
        let clock = Clock::new(self.now, self.rng.between(0, 1_000_000), self.plan.rate(&mut self.rng));
        self.trace(|| format!("r{at} starts its life {life}: {config:?}"));
        let jobs = jobs(&config);
        let started = (self.now, self.rng.chance(500));
        let right = Arc::new(Right::new(self.plan.replicas == 0));
        let shell = Some(Shell::new(config, Arc::clone(&right), clock.read(self.now)));
        self.servers[at] = Server { life, up: true, shell, right, clock, jobs, started, ..Server::default() };
        self.store.versions.push(self.store.file.clone());
        if self.plan.replicas > 0 {
            let delay = self.rng.millis(0, 200);
            let proc = self.proc(at);
            self.after(delay, Event::WatchOpens(proc));
        }
        self.note(at, &Fact::Started { clock })?;
        self.run_shell(at, |_, _, _| {})
    }

    /// SIGKILL.
    pub(crate) fn crash(&mut self, at: usize) -> Result<(), Violation> {
        if !self.servers[at].up {
            return Ok(());
        }
        self.reach("crashed");
        let half_done = self.servers[at].jobs.abandon();
        let full = self.store.full_until > self.now;
        if let (Some(Job::Write { record: Some(record), sent, .. }), 0) = (half_done, self.plan.replicas)
            && !full
            && self.rng.chance(500)
        {
            self.reach("crashed with a write under way, which was stored");
            self.put_record(*record, sent)?;
        }
        self.servers[at].up = false;
        self.note(at, &Fact::Crashed)?;
        self.cut_off_a_leader();
        self.process_gone(at);
        Ok(())
    }

    /// The process is no more.
    pub(super) fn process_gone(&mut self, at: usize) {
        let server = &mut self.servers[at];
        (server.up, server.shell, server.tenure, server.watch) = (false, None, None, None);
        server.jobs.abandon();
        self.break_streams_of(at);
        self.mirrors_of_the_dead(at);
        let inbox = std::mem::take(&mut self.servers[at].inbox);
        for parcel in inbox {
            self.undelivered(parcel);
        }
        let delay = match self.rng.between(0, 9) {
            0..=4 => self.rng.millis(0, 200),
            5..=7 => self.rng.millis(200, 3000),
            _ => self.rng.millis(3000, 20_000),
        };
        self.after(if self.calm { Millis(0) } else { delay }, Event::Start { at });
    }

    pub(crate) fn resume_process(&mut self, at: usize) -> Result<(), Violation> {
        if !self.servers[at].up || !self.servers[at].paused {
            return Ok(());
        }
        (self.servers[at].paused, self.servers[at].suspended) = (false, false);
        // Its own timer may be first.
        if self.rng.chance(300) {
            self.tell(at, Input::Tick)?;
        }
        while let Some(parcel) = self.servers[at].inbox.pop_front() {
            self.take(at, parcel)?;
            if !self.servers[at].up {
                return Ok(());
            }
        }
        self.tell(at, Input::Tick)
    }

    pub(crate) fn wake(&mut self, at: usize) -> Result<(), Violation> {
        if self.servers[at].wakes_at != Some(self.now) {
            return Ok(());
        }
        self.servers[at].wakes_at = None;
        // One that stands still looks when it goes on.
        if self.servers[at].paused { Ok(()) } else { self.tell(at, Input::Tick) }
    }

    /// Looks again when the core wants to.
    fn wake_later(&mut self, at: usize) {
        let Some(due) = self.servers[at].shell.as_ref().and_then(Shell::next_deadline) else { return };
        // Timers fire late, never early.
        let late = if self.rng.chance(900) { Millis(0) } else { self.rng.millis(0, 50) };
        let due = self.servers[at].clock.when(due).max(self.now) + late;
        if self.servers[at].wakes_at.is_none_or(|wakes_at| due < wakes_at) {
            self.servers[at].wakes_at = Some(due);
            self.at(due, Event::Wake(self.proc(at)));
        }
    }

    /// The replica that is active, as far as it knows itself.
    pub(crate) fn active(&self) -> Option<usize> {
        self.servers.iter().position(|server| server.may_speak(self.now))
    }
}

fn jobs(config: &Config) -> Jobs {
    match &config.store {
        Store::File => Jobs::default(),
        Store::Lease { me: Holder(me), request_timeout } => Jobs::of_a_lease(me, *request_timeout),
    }
}
