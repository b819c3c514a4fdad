//! The store of the bench: one record in memory, with reads and writes one after the other, that can be slow, fail, or hang.

use leasehold_core::{Found, Input, Millis, Outcome, Record, Time, WriteId};
use std::collections::VecDeque;

/// What becomes of writes. Reads always work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Works,
    /// Not stored, and says so.
    Fails,
    /// Stored, but says that it isn't.
    LosesReplies,
    /// Neither stored nor answered until the mode changes; nothing else is done meanwhile.
    Hangs,
}

#[derive(Debug)]
enum Job {
    Read,
    Write(WriteId, Box<Record>),
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) found: Found,
    pub(crate) mode: Mode,
    pub(crate) latency: Millis,
    pub(crate) clock_floor: u64,
    jobs: VecDeque<(Time, Job)>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let (mode, latency) = (Mode::Works, Millis(0));
        Self { found: Found::Fresh, mode, latency, clock_floor: 0, jobs: VecDeque::new() }
    }

    pub(crate) fn read(&mut self, now: Time) {
        self.jobs.push_back((now, Job::Read));
    }

    pub(crate) fn write(&mut self, now: Time, write: WriteId, record: Box<Record>) {
        self.jobs.push_back((now + self.latency, Job::Write(write, record)));
    }

    /// When the next answer comes.
    pub(crate) fn next_at(&self) -> Option<Time> {
        match self.jobs.front() {
            Some((_, Job::Write(..))) if self.mode == Mode::Hangs => None,
            front => front.map(|(at, _)| *at),
        }
    }

    /// The next answer, if it has come.
    pub(crate) fn answer(&mut self, now: Time) -> Option<Input> {
        if self.next_at()? > now {
            return None;
        }
        match self.jobs.pop_front()?.1 {
            Job::Read => Some(Input::Found { found: self.found.clone(), clock_floor: self.clock_floor }),
            Job::Write(write, record) => {
                if self.mode != Mode::Fails {
                    self.found = Found::Record(*record);
                }
                let outcome = if self.mode == Mode::Works { Outcome::Stored(None) } else { Outcome::Unknown };
                Some(Input::Written { write, outcome })
            }
        }
    }

    /// The process is gone, and with it what was under way; a write may have been stored all the same.
    pub(crate) fn drop_jobs(&mut self, stored: bool) {
        for (_, job) in std::mem::take(&mut self.jobs) {
            if let (Job::Write(_, record), true) = (job, stored) {
                self.found = Found::Record(*record);
            }
        }
    }
}
