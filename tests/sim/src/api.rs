//! The API server and the Lease: requests with their faults, each a compare-and-swap.

pub(crate) mod edits;
mod watch;

use crate::checks::Violation;
use crate::mirrors::address_of;
use crate::server::{Parcel, Proc};
use crate::store::Job;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Content, Holder, Input, Lease, Millis, Outcome, Over, Record, Signed, Time, Version};

/// Which way a replica and the API server don't reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Requests,
    Answers,
    Both,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    from: Proc,
    me: String,
    serial: u64,
    sent: Time,
    job: Job,
}

#[derive(Debug, Default)]
pub(crate) struct Api {
    lease: Option<Lease>,
    /// The number of the last version.
    revision: u64,
    /// What stood there, the newest last.
    states: Vec<Option<Lease>>,
    outage_until: Time,
    errors_until: Time,
    hangs_until: Time,
    slow_until: Time,
    /// The replicas that don't reach it.
    cuts: Vec<(usize, Way, Time)>,
    /// An older Lease was put back; until a replica has written again nobody may start, and not all
    /// may die who know better.
    pub(crate) restored: bool,
    restored_at: Option<Time>,
    /// So often it is deleted again, as soon as it is repaired.
    deletions: u64,
}

impl Api {
    fn cut(&self, at: usize, way: Way, now: Time) -> bool {
        let cut = |(whose, which, until): &(usize, Way, Time)| {
            *whose == at && *until > now && (*which == way || *which == Way::Both)
        };
        self.outage_until > now || self.cuts.iter().any(cut)
    }

    /// All is well again.
    pub(crate) fn recover(&mut self) {
        let (revision, restored) = (self.revision, self.restored);
        let (lease, states) = (self.lease.take(), std::mem::take(&mut self.states));
        *self = Self { lease, states, revision, restored, ..Self::default() };
    }
}

impl World {
    /// Sends the job under way to the API server.
    pub(crate) fn request(&mut self, at: usize) {
        let (from, jobs) = (self.proc(at), &self.servers[at].jobs);
        let (serial, timeout, me) = (jobs.serial, jobs.timeout, jobs.me.clone());
        let Some(job) = jobs.queue.front().cloned() else { return };
        let gives_up = Parcel::Answer { life: from.life, serial, input: no_answer(&job) };
        self.after(timeout, Event::Arrive { at, parcel: gives_up });
        if self.api.cut(at, Way::Requests, self.now) {
            self.reach("request to the API server lost");
            return;
        }
        let late = !self.calm && self.rng.chance(self.plan.api_late);
        let latency = match (late, self.api.slow_until > self.now) {
            (true, _) => {
                self.reach("request applied late");
                self.rng.millis(timeout.0 / 2, timeout.0 * 6)
            }
            (false, true) => self.rng.millis(20, 2 * timeout.0),
            (false, false) => self.rng.millis(1, 20),
        };
        let request = Request { from, me, serial, sent: self.now, job };
        self.after(latency, Event::ApiTakes(Box::new(request)));
    }

    /// A request reaches the API server.
    pub(crate) fn api_takes(&mut self, request: Request) -> Result<(), Violation> {
        let at = request.from.at;
        if self.api.hangs_until > self.now {
            if self.rng.chance(600) {
                self.reach("request hung, and was applied later");
                let until = self.api.hangs_until + self.rng.millis(0, 500);
                self.at(until, Event::ApiTakes(Box::new(request)));
            }
            return Ok(());
        }
        let fails = self.api.errors_until > self.now && self.rng.chance(800);
        let input = if fails && self.rng.chance(700) {
            no_answer(&request.job)
        } else {
            let answer = self.apply(&request)?;
            if fails { no_answer(&request.job) } else { answer }
        };
        let lost = !self.calm && self.rng.chance(self.plan.api_lost);
        if lost || self.api.cut(at, Way::Answers, self.now) {
            self.reach("answer of the API server lost");
            return Ok(());
        }
        let slow = self.api.slow_until > self.now;
        let latency = if slow { self.rng.millis(1, 1000) } else { self.rng.millis(1, 10) };
        let parcel = Parcel::Answer { life: request.from.life, serial: request.serial, input };
        self.after(latency, Event::Arrive { at, parcel });
        Ok(())
    }

    fn apply(&mut self, request: &Request) -> Result<Input, Violation> {
        let at = request.from.at;
        match &request.job {
            Job::Read => Ok(Input::FoundLease { lease: self.api.lease.clone(), clock_floor: self.clock_floor(at) }),
            Job::Write { write, over, record, .. } => {
                let outcome = self.swap(request, over, record.as_deref())?;
                Ok(Input::Written { write: *write, outcome })
            }
        }
    }

    fn swap(&mut self, request: &Request, over: &Over, record: Option<&Record>) -> Result<Outcome, Violation> {
        let fits = match (over, &self.api.lease) {
            (Over::Nothing, None) => true,
            (Over::Version(version), Some(lease)) => *version == lease.version,
            _ => false,
        };
        if !fits {
            self.reach("conflict");
            return Ok(Outcome::Conflict);
        }
        if self.now.since(request.sent) > self.servers[request.from.at].jobs.timeout {
            self.reach("request applied after its sender gave it up");
        }
        let holder = || Holder(request.me.clone());
        // Made without a spec; or stripped of a replica's words.
        let stands = self.api.lease.as_ref().map(|lease| lease.content.clone());
        let bare = || Content { signed: None, ..stands.unwrap_or_default() };
        let content = record.map_or_else(bare, |record| Content {
            holder: record.ended_at.is_none().then(holder),
            duration: Some(Millis(record.duration.0.div_ceil(1000) * 1000)),
            renew_time: format!("{}", request.sent.0),
            signed: Some(Signed {
                by: holder(),
                address: address_of(request.from.at),
                record: record.without_handover(),
            }),
            newer: None,
        });
        let replaced = self.api.lease.take().map(|lease| lease.content);
        // One that was stripped deceives nobody any more, but says nothing of the numbers either;
        // nor does the end of a tenure before.
        let newest = self.checks.truth.last_written().unwrap_or_default();
        if record.is_some_and(|record| record.tenure >= newest) {
            self.api.restored = false;
        }
        if record.is_some_and(|record| record.ended_at.is_some()) {
            self.reach("Lease released");
        }
        if record.is_some() && replaced.as_ref().is_none_or(|content| content.signed.is_none()) {
            self.repaired();
        }
        let version = self.put_lease(Some(content));
        self.note(request.from.at, &Fact::Applied { record, replaced: replaced.as_ref(), me: &request.me })?;
        Ok(Outcome::Stored(version))
    }

    /// This stands there from now on, and watches tell of it.
    fn put_lease(&mut self, content: Option<Content>) -> Option<Version> {
        self.api.revision += 1;
        let version = Version(format!("v{}", self.api.revision));
        self.api.lease = content.map(|content| Lease { version: version.clone(), content });
        let (lease, states) = (self.api.lease.clone(), &mut self.api.states);
        if states.len() >= 400 {
            states.drain(..100);
        }
        states.push(lease);
        self.tell_watches();
        Some(version)
    }
}

/// What a sender takes it for when it hears nothing, or only an error.
fn no_answer(job: &Job) -> Input {
    match job {
        Job::Read => Input::ReadFailed,
        Job::Write { write, .. } => Input::Written { write: *write, outcome: Outcome::Unknown },
    }
}
