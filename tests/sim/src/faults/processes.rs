//! Processes that crash, are told to stop, or stand still; and their wall clocks.

use crate::checks::Violation;
use crate::plan::Fault;
use crate::server::Proc;
use crate::world::{Event, World};
use leasehold_core::{ClockFloor, Input, Millis};

impl World {
    /// A replica, more often than not the active one.
    pub(crate) fn pick_replica(&mut self) -> usize {
        if self.servers.len() == 1 {
            return 0;
        }
        let any = self.rng.index(self.servers.len());
        self.active().filter(|_| self.rng.chance(600)).unwrap_or(any)
    }

    pub(super) fn process_fault(&mut self, fault: Fault) -> Result<(), Violation> {
        let at = self.pick_replica();
        // Whoever has seen the later record must live until it is written again.
        let up = self.servers[at].up && self.may_die(at);
        match fault {
            Fault::Crash if up => self.crash(at),
            Fault::Shutdown if up => self.shut_down(self.proc(at)),
            Fault::Rolling => {
                self.reach("rolling restart");
                let mut pause = Millis(0);
                for at in 0..self.servers.len() {
                    self.after(pause, Event::Shutdown(self.proc(at)));
                    pause = pause + self.rng.millis(100, 6000);
                }
                Ok(())
            }
            Fault::Pause | Fault::Suspend if self.servers[at].up && !self.servers[at].paused => {
                self.reach(if fault == Fault::Pause { "paused" } else { "suspended" });
                (self.servers[at].paused, self.servers[at].suspended) = (true, fault == Fault::Suspend);
                let pause = self.rng.millis(50, 12_000);
                self.after(pause, Event::Resume(self.proc(at)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// SIGKILL, from a supervisor that has lost its patience, or as a fault.
    pub(crate) fn kill(&mut self, at: usize) -> Result<(), Violation> {
        if self.calm && !self.servers[at].stopping { Ok(()) } else { self.crash(at) }
    }

    /// SIGTERM; and SIGKILL if it takes too long.
    pub(crate) fn shut_down(&mut self, proc: Proc) -> Result<(), Violation> {
        if !self.is_alive(proc) {
            return Ok(());
        }
        // A drain that is handed over is a rare thing otherwise.
        if self.plan.faults.contains(&Fault::StepDown) && self.rng.chance(300) {
            self.ask_to_step_down();
        }
        let delay = self.rng.millis(0, 300);
        self.after(delay, Event::Stop(proc));
        Ok(())
    }

    pub(crate) fn stop(&mut self, proc: Proc) -> Result<(), Violation> {
        let server = &self.servers[proc.at];
        if server.paused || server.stopping || !self.may_die(proc.at) {
            return Ok(());
        }
        self.reach("told to stop");
        self.servers[proc.at].stopping = true;
        self.after(Millis(5000), Event::Kill(proc));
        self.tell(proc.at, Input::Shutdown)
    }

    /// A number that this replica's wall clock vouches for: seconds times 2^20, to the millisecond.
    pub(crate) fn clock_floor(&self, at: usize) -> ClockFloor {
        if self.plan.replicas == 0 {
            return ClockFloor((self.wall_clock_ms / 1000) << 20);
        }
        ClockFloor(((self.wall_clock_ms + self.wall_ahead_ms[at] + self.now.0) << 20) / 1000)
    }

    pub(super) fn set_wall_clock(&mut self) {
        self.reach("wall clock set");
        let wild = self.plan.wild_clocks;
        if self.plan.replicas > 0 && wild {
            let at = self.rng.index(self.servers.len());
            self.wall_ahead_ms[at] = self.rng.between(0, 3_600_000);
            return;
        }
        let seconds = self.wall_clock_ms / 1000;
        let least = if wild { 0 } else { seconds };
        self.wall_clock_ms = self.rng.between(least, seconds + 100) * 1000;
    }
}
