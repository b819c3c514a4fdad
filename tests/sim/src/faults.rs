//! What goes wrong, and the end of it.

mod clients;
mod processes;
mod records;
mod runbook;

use crate::checks::Violation;
use crate::plan::Fault;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::Millis;

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
            Fault::Crash | Fault::Shutdown | Fault::Rolling | Fault::Pause | Fault::Suspend => {
                self.process_fault(fault)
            }
            Fault::StoreHangs | Fault::StoreFails | Fault::StoreSlow | Fault::StoreFull => {
                self.store_fault(fault);
                Ok(())
            }
            Fault::StoreLost | Fault::StoreRestored => self.record_fault(fault),
            Fault::ApiCut
            | Fault::ApiOutage
            | Fault::ApiErrors
            | Fault::ApiHangs
            | Fault::ApiSlow
            | Fault::WatchCut
            | Fault::WatchStale => {
                self.api_fault(fault);
                Ok(())
            }
            Fault::LeaseDeleted
            | Fault::LeaseEmptied
            | Fault::LeaseStripped
            | Fault::OtherHolder
            | Fault::DurationChanged
            | Fault::Labelled
            | Fault::LeaseRestored => self.lease_fault(fault),
            Fault::Runbook => self.follow_the_runbook(),
            Fault::MirrorCut => {
                self.cut_a_mirror();
                Ok(())
            }
            Fault::WallClock => {
                self.set_wall_clock();
                Ok(())
            }
            Fault::StreamsCut
            | Fault::Partition
            | Fault::WorkerCrash
            | Fault::WorkerPause
            | Fault::StepDown
            | Fault::Replay => self.client_fault(fault),
        }
    }

    /// From here on all is well; then every election has a leader soon.
    pub(crate) fn faults_end(&mut self) -> Result<(), Violation> {
        self.calm = true;
        self.note(0, &Fact::FaultsEnded { renew_interval: self.plan.shortest_renew_interval() })?;
        (self.store.hangs_until, self.store.fails_until, self.store.slow_until) = (self.now, self.now, self.now);
        self.store.full_until = self.now;
        self.api.recover();
        self.heal();
        for at in 0..self.servers.len() {
            self.servers[at].watch_lag = Millis(0);
            self.resume_process(at)?;
            self.after(Millis(0), Event::Start { at });
        }
        for worker in 0..self.workers.len() {
            let life = self.workers[worker].life;
            self.worker_resumes(worker, life)?;
            self.worker_starts(worker)?;
        }
        if self.plan.faults.contains(&Fault::Runbook) {
            return self.follow_the_runbook();
        }
        self.promises_fall_due(Millis(0));
        Ok(())
    }

    /// From here on all is well, and all replicas run within that time.
    fn promises_fall_due(&mut self, starting: Millis) {
        let longest = self.plan.longest_ttl();
        // Messages that were late are still on their way, and a process that was told to stop takes
        // its time.
        let mut due = self.now + starting + self.latest() + Millis(3000) + longest.with_drift();
        if self.plan.replicas > 0 {
            // By the slowest clock.
            due = due + self.plan.longest_duration().with_drift() + Millis(longest.0 / 10 + 3000);
        }
        self.at(due, Event::ProgressDue);
        self.at(due + longest.with_drift() + Millis(5000), Event::TheEnd);
    }
}
