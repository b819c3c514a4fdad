//! Watches: what happens to the Lease is told late, not at all, or again from an old point on.

use super::Way;
use crate::server::{Parcel, Proc};
use crate::world::{Event, World};
use leasehold_core::{Input, Lease, Millis};

impl World {
    /// Tells all watches of what stands there now.
    pub(super) fn tell_watches(&mut self) {
        for at in 0..self.servers.len() {
            let Some((stream, _)) = self.servers[at].watch else { continue };
            if self.api.cut(at, Way::Answers, self.now) {
                // It is noticed when the stream breaks; then it begins anew.
                self.break_watch(at);
                continue;
            }
            let lag = self.servers[at].watch_lag + self.rng.millis(1, 30);
            self.tell_watch(at, stream, self.api.lease.clone(), lag);
        }
    }

    fn tell_watch(&mut self, at: usize, stream: u64, lease: Option<Lease>, lag: Millis) {
        let Some((_, last)) = &mut self.servers[at].watch else { return };
        *last = (*last).max(self.now + lag);
        let (due, proc) = (*last, self.proc(at));
        self.at(due, Event::WatchTells { proc, stream, lease: lease.map(Box::new) });
    }

    pub(crate) fn watch_tells(
        &mut self,
        proc: Proc,
        stream: u64,
        lease: Option<Lease>,
    ) -> Result<(), crate::checks::Violation> {
        let Proc { at, life } = proc;
        if !self.is_alive(proc) || self.servers[at].watch.is_none_or(|(open, _)| open != stream) {
            return Ok(());
        }
        let input = Input::Watched { lease, clock_floor: self.clock_floor(at) };
        self.arrive(at, Parcel::Own { life, input })
    }

    pub(crate) fn break_watch(&mut self, at: usize) {
        if self.servers[at].watch.take().is_some() {
            self.reach("watch broke");
            let delay = self.rng.millis(200, 5000);
            self.after(delay, Event::WatchOpens(self.proc(at)));
        }
    }

    pub(crate) fn watch_opens(&mut self, proc: Proc) {
        let at = proc.at;
        if !self.is_alive(proc) || self.servers[at].watch.is_some() {
            return;
        }
        if self.servers[at].paused
            || self.api.cut(at, Way::Answers, self.now)
            || self.api.cut(at, Way::Requests, self.now)
        {
            self.after(Millis(700), Event::WatchOpens(proc));
            return;
        }
        let stream = self.new_id();
        self.servers[at].watch = Some((stream, self.now));
        let stale = !self.calm && self.servers[at].watch_lag > Millis(0) && self.rng.chance(500);
        let back = self.rng.index(20) + 1;
        if stale && let Some(old) = self.api.states.iter().rev().nth(back).cloned() {
            // A server that is behind the others.
            self.reach("watch began with what is long over");
            self.tell_watch(at, stream, old, Millis(10));
            let lag = self.rng.millis(50, 4000);
            self.tell_watch(at, stream, self.api.lease.clone(), lag);
        } else {
            self.tell_watch(at, stream, self.api.lease.clone(), Millis(10));
        }
    }
}
