//! Workers that crash or stand still, streams that break, partitions, operators, and tickets that
//! are sent again.

use crate::checks::Violation;
use crate::network::Party;
use crate::plan::Fault;
use crate::world::{Event, World};
use leasehold_core::{Ask, Ticket, Value};

impl World {
    pub(super) fn client_fault(&mut self, fault: Fault) -> Result<(), Violation> {
        let worker = self.rng.index(self.workers.len());
        match fault {
            Fault::StreamsCut => {
                self.reach("stream cut");
                for stream in self.streams_of(worker) {
                    self.cut(stream);
                }
            }
            Fault::Partition => self.partition(worker),
            Fault::WorkerCrash => {
                self.reach("worker crashed");
                self.worker_crashes(worker)?;
            }
            Fault::WorkerPause => self.pause_worker(worker),
            Fault::StepDown => self.ask_to_step_down(),
            Fault::Replay => self.replay(),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn ask_to_step_down(&mut self) {
        self.reach("step-down asked for");
        let election = self.plan.elections[self.rng.index(self.plan.elections.len())].clone();
        self.call(None, Ask::StepDown(election, None));
    }

    /// Parts two from each other, or one from all replicas.
    fn partition(&mut self, worker: usize) {
        let (kind, one_way) = (self.rng.between(0, 9), self.rng.chance(400));
        let until = self.now + self.rng.millis(500, 20_000);
        let (one, other) = (self.pick_replica(), self.rng.index(self.servers.len()));
        match kind {
            0..=3 => self.part_worker(worker),
            4..=6 => {
                self.reach(if one_way { "parted one way" } else { "parted both ways" });
                let (worker, home) = (Party::Worker(worker), Party::Replica(self.workers[worker].home));
                let (from, to) = if self.rng.chance(500) { (worker, home) } else { (home, worker) };
                self.part(from, to, until, one_way);
            }
            7..=8 if one != other => {
                self.reach(if one_way { "replicas parted one way" } else { "replicas parted both ways" });
                self.part(Party::Replica(one), Party::Replica(other), until, one_way);
            }
            7..=8 => {}
            _ => {
                self.reach("replica parted from all but the API server");
                let workers = (0..self.workers.len()).map(Party::Worker);
                let replicas = (0..self.servers.len()).filter(|at| *at != one).map(Party::Replica);
                for party in workers.chain(replicas).collect::<Vec<_>>() {
                    self.part(Party::Replica(one), party, until, one_way);
                }
            }
        }
    }

    /// Nothing that the worker sends arrives, and nothing reaches it.
    fn part_worker(&mut self, worker: usize) {
        self.reach("worker parted from the server");
        let until = self.now + self.rng.millis(500, 20_000);
        for at in 0..self.servers.len() {
            self.part(Party::Worker(worker), Party::Replica(at), until, false);
        }
        for stream in self.streams_of(worker) {
            if self.rng.chance(500) {
                self.cut(stream);
            }
        }
    }

    fn pause_worker(&mut self, worker: usize) {
        if !self.workers[worker].up || self.workers[worker].paused {
            return;
        }
        self.reach("worker paused");
        self.workers[worker].paused = true;
        let life = self.workers[worker].life;
        let pause = self.rng.millis(100, 20_000);
        self.after(pause, Event::WorkerResumes { worker, life });
    }

    /// What brings a server down may cut off its leaders as well: then the next tenure doesn't hear
    /// of them.
    pub(crate) fn cut_off_a_leader(&mut self) {
        let leaders: Vec<_> = (0..self.workers.len()).filter(|n| self.workers[*n].lead(self.now).is_some()).collect();
        if self.calm || leaders.is_empty() || self.rng.chance(600) {
            return;
        }
        let worker = leaders[self.rng.index(leaders.len())];
        if self.plan.faults.contains(&Fault::Partition) {
            self.part_worker(worker);
        } else if self.plan.faults.contains(&Fault::WorkerPause) {
            self.pause_worker(worker);
        }
    }

    /// Somebody sends tickets again, among them ones that a worker has long replaced; nobody hears
    /// the answers.
    pub(crate) fn replay(&mut self) {
        for _ in 0..self.rng.between(1, 6) {
            if self.tickets.is_empty() {
                return;
            }
            self.reach("old ticket replayed");
            let newest = if self.rng.chance(800) { self.tickets.len().min(200) } else { self.tickets.len() };
            let back = self.rng.index(newest);
            let mut candidates = self.tickets.iter().rev().skip(back);
            let any = candidates.clone().next().cloned();
            let leaders = candidates.find(|ticket| ticket.token.is_some()).cloned();
            // From when that one waited.
            let before = leaders.as_ref().and_then(|leader| {
                let older = |ticket: &&Ticket| ticket.enrolment == leader.enrolment && ticket.token.is_none();
                self.tickets.iter().rev().find(older).cloned()
            });
            let ticket = match self.rng.between(0, 9) {
                0..=3 => leaders.or(any),
                4..=6 => before.or(any),
                _ => any,
            };
            if let Some(ticket) = ticket {
                self.replay_ticket(ticket);
            }
        }
    }

    fn replay_ticket(&mut self, ticket: Ticket) {
        match self.rng.between(0, 9) {
            0..=6 => {
                self.call(None, Ask::KeepAlive(vec![ticket]));
            }
            7..=8 => {
                let stream = self.open(None, Err(ticket));
                self.cut(stream);
            }
            _ => {
                self.call(None, Ask::Proclaim(ticket, Value::new("again").expect("it is short")));
            }
        }
    }
}
