//! The runbook for a restored cluster: all replicas are stopped, the Lease is deleted, and replicas
//! start again. Here the one whose clock is behind the most starts first, so that numbers fall.

use crate::checks::Violation;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::Millis;

impl World {
    /// Somebody begins to follow the runbook.
    pub(crate) fn follow_the_runbook(&mut self) -> Result<(), Violation> {
        if self.runbook {
            return Ok(());
        }
        self.reach("runbook followed");
        self.runbook = true;
        for at in 0..self.servers.len() {
            self.resume_process(at)?;
            self.shut_down(self.proc(at))?;
        }
        self.after(Millis(300), Event::AllStopped);
        Ok(())
    }

    /// Once no process runs the Lease is deleted, and replicas start.
    pub(crate) fn all_stopped(&mut self) -> Result<(), Violation> {
        if self.servers.iter().any(|server| server.up) {
            for at in 0..self.servers.len() {
                self.resume_process(at)?;
                self.shut_down(self.proc(at))?;
            }
            self.after(Millis(300), Event::AllStopped);
            return Ok(());
        }
        self.delete_lease()?;
        self.note(0, &Fact::Fell)?;
        self.runbook = false;
        let mut order: Vec<_> = (0..self.servers.len()).collect();
        order.sort_by_key(|at| self.clock_floor(*at));
        let mut pause = Millis(0);
        let slow = if self.rng.chance(500) { 500 } else { 5000 };
        for at in order {
            self.after(pause, Event::Start { at });
            pause = pause + self.rng.millis(10, slow);
        }
        if self.calm {
            let back = self.now + pause + self.settled_within() + Millis(5000);
            self.at(back, Event::BackDue);
            self.promises_fall_due(pause);
        }
        Ok(())
    }

    /// A lease duration and the longest TTL, by the slowest clock.
    fn settled_within(&self) -> Millis {
        self.plan.longest_duration().with_drift() + self.plan.longest_ttl().with_drift().with_drift()
    }
}
