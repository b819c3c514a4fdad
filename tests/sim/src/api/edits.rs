//! What people and other tools do to the API server and to the Lease.

use super::Way;
use crate::checks::Violation;
use crate::plan::Fault;
use crate::server::Server;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Content, Holder, Lease, Millis};

/// Who holds the Lease when somebody has set another holder by hand.
pub(crate) const OTHER_HOLDER: &str = "somebody";

impl World {
    /// The API server fails.
    pub(crate) fn api_fault(&mut self, fault: Fault) {
        let at = self.pick_replica();
        let until = self.now + self.rng.millis(100, 10_000);
        match fault {
            Fault::ApiCut => {
                self.reach("replica cut off from the API server");
                let way = self.rng.pick(&[Way::Requests, Way::Answers, Way::Both, Way::Both]);
                let now = self.now;
                self.api.cuts.retain(|(_, _, until)| *until > now);
                self.api.cuts.push((at, way, until));
            }
            Fault::ApiOutage => {
                self.reach("API server down");
                self.api.outage_until = until;
            }
            Fault::ApiErrors => {
                self.reach("API server answers with errors");
                self.api.errors_until = until;
            }
            Fault::ApiHangs => {
                self.reach("API server hung");
                self.api.hangs_until = until;
            }
            Fault::ApiSlow => {
                self.reach("API server slow");
                self.api.slow_until = until;
            }
            Fault::WatchCut => self.break_watch(at),
            _ => {
                self.reach("watch fell behind");
                let behind = self.servers[at].watch_lag == Millis(0);
                self.servers[at].watch_lag = if behind { self.rng.millis(100, 5000) } else { Millis(0) };
                if self.rng.chance(500) {
                    self.break_watch(at);
                }
            }
        }
    }

    /// Somebody changes the Lease.
    pub(crate) fn lease_fault(&mut self, fault: Fault) -> Result<(), Violation> {
        let Some(Lease { mut content, .. }) = self.api.lease.clone() else { return Ok(()) };
        match fault {
            Fault::LeaseDeleted => {
                if self.rng.chance(400) {
                    self.will_be_deleted_again();
                }
                return self.delete_lease();
            }
            Fault::LeaseRestored => return self.restore(),
            Fault::LeaseEmptied => {
                self.reach("Lease emptied");
                content.holder = None;
            }
            Fault::LeaseStripped => {
                self.reach("annotations stripped");
                self.api.restored = false;
                content.signed = None;
                if self.rng.chance(500) {
                    content = Content::default();
                }
            }
            Fault::OtherHolder => {
                self.reach("another holder set");
                content.holder = Some(Holder(OTHER_HOLDER.to_owned()));
            }
            Fault::DurationChanged => {
                self.reach("duration changed");
                content.duration = self.rng.pick(&[None, Some(Millis(1000)), Some(Millis(9000))]);
            }
            _ => self.reach("Lease labelled"),
        }
        self.edit(Some(content))
    }

    pub(crate) fn delete_lease(&mut self) -> Result<(), Violation> {
        self.reach("Lease deleted");
        self.api.restored = false;
        self.edit(None)
    }

    /// A standby makes it while the active replica is away, which then repairs it; then it is gone
    /// once more. Who isn't told of each change sees twice the same.
    fn will_be_deleted_again(&mut self) {
        let away = self.rng.millis(100, 1500);
        if let Some(at) = self.active() {
            self.api.cuts.push((at, Way::Both, self.now + away));
        }
        self.api.deletions = self.rng.between(1, 3);
        self.deafen_one();
    }

    /// A replica hears of what happens now, and then nothing for a while.
    fn deafen_one(&mut self) {
        let (deaf, soon) = (self.rng.index(self.servers.len()), self.rng.millis(0, 200));
        self.after(soon, Event::WatchBreaks(self.proc(deaf)));
    }

    /// A Lease that was gone, or said nothing, has a replica's words again.
    pub(super) fn repaired(&mut self) {
        if self.api.deletions > 0 {
            self.api.deletions -= 1;
            let soon = self.rng.millis(1, 400);
            self.after(soon, Event::DeletedAgain);
        }
    }

    /// Perhaps the active replica can't make it again.
    pub(crate) fn delete_again(&mut self) -> Result<(), Violation> {
        if self.calm || self.api.lease.is_none() {
            return Ok(());
        }
        self.reach("Lease deleted again");
        if let Some(at) = self.active().filter(|_| self.rng.chance(600)) {
            let until = self.now + self.rng.millis(500, 8000);
            self.api.cuts.push((at, Way::Both, until));
        }
        self.deafen_one();
        self.delete_lease()
    }

    fn edit(&mut self, content: Option<Content>) -> Result<(), Violation> {
        self.put_lease(content);
        self.note(0, &Fact::Edited)
    }

    /// An older Lease comes back, from a manifest or with etcd from a backup. Only what is
    /// promised: all that live have seen later ones of the newest tenure, and there wasn't another
    /// one within a lease duration.
    fn restore(&mut self) -> Result<(), Violation> {
        let Some(newest) = self.checks.truth.last_written() else { return Ok(()) };
        let apart = Millis(2 * self.plan.longest_duration().0 + 1000);
        let too_soon = self.api.restored_at.is_some_and(|at| self.now.since(at) < apart);
        let index = self.rng.index(self.api.states.len());
        let any = self.api.states[index].clone();
        let ends = |lease: &&Option<Lease>| lease.as_ref().is_some_and(|lease| lease.content.released().is_some());
        let release = self.api.states.iter().rev().find(ends).cloned();
        let Some(Lease { content, .. }) = release.filter(|_| self.rng.chance(300)).unwrap_or(any) else {
            return Ok(());
        };
        let Some(signed) = &content.signed else { return Ok(()) };
        let old = (signed.record.tenure, signed.record.renewed_at);
        let mut alive = self.servers.iter().filter(|server| server.up).peekable();
        let one_stays = alive.clone().any(|server| !server.stopping);
        let all_know = alive.peek().is_some() && alive.all(|server| server.knows > old && server.knows.0 == newest);
        if too_soon || !all_know || !one_stays {
            return Ok(());
        }
        self.reach(if content.released().is_some() { "old release restored" } else { "older Lease restored" });
        (self.api.restored, self.api.restored_at) = (true, Some(self.now));
        if self.plan.naive_may_start() && self.rng.chance(600) {
            self.leave_it_to_the_naive();
        } else if let Some(active) = self.active().filter(|_| self.rng.chance(500)) {
            // It repairs that late, and others are first to see it.
            self.break_watch(active);
        }
        self.edit(Some(content))
    }

    /// Whoever would repair it dies, others hear of it late, and somebody starts who knows nothing.
    fn leave_it_to_the_naive(&mut self) {
        for at in 0..self.servers.len() {
            self.break_watch(at);
        }
        if let Some(active) = self.active() {
            let soon = self.rng.millis(0, 100);
            self.after(soon, Event::Kill(self.proc(active)));
        }
    }

    /// Whether this replica may die: as long as an older Lease or record stands there, somebody has
    /// to live who knows better.
    pub(crate) fn may_die(&self, at: usize) -> bool {
        if self.plan.replicas == 0 {
            return !self.store.restored;
        }
        let others = self.servers.iter().enumerate().filter(|(other, _)| *other != at);
        let newest = self.checks.truth.last_written().unwrap_or_default();
        let stands = self.api.lease.as_ref().and_then(|lease| lease.content.signed.as_ref());
        let stands = stands.map(|signed| (signed.record.tenure, signed.record.renewed_at)).unwrap_or_default();
        let knows_better = |server: &Server| server.knows > stands && server.knows.0 >= newest;
        let stays = |server: &Server| server.up && !server.stopping && knows_better(server);
        let staying = others.filter(|(_, server)| stays(server)).count();
        !self.api.restored || staying > 0
    }
}
