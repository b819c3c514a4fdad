//! What kind of world a seed makes: how many workers of which manners, how often what goes wrong.

use crate::rng::Rng;
use leasehold_core::{CandidateName, Config, ElectionName, Limits, Millis};

/// The kinds of faults. A world has a few of them, so that rare ones aren't drowned by frequent ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; what was being written is stored or isn't.
    Crash,
    /// SIGTERM.
    Shutdown,
    /// SIGSTOP, later SIGCONT.
    Pause,
    StoreHangs,
    StoreFails,
    StoreSlow,
    /// The record is removed while no process runs.
    StoreLost,
    /// An older record is put back while a process runs that has seen the later one.
    StoreRestored,
    StreamsCut,
    Partition,
    WorkerCrash,
    WorkerPause,
    StepDown,
    Replay,
    WallClock,
}

pub(crate) const FAULTS: [Fault; 15] = [
    Fault::Crash,
    Fault::Shutdown,
    Fault::Pause,
    Fault::StoreHangs,
    Fault::StoreFails,
    Fault::StoreSlow,
    Fault::StoreLost,
    Fault::StoreRestored,
    Fault::StreamsCut,
    Fault::Partition,
    Fault::WorkerCrash,
    Fault::WorkerPause,
    Fault::StepDown,
    Fault::Replay,
    Fault::WallClock,
];

/// How a worker behaves. All are honest: they differ in what the rules leave open.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// `None`: stream-bound.
    pub(crate) ttl: Option<Millis>,
    /// Its clock counts so many microseconds a second: within 5 % of the server's.
    pub(crate) rate: u64,
    /// Between two looks at its candidacy.
    pub(crate) interval: Millis,
    /// How long it waits for an answer.
    pub(crate) patience: Millis,
    /// Gives up a lead whose deadline has passed, rather than ask whether it still leads.
    pub(crate) gives_up: bool,
    /// Never keeps a stream open: polls with KeepAlive.
    pub(crate) polls: bool,
    /// Resigns when it is told to hand over, rather than use its time up.
    pub(crate) obliging: bool,
    /// Says that its former self is dead when it starts again after a crash.
    pub(crate) replaces: bool,
    /// How often it leaves by itself, in a thousand looks.
    pub(crate) leaves: u64,
    /// How often it is only a try, in a thousand.
    pub(crate) tries: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: CandidateName,
    pub(crate) election: ElectionName,
    pub(crate) manners: Manners,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) max_ttl: Millis,
    /// Whether each process has a `max_ttl` of its own.
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
}

impl Plan {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let max_ttl = if rng.chance(700) { rng.millis(1000, 6000) } else { Millis(15_000) };
        let elections: Vec<_> =
            (0..rng.between(1, 4)).map(|n| ElectionName::new(&format!("e{n}")).expect("the name is fair")).collect();
        let count = rng.between(2, 20);
        let candidates = (0..count).map(|n| candidate(rng, n, &elections, max_ttl)).collect();
        // The loss of a record with mixed settings is outside the promise: only the record knows the longest TTL.
        let mixed_settings = rng.chance(200);
        let mut faults: Vec<_> = FAULTS.into_iter().filter(|_| rng.chance(550)).collect();
        faults.retain(|fault| *fault != Fault::StoreLost || !mixed_settings);
        if faults.is_empty() {
            faults.push(Fault::Crash);
        }
        let (lost, late) = if rng.chance(300) { (0, 0) } else { (rng.between(0, 100), rng.between(0, 100)) };
        Self {
            max_ttl,
            mixed_settings,
            elections,
            candidates,
            observers: rng.index(4),
            safety: rng.millis(30_000, 120_000),
            fault_every: rng.millis(200, 6000),
            faults,
            lost,
            late,
        }
    }

    /// The settings of the next process.
    pub(crate) fn config(&self, rng: &mut Rng) -> Config {
        let max_ttl = if self.mixed_settings && rng.chance(500) { rng.millis(1000, 8000) } else { self.max_ttl };
        Config { limits: Limits::default(), ..Config::embedded(max_ttl) }
    }
}

fn candidate(rng: &mut Rng, number: u64, elections: &[ElectionName], max_ttl: Millis) -> Candidate {
    let ttl = rng.chance(850).then(|| if rng.chance(500) { max_ttl } else { rng.millis(1000, max_ttl.0) });
    let base = ttl.unwrap_or(Millis(4000)).0;
    Candidate {
        name: CandidateName::new(&format!("w{number}")).expect("the name is fair"),
        election: elections[rng.index(elections.len())].clone(),
        manners: Manners {
            ttl,
            rate: if rng.chance(400) { rng.pick(&[952_381, 1_050_000]) } else { rng.between(952_381, 1_050_000) },
            interval: Millis(if rng.chance(800) { base / 3 } else { rng.between(base / 6, base * 5 / 6) }),
            patience: Millis(rng.between(base / 3, base * 2)),
            gives_up: rng.chance(500),
            polls: rng.chance(200),
            obliging: rng.chance(500),
            replaces: rng.chance(500),
            leaves: if rng.chance(400) { 0 } else { rng.between(1, 300) },
            tries: if rng.chance(700) { 0 } else { rng.between(1, 500) },
        },
    }
}
