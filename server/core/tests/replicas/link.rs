//! A replica's way to the API server: requests one after the other, each with a timeout, that can
//! be slow, fail, or get stuck.

use crate::api::{Api, Writer};
use leasehold_core::{ClockFloor, Input, Lease, Millis, Outcome, Over, Record, Time, WriteId};
use std::collections::VecDeque;

/// What becomes of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Works,
    /// Answered with an error, and nothing is done.
    Fails,
    /// Writes are done, but their replies are lost. Reads work.
    LosesReplies,
    /// They get stuck, and are done when the mode changes.
    Hangs,
    /// Somebody labels the Lease just before each write. Reads work.
    Conflicts,
    /// Nothing gets through, and the watch is silent.
    CutOff,
    /// Works, but for making a Lease.
    NoCreate,
}

#[derive(Clone, Debug)]
enum Request {
    Read,
    Write { write: WriteId, over: Over, record: Option<Box<Record>> },
}

#[derive(Debug)]
enum Step {
    Waits,
    Arrives(Time),
    Answered(Time, Answer),
}

/// What the client hears.
#[derive(Clone, Debug)]
enum Answer {
    Found(Box<Option<Lease>>),
    Written(Outcome),
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) mode: Mode,
    pub(crate) there: Millis,
    pub(crate) back: Millis,
    pub(crate) timeout: Millis,
    pub(crate) writer: Writer,
    jobs: VecDeque<(Request, Step, Time)>,
    stuck: Vec<Request>,
}

impl Link {
    pub(crate) fn new(writer: Writer) -> Self {
        let (mode, none) = (Mode::Works, Millis(0));
        let timeout = Millis(1500);
        Self { mode, there: none, back: none, timeout, writer, jobs: VecDeque::new(), stuck: Vec::new() }
    }

    pub(crate) fn read(&mut self, now: Time) {
        self.jobs.push_back((Request::Read, Step::Waits, now));
    }

    pub(crate) fn write(&mut self, now: Time, write: WriteId, over: Over, record: Option<Box<Record>>) {
        self.jobs.push_back((Request::Write { write, over, record }, Step::Waits, now));
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.jobs.front().map(|(_, step, queued)| match step {
            Step::Waits => *queued,
            Step::Arrives(at) | Step::Answered(at, _) => *at,
        })
    }

    /// Does what is due, and says what the client hears, if anything.
    pub(crate) fn run(&mut self, api: &mut Api, now: Time, clock_floor: ClockFloor) -> Option<Input> {
        while self.next_at()? <= now {
            let (request, step, sent) = self.jobs.pop_front()?;
            match step {
                Step::Waits => self.jobs.push_front((request, Step::Arrives(now + self.there), now)),
                Step::Arrives(at) => {
                    let answered = self.arrive(api, &request, sent, at);
                    self.jobs.push_front((request, answered, sent));
                }
                Step::Answered(_, answer) => return Some(heard(&request, answer, clock_floor)),
            }
        }
        None
    }

    fn arrive(&mut self, api: &mut Api, request: &Request, sent: Time, now: Time) -> Step {
        let times_out = sent + self.timeout;
        let writes = matches!(request, Request::Write { .. });
        match self.mode {
            Mode::Fails => return Step::Answered(now + self.back, Answer::Nothing),
            Mode::CutOff => return Step::Answered(times_out, Answer::Nothing),
            Mode::Hangs => {
                self.stuck.push(request.clone());
                return Step::Answered(times_out, Answer::Nothing);
            }
            Mode::NoCreate if matches!(request, Request::Write { over: Over::Nothing, .. }) => {
                return Step::Answered(now + self.back, Answer::Nothing);
            }
            Mode::Conflicts if writes && api.lease.is_some() => api.edit(|_| ()),
            Mode::Works | Mode::LosesReplies | Mode::NoCreate | Mode::Conflicts => {}
        }
        let answer = self.perform(api, request, now);
        if (self.mode == Mode::LosesReplies && writes) || now + self.back > times_out {
            return Step::Answered(times_out, Answer::Nothing);
        }
        Step::Answered(now + self.back, answer)
    }

    fn perform(&self, api: &mut Api, request: &Request, now: Time) -> Answer {
        match request {
            Request::Read => Answer::Found(Box::new(api.lease.clone())),
            Request::Write { over, record, .. } => {
                Answer::Written(api.write(&self.writer, over, record.as_deref().cloned(), now))
            }
        }
    }

    /// From now on requests fare differently. Those that were stuck arrive.
    pub(crate) fn change(&mut self, api: &mut Api, mode: Mode, now: Time) {
        self.mode = mode;
        for request in std::mem::take(&mut self.stuck) {
            self.perform(api, &request, now);
        }
    }

    /// The process is gone. What it had sent may arrive all the same.
    pub(crate) fn crash(&mut self, api: &mut Api, arrives: bool, now: Time) {
        for (request, step, _) in std::mem::take(&mut self.jobs) {
            if arrives && matches!(step, Step::Arrives(_)) {
                self.perform(api, &request, now);
            }
        }
    }
}

fn heard(request: &Request, answer: Answer, clock_floor: ClockFloor) -> Input {
    match (request, answer) {
        (Request::Read, Answer::Found(lease)) => Input::FoundLease { lease: *lease, clock_floor },
        (Request::Read, _) => Input::ReadFailed,
        (Request::Write { write, .. }, Answer::Written(outcome)) => Input::Written { write: *write, outcome },
        (Request::Write { write, .. }, _) => Input::Written { write: *write, outcome: Outcome::Unknown },
    }
}
