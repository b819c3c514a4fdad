//! One seed: a world is made, things go wrong in it, then they don't any more.

use crate::api_server::{self, Etcd};
use crate::faults::{API_SERVER, Faults, Hosts};
use crate::history::{Broken, History};
use crate::observer::observe;
use crate::replica::{self, MAX_TTL_S, PORT};
use crate::worker::Worker;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use turmoil::Sim;

/// How long things go wrong.
const SAFETY: std::ops::Range<u64> = 30..90;
/// After it: longest silence of a stream that was cut without a word (45 s), backoff, lease
/// duration, and wait.
const LIVENESS: Duration = Duration::from_secs(80);
/// A shorter one may run out while a worker looks for the next replica.
const MIN_TTL_MS: u64 = 2000;
/// Of replicas, one after the other, at the end.
const RESTARTS: u64 = 2;
const BETWEEN_RESTARTS: Duration = Duration::from_secs(15);
/// Hosts run so long at a time.
const TICK: Duration = Duration::from_millis(5);
/// 2026-01-01T00:00:00Z: the wall clock at the beginning.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// What came of a seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// How often what happened.
    pub reached: BTreeMap<String, u64>,
    /// The last of what happened.
    pub lines: Vec<String>,
    /// A promise that wasn't kept.
    pub broken: Option<Broken>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64) -> Course {
    let history = Arc::new(History::default());
    if let Err(error) = World::new(seed, &history).run() {
        // A host doesn't end by itself, and nothing panics.
        history.broke("no-crash", error.to_string());
    }
    Course { reached: history.reached(), lines: history.lines(), broken: history.broken() }
}

struct World<'a> {
    sim: Sim<'a>,
    faults: Faults,
    history: Arc<History>,
    etcd: Etcd,
    elections: Vec<String>,
    observers: Vec<String>,
    replicas: usize,
    settle: Arc<AtomicBool>,
    safety: Duration,
}

impl World<'_> {
    fn new(seed: u64, history: &Arc<History>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(rng.u64(..))
            .epoch(SystemTime::UNIX_EPOCH + EPOCH)
            .simulation_duration(Duration::from_secs(3600))
            .tick_duration(TICK)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(rng.u64(2..60)))
            .tcp_capacity(4096)
            .enable_random_order();
        let mut sim = builder.build();
        let etcd = Etcd::new(rng.u64(..));
        let stored = etcd.clone();
        sim.host(API_SERVER, move || api_server::serve(stored.clone()));
        let replicas = start_replicas(&mut sim, rng.usize(1..=3));
        let elections: Vec<_> = (0..rng.usize(1..=2)).map(|number| format!("election-{number}")).collect();
        let settle = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::new();
        for number in 0..rng.usize(elections.len()..=5) {
            let worker = Worker {
                name: format!("worker-{number}"),
                election: elections[number % elections.len()].clone(),
                ttl: Duration::from_millis(rng.u64(MIN_TTL_MS..=MAX_TTL_S * 1000)),
                endpoints: endpoints(&mut rng, &replicas),
                settle: Arc::clone(&settle),
                history: Arc::clone(history),
            };
            workers.push(worker.name.clone());
            start_worker(&mut sim, worker, rng.u64(..));
        }
        let observers = vec!["observer-0".to_owned()];
        for name in &observers {
            let (name, endpoints, history) = (name.clone(), endpoints(&mut rng, &replicas), Arc::clone(history));
            sim.host(name.clone(), move || observe(name.clone(), endpoints.clone(), Arc::clone(&history)));
        }
        let safety = Duration::from_secs(rng.u64(SAFETY));
        let count = replicas.len();
        let hosts = Hosts { replicas, workers, observers: observers.clone() };
        let faults = Faults::new(rng, hosts, etcd.clone(), Arc::clone(history));
        Self { sim, faults, history: Arc::clone(history), etcd, elections, observers, replicas: count, settle, safety }
    }

    fn run(mut self) -> turmoil::Result {
        while self.sim.elapsed() < self.safety && self.history.broken().is_none() {
            self.faults.step(&mut self.sim);
            self.sim.step()?;
        }
        self.faults.end(&mut self.sim);
        self.settle.store(true, Ordering::Relaxed);
        self.history.note(self.sim.elapsed(), "faults have ended");
        self.pass(LIVENESS)?;
        self.history.settled(self.sim.elapsed(), &self.elections, &self.observers);
        self.roll()
    }

    /// Replicas are restarted in good order, which no leader notices. What is written meanwhile
    /// comes from time, and from that.
    fn roll(&mut self) -> turmoil::Result {
        let (began, before) = (self.sim.elapsed(), self.etcd.writes());
        self.history.keep_leaders();
        for _ in 0..RESTARTS {
            if self.replicas > 1 {
                self.faults.stop_replica(&mut self.sim);
            }
            // It starts again, and mirrors.
            self.pass(BETWEEN_RESTARTS)?;
        }
        self.history.settled(self.sim.elapsed(), &self.elections, &self.observers);
        let (writes, seconds) = (self.etcd.writes() - before, (self.sim.elapsed() - began).as_secs());
        // A renewal a second; a release, a claim and a retry or two for each restart.
        let most = seconds * 11 / 10 + RESTARTS * 5;
        if writes > most {
            let detail =
                format!("{writes} writes of the Lease in {seconds} s with {RESTARTS} restarts; {most} are enough");
            self.history.broke("flat-load", detail);
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) -> turmoil::Result {
        let end = self.sim.elapsed() + time;
        while self.sim.elapsed() < end && self.history.broken().is_none() {
            self.faults.cure_due(&mut self.sim);
            self.sim.step()?;
        }
        Ok(())
    }
}

fn start_replicas(sim: &mut Sim<'_>, count: usize) -> Vec<(String, Arc<Notify>)> {
    let names = (0..count).map(|number| (format!("replica-{number}"), Arc::new(Notify::new())));
    names
        .inspect(|(name, stop)| {
            let (host, stop) = (name.clone(), Arc::clone(stop));
            sim.host(name.clone(), move || replica::serve(host.clone(), Arc::clone(&stop)));
        })
        .collect()
}

fn start_worker(sim: &mut Sim<'_>, worker: Worker, seed: u64) {
    let lives = AtomicU64::new(seed);
    sim.host(worker.name.clone(), move || worker.clone().work(lives.fetch_add(1, Ordering::Relaxed)));
}

/// All of them, in any order.
fn endpoints(rng: &mut Rng, replicas: &[(String, Arc<Notify>)]) -> String {
    let mut urls: Vec<_> = replicas.iter().map(|(name, _)| format!("http://{name}:{PORT}")).collect();
    rng.shuffle(&mut urls);
    urls.join(",")
}
