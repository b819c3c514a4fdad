//! What a process asks its store for, one after the other; and the store that is a file: slow,
//! hung, failed and full.

use crate::checks::Violation;
use crate::clock::Clock;
use crate::server::Parcel;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Found, Input, Millis, Outcome, Over, Record, Time, WriteId};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub(crate) enum Job {
    Read,
    /// `sent`: by the process's own clock.
    Write {
        write: WriteId,
        over: Over,
        record: Option<Box<Record>>,
        sent: Time,
    },
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

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) found: Found,
    /// The life that wrote it.
    life: u64,
    /// When its tenure began, and the clock that said so.
    began: Option<(Clock, Time)>,
}

impl Written {
    /// Somebody has removed it.
    pub(crate) fn lost() -> Self {
        Self { found: Found::Lost, life: 0, began: None }
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) file: Written,
    /// A tenure has gone on since without being stored.
    unsteady: bool,
    pub(crate) hangs_until: Time,
    pub(crate) fails_until: Time,
    pub(crate) slow_until: Time,
    pub(crate) full_until: Time,
    /// What stood here when a process started.
    pub(crate) versions: Vec<Written>,
    /// An older record was put back; until the next write nobody may die who knows better.
    pub(crate) restored: bool,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            file: Written { found: Found::Fresh, life: 0, began: None },
            unsteady: false,
            hangs_until: Time(0),
            fails_until: Time(0),
            slow_until: Time(0),
            full_until: Time(0),
            versions: Vec::new(),
            restored: false,
        }
    }

    /// What the process of this life reads, which started at that moment: on the same start of the
    /// machine as the one before, or not. The lock was free, so that one was gone by then.
    fn read(&self, life: u64, (started, same_boot): (Time, bool)) -> Found {
        let Written { found: Found::Record(record), life: author, began } = &self.file else {
            return self.file.found.clone();
        };
        let gone = began.filter(|_| same_boot).map(|(clock, began)| clock.read(started).since(began));
        let bound = match (self.unsteady, gone) {
            _ if *author == life || record.ended_at.is_some() => record.ended_at,
            (false, gone) => gone.map(|gone| gone.min(record.right_ended())),
            (true, gone) => gone.or(Some(Millis(u64::MAX))),
        };
        Found::Record(record.clone().bounded(bound))
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
                let server = &self.servers[0];
                let found = self.store.read(server.life, server.started);
                Input::Found { found, clock_floor: self.clock_floor(0) }
            }
            Job::Write { record: None, .. } => unreachable!("a file is written with a record"),
            Job::Write { write, record: Some(record), sent, .. } => {
                Input::Written { write, outcome: self.write_file(*record, sent)? }
            }
        };
        self.next_job(0);
        let life = self.servers[0].life;
        self.arrive(0, Parcel::Own { life, input: answer })
    }

    fn write_file(&mut self, record: Record, sent: Time) -> Result<Outcome, Violation> {
        // A tenure that has its record there may go on without storing it: whoever comes next is
        // told so.
        let own = matches!(&self.store.file.found, Found::Record(stored) if stored.tenure == record.tenure);
        let fails = self.store.fails_until > self.now;
        if self.store.full_until > self.now && !fails {
            if !own || record.ended_at.is_some() {
                return Ok(Outcome::Unknown);
            }
            self.reach("went on with a full disk");
            self.store.unsteady = true;
            return Ok(Outcome::Held);
        }
        if !fails || self.rng.chance(400) {
            self.put_record(record, sent)?;
        }
        Ok(if fails { Outcome::Unknown } else { Outcome::Stored(None) })
    }

    /// `sent`: by the clock of the process that writes it, or that has just died with it half
    /// written.
    pub(crate) fn put_record(&mut self, record: Record, sent: Time) -> Result<(), Violation> {
        let server = &self.servers[0];
        let began = Time(sent.since(Time(record.renewed_at.0)).0);
        let found = Found::Record(record);
        self.store.file = Written { found: found.clone(), life: server.life, began: Some((server.clock, began)) };
        (self.store.restored, self.store.unsteady) = (false, false);
        self.note(0, &Fact::Stored { found: &found, by_fault: false })
    }
}
