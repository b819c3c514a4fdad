//! The store of the bench: one record in memory, with reads and writes one after the other, that
//! can be slow, fail, or hang.

use leasehold_core::{ClockFloor, Found, Input, Millis, Outcome, Record, Time, WriteId};
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
    /// The disk is full: not stored, but it is noted that the tenure goes on. A claim just fails.
    Full,
    /// Somebody else has its place now.
    Lost,
}

#[derive(Debug)]
enum Job {
    Read,
    /// With the moment at which it was sent.
    Write(WriteId, Time, Box<Record>),
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) found: Found,
    pub(crate) mode: Mode,
    pub(crate) latency: Millis,
    pub(crate) clock_floor: ClockFloor,
    /// The tenure of the record has gone on without being stored since.
    pub(crate) unsteady: bool,
    /// When the tenure of the record began.
    began: Time,
    jobs: VecDeque<(Time, Job)>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let (mode, latency) = (Mode::Works, Millis(0));
        let (unsteady, began, jobs) = (false, Time(0), VecDeque::new());
        Self { found: Found::Fresh, mode, latency, clock_floor: ClockFloor(0), unsteady, began, jobs }
    }

    pub(crate) fn read(&mut self, now: Time) {
        self.jobs.push_back((now, Job::Read));
    }

    pub(crate) fn write(&mut self, now: Time, write: WriteId, record: Box<Record>) {
        self.jobs.push_back((now + self.latency, Job::Write(write, now, record)));
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
            Job::Write(write, sent, record) => {
                let outcome = match self.mode {
                    Mode::Works => Outcome::Stored(None),
                    Mode::Fails | Mode::LosesReplies | Mode::Hangs => Outcome::Unknown,
                    Mode::Full => Outcome::Held,
                    Mode::Lost => Outcome::Lost,
                };
                if matches!(self.mode, Mode::Works | Mode::LosesReplies) {
                    self.put(sent, *record);
                }
                self.unsteady |= self.mode == Mode::Full;
                Some(Input::Written { write, outcome })
            }
        }
    }

    fn put(&mut self, sent: Time, record: Record) {
        (self.unsteady, self.began) = (false, Time(sent.since(Time(record.renewed_at.0)).0));
        self.found = Found::Record(record);
    }

    /// A process starts, so the last one is gone; in the same start of the machine its clock tells
    /// since when at the latest.
    pub(crate) fn bound(&mut self, now: Time, same_boot: bool) {
        let Found::Record(record) = &mut self.found else { return };
        let by_right = (!self.unsteady).then(|| record.right_ended());
        let gone = same_boot.then(|| now.since(self.began));
        let bound = by_right.into_iter().chain(gone).min().unwrap_or(Millis(u64::MAX));
        if self.unsteady || same_boot {
            let ended_at = record.ended_at.or(Some(bound));
            *record = record.clone().bounded(ended_at);
        }
    }

    /// The process is gone, and with it what was under way; a write may have been stored all the
    /// same.
    pub(crate) fn drop_jobs(&mut self, stored: bool) {
        for (_, job) in std::mem::take(&mut self.jobs) {
            if let (Job::Write(_, sent, record), true) = (job, stored) {
                self.put(sent, *record);
            }
        }
    }
}
