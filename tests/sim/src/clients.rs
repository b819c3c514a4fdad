//! The lives of the workers: they start, enter, keep alive, resign, stand still, and crash.

use crate::checks::Violation;
use crate::truth::Fact;
use crate::worker::Message;
use crate::world::{Event, World};
use leasehold_core::{Ask, Attempt, Entry, Millis, Replace, Subject, Value};

impl World {
    pub(crate) fn worker_starts(&mut self, worker: usize) -> Result<(), Violation> {
        if !self.workers[worker].up {
            self.workers[worker].start();
            let life = self.workers[worker].life;
            self.after(Millis(0), Event::Look { worker, life });
        }
        Ok(())
    }

    /// The process dies: from now on it believes nothing. Its streams break, which the server
    /// notices when it does.
    pub(crate) fn worker_crashes(&mut self, worker: usize) -> Result<(), Violation> {
        if !self.workers[worker].up {
            return Ok(());
        }
        (self.workers[worker].up, self.workers[worker].died) = (false, true);
        for stream in self.streams_of(worker) {
            self.cut(stream);
        }
        // Often before its TTL is over: then its former self is still known.
        let slow = if self.rng.chance(500) { 10_000 } else { 1000 };
        let delay = self.rng.millis(0, slow);
        self.after(delay, Event::WorkerStarts { worker });
        self.believe(worker)
    }

    pub(crate) fn worker_resumes(&mut self, worker: usize, life: u64) -> Result<(), Violation> {
        if self.workers[worker].life != life || !self.workers[worker].up || !self.workers[worker].paused {
            return Ok(());
        }
        self.workers[worker].paused = false;
        // What has come meanwhile is heard before or after its own timer.
        if self.rng.chance(500) {
            self.look_now(worker)?;
        }
        for message in std::mem::take(&mut self.workers[worker].mailbox) {
            self.deliver(worker, life, message)?;
        }
        Ok(())
    }

    pub(crate) fn deliver(&mut self, worker: usize, life: u64, message: Message) -> Result<(), Violation> {
        let now = self.now;
        let to = &mut self.workers[worker];
        if to.life != life || !to.up {
            return Ok(());
        }
        if to.paused {
            to.mailbox.push(message);
            return Ok(());
        }
        to.hear(now, message);
        self.believe(worker)
    }

    /// Says what the worker believes.
    fn believe(&mut self, worker: usize) -> Result<(), Violation> {
        let election = self.workers[worker].who.election.clone();
        match self.workers[worker].lead(self.now) {
            Some((token, until)) => self.note(0, &Fact::Believes { worker, election: &election, token, until }),
            None => self.note(0, &Fact::Doubts { worker }),
        }
    }

    pub(crate) fn look(&mut self, worker: usize, life: u64) -> Result<(), Violation> {
        if self.workers[worker].life != life || !self.workers[worker].up {
            return Ok(());
        }
        let interval = self.workers[worker].who.manners.interval.0;
        let next = self.rng.millis(interval * 9 / 10, interval * 11 / 10);
        self.after(next, Event::Look { worker, life });
        if self.workers[worker].paused {
            return Ok(());
        }
        self.look_now(worker)
    }

    fn look_now(&mut self, worker: usize) -> Result<(), Violation> {
        let now = self.now;
        let (life, manners) = (self.workers[worker].life, self.workers[worker].who.manners.clone());
        if self.workers[worker].candidacy.is_none() {
            self.roam(worker);
            self.enter(worker);
            return self.believe(worker);
        }
        self.roam(worker);
        if self.asks_again(worker) {
            return Ok(());
        }
        let Some(candidacy) = &self.workers[worker].candidacy else { return Ok(()) };
        let late = candidacy.token.is_some() && candidacy.deadline.is_some_and(|deadline| deadline <= now);
        let never_heard = candidacy.enrolment.is_none() && now.since(candidacy.entered) > manners.patience;
        let (stream, ticket, leads) = (candidacy.stream, candidacy.ticket.clone(), candidacy.token.is_some());
        let superseded = candidacy.superseded;
        let hands_over = candidacy.draining && manners.obliging && self.rng.chance(500);
        let leaves = !self.calm && self.rng.chance(manners.leaves);
        if late {
            self.reach("worker past its deadline");
        }
        if never_heard || hands_over || leaves || (late && manners.gives_up) {
            // From the moment it sends Resign it doesn't lead, and never uses the ticket again.
            self.workers[worker].candidacy = None;
            self.believe(worker)?;
            if let Some(ticket) = ticket {
                self.call(Some((worker, life)), Ask::Resign(ticket));
            }
            stream.into_iter().for_each(|stream| self.cut(stream));
            return Ok(());
        }
        let Some(ticket) = ticket else { return Ok(()) };
        if let Some(stream) = stream
            && manners.polls
        {
            self.cut(stream);
        }
        if stream.is_none() && !superseded && !manners.polls && self.rng.chance(600) {
            self.reach("stream opened again");
            let stream = self.open(Some((worker, life)), Err(ticket.clone()));
            self.workers[worker].reopened(stream);
        }
        if leads && self.rng.chance(30) {
            let value = Value::new(&format!("v{}", now.0)).expect("it is short");
            self.call(Some((worker, life)), Ask::Proclaim(ticket.clone(), value));
        }
        let as_leader = ticket.token.is_some();
        let call = self.call(Some((worker, life)), Ask::KeepAlive(vec![ticket]));
        self.workers[worker].asked(now, call, as_leader);
        self.believe(worker)
    }

    /// Turns to another replica, when it isn't answered or just so.
    fn roam(&mut self, worker: usize) {
        let now = self.now;
        let lonely = self.workers[worker].unanswered(now) || self.workers[worker].candidacy.is_none();
        let roams = self.workers[worker].who.manners.roams;
        if self.rng.chance(if lonely { 400.max(roams) } else { roams }) {
            self.workers[worker].home = self.rng.index(self.servers.len());
        }
    }

    /// A Campaign of which it has heard nothing, and whose stream is over or silent, is sent once
    /// more if it has a name.
    fn asks_again(&mut self, worker: usize) -> bool {
        let now = self.now;
        let (life, manners) = (self.workers[worker].life, self.workers[worker].who.manners.clone());
        let Some(candidacy) = &self.workers[worker].candidacy else { return false };
        let silent = candidacy.stream.is_none() || now.since(candidacy.entered) > manners.patience;
        let named = candidacy.entry.attempt.is_some() && candidacy.enrolment.is_none();
        if !named || !silent || self.rng.chance(100) {
            return false;
        }
        let (entry, stream) = (candidacy.entry.clone(), candidacy.stream);
        stream.into_iter().for_each(|stream| self.cut(stream));
        self.reach("Campaign sent once more");
        let stream = self.open(Some((worker, life)), Ok(entry.clone()));
        self.workers[worker].entered(now, stream, entry);
        true
    }

    fn enter(&mut self, worker: usize) {
        let who = self.workers[worker].who.clone();
        let tries = !self.calm && self.rng.chance(who.manners.tries);
        let replace_former = self.workers[worker].died && who.manners.replaces;
        if replace_former {
            self.reach("entered in the place of its former self");
        }
        let attempt = Attempt::new(&format!("a{}", self.new_id())).expect("the name is fair");
        let attempt = who.manners.attempts.then_some(attempt);
        let entry = Entry {
            election: who.election,
            candidate: who.name,
            subject: Subject::anonymous(),
            pod: None,
            ttl: who.manners.ttl,
            value: Value::new("").expect("it is short"),
            no_wait: tries && self.rng.chance(500),
            max_wait: if tries { Some(self.rng.millis(0, 5000)) } else { None },
            replace_former: if replace_former { Replace::All } else { Replace::Nobody },
            attempt,
            hold: who.manners.hold,
        };
        let life = self.workers[worker].life;
        let stream = self.open(Some((worker, life)), Ok(entry.clone()));
        self.workers[worker].died = false;
        self.workers[worker].entered(self.now, stream, entry);
    }
}
