//! The network between workers and replicas, and among replicas: it delays, drops, and parts any
//! from any.

mod calls;
mod streams;

use crate::world::World;
use leasehold_core::{CallId, Millis, StreamId, Time};
use std::collections::BTreeMap;
use streams::Pipe;

/// Somebody that sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Worker(usize),
    Replica(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pipes: BTreeMap<StreamId, Pipe>,
    calls: BTreeMap<CallId, calls::Asked>,
    /// From the first to the second nothing comes through, until then.
    apart: BTreeMap<(Party, Party), Time>,
}

impl World {
    fn delay(&mut self) -> Millis {
        if !self.calm && self.rng.chance(self.plan.late) {
            self.reach("message late");
            return self.rng.millis(200, 8000);
        }
        self.rng.millis(1, 30)
    }

    /// Between two replicas.
    pub(crate) fn hop_delay(&mut self) -> Millis {
        if !self.calm && self.rng.chance(self.plan.late) { self.rng.millis(30, 3000) } else { self.rng.millis(1, 10) }
    }

    /// Until when nothing comes through.
    pub(crate) fn parted(&self, from: Party, to: Party) -> Option<Time> {
        self.network.apart.get(&(from, to)).copied().filter(|until| *until > self.now)
    }

    fn lost(&mut self, from: Option<Party>, to: Party) -> bool {
        let parted = from.is_some_and(|from| self.parted(from, to).is_some());
        let lost = parted || (!self.calm && self.rng.chance(self.plan.lost));
        if lost {
            self.reach("message lost");
        }
        lost
    }

    /// Nothing that the one sends reaches the other until then; nor the other way, unless it is
    /// only one way.
    pub(crate) fn part(&mut self, one: Party, other: Party, until: Time, one_way: bool) {
        self.network.apart.insert((one, other), until);
        if !one_way {
            self.network.apart.insert((other, one), until);
        }
    }

    /// From here on everything comes through. What was said on the streams of those that were
    /// parted might come much later still: they break.
    pub(crate) fn heal(&mut self) {
        for (from, to) in std::mem::take(&mut self.network.apart).into_keys() {
            for party in [from, to] {
                if let Party::Worker(worker) = party {
                    self.streams_of(worker).into_iter().for_each(|stream| self.cut(stream));
                    self.late_streams_of(worker);
                }
            }
        }
    }
}
