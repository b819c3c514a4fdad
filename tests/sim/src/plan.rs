//! What kind of world a seed makes: a file or a Lease, how many workers of which manners, how often
//! what goes wrong.

mod candidate;
mod fault;

use crate::clock::{FASTEST, SLOWEST, TRUE_RATE};
use crate::rng::Rng;
pub(crate) use candidate::{Candidate, Reads};
pub(crate) use fault::Fault;
use fault::{CLIENT_FAULTS, FILE_FAULTS, LEASE_FAULTS, OF_DELETING, OF_RESTORING, OF_THE_RUNBOOK, OF_TICKETS};
use leasehold_core::{Config, ElectionName, Holder, Limits, Millis, Store};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// 0: one process with a file. Otherwise so many replicas with a Lease.
    pub(crate) replicas: usize,
    pub(crate) max_ttl: Millis,
    /// Whether each process has settings of its own.
    pub(crate) mixed_settings: bool,
    pub(crate) elections: Vec<ElectionName>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) observers: usize,
    pub(crate) safety: Millis,
    /// The mean time between two faults.
    pub(crate) fault_every: Millis,
    pub(crate) faults: Vec<Fault>,
    /// Of a thousand messages, so many are lost, and so many come very late.
    pub(crate) lost: u64,
    pub(crate) late: u64,
    /// Of a thousand calls that a standby forwards, so many are held up.
    pub(crate) held: u64,
    /// Of a thousand requests to the API server, so many are applied late, and of so many the
    /// answer is lost.
    pub(crate) api_late: u64,
    pub(crate) api_lost: u64,
    /// Of a thousand batches for a mirror, so many don't fit into its buffer.
    pub(crate) gaps: u64,
    /// Whether wall clocks are an hour apart and are set anyhow; if not, they agree, and only go
    /// forward.
    pub(crate) wild_clocks: bool,
    timing: Timing,
}

/// How long the right to be active lasts, and what goes with it.
#[derive(Clone, Copy, Debug)]
struct Timing {
    duration: Millis,
    renew_interval: Millis,
    margin: Millis,
    request_timeout: Millis,
}

impl Plan {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let replicas = if rng.chance(300) { 0 } else { rng.pick(&[1, 2, 2, 2, 3, 3, 3, 4, 5]) };
        let max_ttl = if rng.chance(700) { rng.millis(1000, 6000) } else { Millis(15_000) };
        let elections: Vec<_> =
            (0..rng.between(1, 4)).map(|n| ElectionName::new(&format!("e{n}")).expect("the name is fair")).collect();
        let count = if rng.chance(60) { rng.between(20, 50) } else { rng.between(2, 20) };
        // A file is on the machine whose clock counts; with a Lease no clock is the right one.
        let rates = if replicas == 0 { (952_381, 1_050_000) } else { (SLOWEST, FASTEST) };
        let candidates = (0..count).map(|n| Candidate::new(rng, n, &elections, max_ttl, rates)).collect();
        let mut faults = faults(rng, replicas);
        let restoring = faults == OF_RESTORING;
        let mixed_settings = !restoring && faults != OF_THE_RUNBOOK && rng.chance(250);
        // What loses the record loses the longest TTL and the longest duration: with mixed settings
        // that is outside the promise.
        faults.retain(|fault| !mixed_settings || !fault.loses_the_record());
        if faults.is_empty() {
            faults.push(Fault::Crash);
        }
        let quiet = rng.chance(300);
        let mut some = |most: u64| if quiet || rng.chance(500) { 0 } else { rng.between(1, most) };
        let (held, api_late, api_lost) = (some(200), some(40), some(60));
        let (api_late, api_lost) = if restoring { (0, 0) } else { (api_late, api_lost) };
        let gaps = if faults.contains(&Fault::MirrorCut) { some(60) } else { 0 };
        let (lost, late) = if quiet { (0, 0) } else { (rng.between(0, 100), rng.between(0, 100)) };
        Self {
            replicas,
            max_ttl,
            mixed_settings,
            elections,
            candidates,
            observers: rng.index(4),
            safety: rng.millis(30_000, 120_000),
            fault_every: if replicas == 0 { rng.millis(200, 6000) } else { rng.millis(300, 9000) },
            wild_clocks: !faults.iter().any(|fault| fault.loses_the_record()),
            faults,
            lost,
            late,
            held,
            api_late,
            api_lost,
            gaps,
            timing: Timing::new(rng),
        }
    }

    /// What there is in this world, for whoever reads of a failure.
    pub(crate) fn words(&self) -> String {
        let replicas = match self.replicas {
            0 => "one process with a file".to_owned(),
            1 => "one replica with a Lease".to_owned(),
            more => format!("{more} replicas with a Lease"),
        };
        let (workers, elections, faults) = (self.candidates.len(), self.elections.len(), &self.faults);
        format!(
            "{replicas}, workers: {workers}, elections: {elections}, longest TTL: {}, faults: {faults:?}",
            self.max_ttl
        )
    }

    /// Whether a process may start that has seen nothing of what a restored Lease hides. One that
    /// has will have stripped it by the time that the new one may take it over: if it reaches the
    /// API server, and if the annotations tell nothing that is needed.
    pub(crate) fn naive_may_start(&self) -> bool {
        let reached =
            self.api_late == 0 && self.api_lost == 0 && !self.faults.iter().any(|fault| fault.keeps_from_the_api());
        reached && !self.mixed_settings && !self.wild_clocks
    }

    /// The settings of the next process.
    pub(crate) fn config(&self, rng: &mut Rng, me: &str) -> Config {
        let mixed = self.mixed_settings && rng.chance(500);
        let max_ttl = if mixed { rng.millis(1000, 8000) } else { self.max_ttl };
        let limits = Limits::default();
        if self.replicas == 0 {
            return Config { limits, ..Config::embedded(max_ttl) };
        }
        let timing = if mixed { Timing::new(rng) } else { self.timing };
        Config {
            duration: timing.duration,
            renew_interval: timing.renew_interval,
            margin: timing.margin,
            max_ttl,
            limits,
            store: Store::Lease { me: Holder(me.to_owned()), request_timeout: timing.request_timeout },
        }
    }

    /// How fast the clock of the next process runs.
    pub(crate) fn rate(&self, rng: &mut Rng) -> u64 {
        match self.replicas {
            0 => TRUE_RATE,
            _ if rng.chance(400) => rng.pick(&[SLOWEST, FASTEST]),
            _ => rng.between(SLOWEST, FASTEST),
        }
    }

    /// The longest TTL of any process.
    pub(crate) fn longest_ttl(&self) -> Millis {
        if self.mixed_settings { self.max_ttl.max(Millis(8000)) } else { self.max_ttl }
    }

    /// How often the right is renewed, at most.
    pub(crate) fn shortest_renew_interval(&self) -> Millis {
        match self.replicas {
            0 => Millis(1000),
            _ if self.mixed_settings => SHORTEST_RENEW_INTERVAL,
            _ => self.timing.renew_interval,
        }
    }

    /// The longest time for which the right to be active lasts.
    pub(crate) fn longest_duration(&self) -> Millis {
        match self.replicas {
            0 => Millis(3000),
            _ if self.mixed_settings => LONGEST_DURATION,
            _ => Millis(self.timing.duration.0.div_ceil(1000) * 1000),
        }
    }
}

const LONGEST_DURATION: Millis = Millis(8000);
const SHORTEST_DURATION: Millis = Millis(2000);
const SHORTEST_RENEW_INTERVAL: Millis = Millis(SHORTEST_DURATION.0 * 7 / 8 / 6);

impl Timing {
    /// Settings that are just about valid, or the usual ones.
    fn new(rng: &mut Rng) -> Self {
        if rng.chance(200) {
            return Self {
                duration: LONGEST_DURATION,
                renew_interval: Millis(2000),
                margin: Millis(1000),
                request_timeout: Millis(1500),
            };
        }
        let duration = rng.millis(SHORTEST_DURATION.0, 5000);
        let margin = Millis(if rng.chance(600) { duration.0.div_ceil(20) } else { duration.0 / 8 });
        let left = duration.0 - margin.0;
        let renew_interval = rng.millis(left / 6, left / 2 - 1);
        let request_timeout = rng.millis(100, ((left - renew_interval.0) / 2).max(101) - 1);
        Self { duration, renew_interval, margin, request_timeout }
    }
}

/// A world has a few kinds of faults, so that rare ones aren't drowned by frequent ones.
fn faults(rng: &mut Rng, replicas: usize) -> Vec<Fault> {
    if replicas > 1 && rng.chance(120) {
        return rng.pick(&[OF_RESTORING, OF_DELETING, OF_THE_RUNBOOK]).to_vec();
    }
    if rng.chance(80) {
        return OF_TICKETS.to_vec();
    }
    let of_the_store = if replicas == 0 { FILE_FAULTS } else { LEASE_FAULTS };
    let share = if replicas == 0 { 550 } else { rng.pick(&[150, 300, 450]) };
    let all = of_the_store.iter().chain(CLIENT_FAULTS);
    all.filter(|_| rng.chance(share)).copied().collect()
}
