//! What a process asks its store for, one after the other; and the store that is a file: slow, hung and failed.

use crate::checks::Violation;
use crate::server::Parcel;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Found, Input, Millis, Outcome, Over, Record, Time, WriteId};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub(crate) enum Job {
    Read,
    Write { write: WriteId, over: Over, record: Option<Box<Record>> },
}

/// The jobs of one process.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) queue: VecDeque<Job>,
    /// The number of the job under way: an answer to another one comes too late.
    pub(crate) serial: u64,
    /// In whose name it writes a Lease.
    pub(crate) me: String,
    /// How long it waits for an answer of the API server.
    pub(crate) timeout: Millis,
}

impl Jobs {
    pub(crate) fn of_a_lease(me: &str, timeout: Millis) -> Self {
        Self { me: me.to_owned(), timeout, ..Self::default() }
    }

    /// The process is gone. Returns what was under way.
    pub(crate) fn abandon(&mut self) -> Option<Job> {
        self.serial += 1;
        let half_done = self.queue.pop_front();
        self.queue.clear();
        half_done
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) found: Found,
    pub(crate) hangs_until: Time,
    pub(crate) fails_until: Time,
    pub(crate) slow_until: Time,
    /// What stood here when a process started.
    pub(crate) versions: Vec<Found>,
    /// An older record was put back; until the next write nobody may die who knows better.
    pub(crate) restored: bool,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            found: Found::Fresh,
            hangs_until: Time(0),
            fails_until: Time(0),
            slow_until: Time(0),
            versions: Vec::new(),
            restored: false,
        }
    }
}

impl World {
    pub(crate) fn push_job(&mut self, at: usize, job: Job) {
        self.servers[at].jobs.queue.push_back(job);
        if self.servers[at].jobs.queue.len() == 1 {
            self.begin_job(at);
        }
    }

    fn begin_job(&mut self, at: usize) {
        self.servers[at].jobs.serial += 1;
        if self.plan.replicas > 0 {
            return self.request(at);
        }
        let slow = self.store.slow_until > self.now;
        let latency = if slow { self.rng.millis(50, 3000) } else { self.rng.millis(0, 20) };
        self.after(latency, Event::StoreDone { serial: self.servers[at].jobs.serial });
    }

    /// The job is over: the next one begins.
    pub(crate) fn next_job(&mut self, at: usize) {
        self.servers[at].jobs.queue.pop_front();
        // Answers to this one don't count any more.
        self.servers[at].jobs.serial += 1;
        if !self.servers[at].jobs.queue.is_empty() {
            self.begin_job(at);
        }
    }

    pub(crate) fn store_done(&mut self, serial: u64) -> Result<(), Violation> {
        if serial != self.servers[0].jobs.serial {
            return Ok(());
        }
        if self.store.hangs_until > self.now {
            self.at(self.store.hangs_until, Event::StoreDone { serial });
            return Ok(());
        }
        let Some(job) = self.servers[0].jobs.queue.front().cloned() else { return Ok(()) };
        let answer = match job {
            Job::Read => {
                self.note(0, &Fact::Read)?;
                Input::Found { found: self.store.found.clone(), clock_floor: self.clock_floor(0) }
            }
            Job::Write { write, record, .. } => {
                let record = record.expect("a file is always written with a record");
                let ok = self.store.fails_until <= self.now;
                if ok || self.rng.chance(400) {
                    self.put_record(*record)?;
                }
                let outcome = if ok { Outcome::Stored(None) } else { Outcome::Unknown };
                Input::Written { write, outcome }
            }
        };
        self.next_job(0);
        let life = self.servers[0].life;
        self.arrive(0, Parcel::Own { life, input: answer })
    }

    pub(crate) fn put_record(&mut self, record: Record) -> Result<(), Violation> {
        self.store.found = Found::Record(record);
        self.store.restored = false;
        let found = self.store.found.clone();
        self.note(0, &Fact::Stored { found: &found, by_fault: false })
    }
}
