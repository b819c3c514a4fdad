//! The process: the core and a modelled shell around it, which can be killed, stopped in good order, paused and started.

use crate::checks::Violation;
use crate::plan::Fault;
use crate::store::Job;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Board, Found, Input, Millis, Outcome, Output, Replica, Time};
use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Server {
    /// Counts the processes.
    pub(crate) process: u64,
    pub(crate) replica: Option<Replica>,
    pub(crate) paused: bool,
    pub(crate) stopping: bool,
    /// It has seen the newest record.
    pub(crate) has_read: bool,
    /// It has had a tenure: what it found at its start is no longer the newest.
    pub(crate) was_active: bool,
    pub(crate) board: Option<Board>,
    /// What has come while it stood still.
    inbox: VecDeque<Input>,
    /// How far its clock is ahead of the simulation's.
    ahead: Millis,
    wakes_at: Option<Time>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            process: 0,
            replica: None,
            paused: false,
            stopping: false,
            has_read: false,
            was_active: false,
            board: None,
            inbox: VecDeque::new(),
            ahead: Millis(0),
            wakes_at: None,
        }
    }
}

impl World {
    pub(crate) fn start_process(&mut self) -> Result<(), Violation> {
        if self.server.replica.is_some() {
            return Ok(());
        }
        let config = self.plan.config(&mut self.rng);
        config.validate().expect("the plan's settings fit together");
        let ahead = self.rng.millis(0, 1_000_000);
        let process = self.server.process + 1;
        self.server = Server { process, replica: Some(Replica::new(config)), ahead, ..Server::new() };
        self.store.versions.push(self.store.found.clone());
        self.note(&Fact::Started { ahead })?;
        self.say()
    }

    /// SIGKILL.
    pub(crate) fn crash(&mut self) -> Result<(), Violation> {
        if self.server.replica.take().is_none() {
            return Ok(());
        }
        self.reach("crashed");
        let half_done = self.store.jobs.front().cloned();
        self.store.jobs.clear();
        self.store.serial += 1;
        if let Some(Job::Write(_, record)) = half_done
            && self.rng.chance(500)
        {
            self.reach("crashed with a write under way, which was stored");
            self.put_record(*record)?;
        }
        self.note(&Fact::Crashed)?;
        self.cut_off_a_leader();
        self.process_gone();
        Ok(())
    }

    fn process_gone(&mut self) {
        self.server.board = None;
        self.server.inbox.clear();
        self.break_all_streams();
        let delay = match self.rng.between(0, 9) {
            0..=4 => self.rng.millis(0, 200),
            5..=7 => self.rng.millis(200, 3000),
            _ => self.rng.millis(3000, 20_000),
        };
        self.after(if self.calm { Millis(0) } else { delay }, Event::Start);
    }

    pub(crate) fn resume_process(&mut self) -> Result<(), Violation> {
        if self.server.replica.is_none() || !self.server.paused {
            return Ok(());
        }
        self.server.paused = false;
        while let Some(input) = self.server.inbox.pop_front() {
            self.tell(input)?;
            if self.server.replica.is_none() {
                return Ok(());
            }
        }
        self.tell(Input::Tick)
    }

    pub(crate) fn wake(&mut self) -> Result<(), Violation> {
        if self.server.wakes_at != Some(self.now) {
            return Ok(());
        }
        self.server.wakes_at = None;
        // One that stands still looks when it goes on.
        if self.server.paused { Ok(()) } else { self.tell(Input::Tick) }
    }

    /// Something reaches the server's machine.
    pub(crate) fn arrive(&mut self, input: Input) -> Result<(), Violation> {
        if self.server.replica.is_none() || self.is_void(&input) {
            self.refuse(&input);
            return Ok(());
        }
        if self.server.paused {
            self.server.inbox.push_back(input);
            return Ok(());
        }
        self.tell(input)
    }

    /// The core handles one input, and what it says is done.
    pub(crate) fn tell(&mut self, input: Input) -> Result<(), Violation> {
        self.note(&Fact::Told(&input))?;
        self.server.has_read |= matches!(input, Input::Found { found: Found::Record(_), .. });
        let now = self.now + self.server.ahead;
        let Some(replica) = &mut self.server.replica else { return Ok(()) };
        replica.handle(now, input);
        replica.check();
        self.say()
    }

    fn say(&mut self) -> Result<(), Violation> {
        while let Some(output) = self.server.replica.as_mut().and_then(Replica::poll_output) {
            self.trace(|| format!("    {output:?}"));
            self.note(&Fact::Said(&output))?;
            self.act(output);
        }
        self.note(&Fact::SaidAll)?;
        let Some(at) = self.server.replica.as_ref().and_then(Replica::next_deadline) else { return Ok(()) };
        // Timers fire late, never early.
        let late = if self.rng.chance(900) { Millis(0) } else { self.rng.millis(0, 50) };
        let at = Time(at.0.saturating_sub(self.server.ahead.0)).max(self.now) + late;
        if self.server.wakes_at.is_none_or(|wakes_at| at < wakes_at) {
            self.server.wakes_at = Some(at);
            self.at(at, Event::Wake { process: self.server.process });
        }
        Ok(())
    }

    fn act(&mut self, output: Output) {
        self.remember_tickets(&output);
        match output {
            Output::Read => self.push_job(Job::Read),
            Output::Write { write, record, .. } => {
                self.push_job(Job::Write(write, record.expect("a file is always written with a record")));
            }
            Output::TenureBegan { tenure, settles_in, .. } => {
                self.reach(if settles_in == Millis(0) { "tenure began settled" } else { "tenure began with a wait" });
                self.server.was_active = true;
                // In the wait old tickets are worth most.
                if self.plan.faults.contains(&Fault::Replay) && !self.calm {
                    let delay = self.rng.millis(0, settles_in.0);
                    self.after(delay, Event::Replay);
                }
                let history = self.rng.index(40) + 3;
                self.server.board = Some(Board::new(tenure, history));
            }
            Output::RightUntil(_)
            | Output::Ended(_)
            | Output::Follow(_)
            | Output::MirrorSnapshot(_)
            | Output::MirrorChanged(_) => {}
            Output::Settled => {
                if let Some(board) = &mut self.server.board {
                    board.settle();
                }
            }
            Output::TenureEnded { why, .. } => {
                self.reach(match why {
                    leasehold_core::TenureEnd::RightEnded => "right ended",
                    leasehold_core::TenureEnd::Lost => "lost to another replica",
                    leasehold_core::TenureEnd::Shutdown => "shut down while active",
                });
                self.server.board = None;
                self.break_all_streams();
            }
            Output::Stopped => {
                self.server.replica = None;
                self.store.jobs.clear();
                self.store.serial += 1;
                self.process_gone();
            }
            Output::Reply { call, reply } => self.reply(call, reply),
            Output::Event { stream, event } => self.send_event(stream, event),
            Output::Close { stream, .. } => self.end_stream(stream),
            Output::Changed(change) => {
                self.reach_change(&change);
                if let Some(board) = &mut self.server.board {
                    board.apply(change);
                }
            }
        }
    }

    fn reach_change(&mut self, change: &leasehold_core::Change) {
        use leasehold_core::{ChangeReason as Why, EndReason as End};
        self.reach(match change.reason {
            Why::Elected => "elected",
            Why::Proclaimed => "proclaimed",
            Why::Draining => "told to hand over",
            Why::Restored => "leader put back",
            Why::Ended(End::Resigned) => "leader resigned",
            Why::Ended(End::Expired) => "leader expired",
            Why::Ended(End::Replaced) => "leader replaced",
            Why::Ended(End::Overtaken) => "leader overtaken",
            Why::Ended(End::SteppedDown) => "leader stepped down",
            Why::Ended(End::NotGranted) => "leader not granted",
        });
    }

    fn push_job(&mut self, job: Job) {
        self.store.jobs.push_back(job);
        if self.store.jobs.len() == 1 {
            self.begin_job();
        }
    }

    fn begin_job(&mut self) {
        let slow = self.store.slow_until > self.now;
        let latency = if slow { self.rng.millis(50, 3000) } else { self.rng.millis(0, 20) };
        self.store.serial += 1;
        self.after(latency, Event::StoreDone { serial: self.store.serial });
    }

    pub(crate) fn store_done(&mut self, serial: u64) -> Result<(), Violation> {
        if serial != self.store.serial {
            return Ok(());
        }
        if self.store.hangs_until > self.now {
            self.at(self.store.hangs_until, Event::StoreDone { serial });
            return Ok(());
        }
        let Some(job) = self.store.jobs.pop_front() else { return Ok(()) };
        let answer = match job {
            Job::Read => {
                self.note(&Fact::Read)?;
                Input::Found { found: self.store.found.clone(), clock_floor: self.store.wall_clock << 20 }
            }
            Job::Write(write, record) => {
                let ok = self.store.fails_until <= self.now;
                if ok || self.rng.chance(400) {
                    self.put_record(*record)?;
                }
                let outcome = if ok { Outcome::Stored(None) } else { Outcome::Unknown };
                Input::Written { write, outcome }
            }
        };
        if !self.store.jobs.is_empty() {
            self.begin_job();
        }
        self.arrive(answer)
    }

    fn put_record(&mut self, record: leasehold_core::Record) -> Result<(), Violation> {
        self.store.found = Found::Record(record);
        self.store.restored = false;
        let found = self.store.found.clone();
        self.note(&Fact::Stored { found: &found, by_fault: false })
    }
}
