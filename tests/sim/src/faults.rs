//! What goes wrong, and the end of it.

use crate::checks::Violation;
use crate::plan::Fault;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Ask, Found, Input, Millis, Ticket, Time, Value};

impl World {
    /// Makes a fault, and plans the next one.
    pub(crate) fn fault(&mut self) -> Result<(), Violation> {
        if self.calm {
            return Ok(());
        }
        let mean = self.plan.fault_every.0;
        let pause = self.rng.millis(1, 2 * mean);
        self.after(pause, Event::Fault);
        let fault = self.plan.faults[self.rng.index(self.plan.faults.len())];
        self.trace(|| format!("fault: {fault:?}"));
        match fault {
            Fault::Crash | Fault::Shutdown | Fault::Pause => self.process_fault(fault),
            Fault::StoreHangs | Fault::StoreFails | Fault::StoreSlow => {
                self.store_fault(fault);
                Ok(())
            }
            Fault::StoreLost | Fault::StoreRestored => self.record_fault(fault),
            Fault::WallClock => {
                self.set_wall_clock();
                Ok(())
            }
            _ => self.client_fault(fault),
        }
    }

    fn process_fault(&mut self, fault: Fault) -> Result<(), Violation> {
        // Whoever has seen the later record must live until it is written again.
        let up = self.server.replica.is_some() && !self.store.restored;
        let process = self.server.process;
        match fault {
            Fault::Crash if up => self.crash(),
            Fault::Shutdown if up && !self.server.paused && !self.server.stopping => {
                self.reach("told to stop");
                self.server.stopping = true;
                self.after(Millis(5000), Event::Kill { process });
                self.tell(Input::Shutdown)
            }
            Fault::Pause if self.server.replica.is_some() && !self.server.paused => {
                self.reach("paused");
                self.server.paused = true;
                let pause = self.rng.millis(50, 8000);
                self.after(pause, Event::Resume { process });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn store_fault(&mut self, fault: Fault) {
        let until = |time: Millis, now: Time| now + time;
        let time = self.rng.millis(100, 10_000);
        match fault {
            Fault::StoreHangs => {
                self.reach("store hung");
                self.store.hangs_until = until(time, self.now);
            }
            Fault::StoreFails => {
                self.reach("store failed");
                self.store.fails_until = until(time, self.now);
            }
            _ => {
                self.reach("store slow");
                self.store.slow_until = until(time, self.now);
            }
        }
    }

    fn record_fault(&mut self, fault: Fault) -> Result<(), Violation> {
        let up = self.server.replica.is_some() && !self.server.stopping;
        let found = match fault {
            Fault::StoreLost if !up && self.store.found != Found::Fresh => {
                self.reach("record lost");
                // Only the clock still tells which numbers were used; it must have moved on.
                self.store.wall_clock += 100_000;
                Found::Lost
            }
            Fault::StoreRestored if up && self.server.has_read => {
                let index = self.rng.index(self.store.versions.len());
                let old = self.store.versions[index].clone();
                let newest = self.store.versions.last() == Some(&old) && !self.server.was_active;
                if newest || !matches!(old, Found::Record(_)) {
                    return Ok(());
                }
                self.reach("older record restored");
                self.store.restored = true;
                old
            }
            _ => return Ok(()),
        };
        self.store.found = found.clone();
        self.note(&Fact::Stored { found: &found, by_fault: true })
    }

    fn set_wall_clock(&mut self) {
        self.reach("wall clock set");
        let may_go_back = !self.plan.faults.contains(&Fault::StoreLost);
        let least = if may_go_back { 0 } else { self.store.wall_clock };
        self.store.wall_clock = self.rng.between(least, self.store.wall_clock + 100);
    }

    fn client_fault(&mut self, fault: Fault) -> Result<(), Violation> {
        let worker = self.rng.index(self.workers.len());
        match fault {
            Fault::StreamsCut => {
                self.reach("stream cut");
                for stream in self.streams_of(worker) {
                    self.cut(stream);
                }
            }
            Fault::Partition => self.part(worker),
            Fault::WorkerCrash => {
                self.reach("worker crashed");
                self.worker_crashes(worker)?;
            }
            Fault::WorkerPause => self.pause_worker(worker),
            Fault::StepDown => {
                self.reach("step-down asked for");
                let election = self.plan.elections[self.rng.index(self.plan.elections.len())].clone();
                self.call(None, Ask::StepDown(election, None));
            }
            Fault::Replay => self.replay(),
            _ => {}
        }
        Ok(())
    }

    /// Nothing that the worker sends arrives, and nothing reaches it.
    fn part(&mut self, worker: usize) {
        self.reach("worker parted from the server");
        let until = self.now + self.rng.millis(500, 20_000);
        self.network.apart.insert(worker, until);
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

    /// What brings the server down may cut off its leaders as well: then the next tenure doesn't hear of them.
    pub(crate) fn cut_off_a_leader(&mut self) {
        let leaders: Vec<_> = (0..self.workers.len()).filter(|n| self.workers[*n].lead(self.now).is_some()).collect();
        if self.calm || leaders.is_empty() || self.rng.chance(600) {
            return;
        }
        let worker = leaders[self.rng.index(leaders.len())];
        if self.plan.faults.contains(&Fault::Partition) {
            self.part(worker);
        } else if self.plan.faults.contains(&Fault::WorkerPause) {
            self.pause_worker(worker);
        }
    }

    /// Somebody sends tickets again, among them ones that a worker has long replaced; nobody hears the answers.
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
            let ticket = if self.rng.chance(500) { leaders.or(any) } else { any };
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

    /// From here on all is well; then every election has a leader soon.
    pub(crate) fn faults_end(&mut self) -> Result<(), Violation> {
        self.calm = true;
        (self.store.hangs_until, self.store.fails_until, self.store.slow_until) = (self.now, self.now, self.now);
        // What is said on the streams of those that were parted may come much later still.
        for (worker, _) in std::mem::take(&mut self.network.apart) {
            self.streams_of(worker).into_iter().for_each(|stream| self.cut(stream));
        }
        self.resume_process()?;
        self.after(Millis(0), Event::Start);
        for worker in 0..self.workers.len() {
            let life = self.workers[worker].life;
            self.worker_resumes(worker, life)?;
            self.worker_starts(worker)?;
        }
        let longest = if self.plan.mixed_settings { self.plan.max_ttl.max(Millis(8000)) } else { self.plan.max_ttl };
        // Messages that were late are still on their way, and a process that was told to stop takes its time.
        let due = self.now + Millis(8000) + Millis(3000) + longest.with_drift();
        self.at(due, Event::ProgressDue);
        self.at(due + longest.with_drift() + Millis(5000), Event::TheEnd);
        Ok(())
    }
}
