//! What goes wrong in one world, and when it ends: drawn from the seed, one after the other.

use crate::api_server::{Etcd, Weather};
use crate::history::History;
use fastrand::Rng;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use turmoil::Sim;

/// The API server's host.
pub(crate) const API_SERVER: &str = "kubernetes";

/// Who can be struck.
#[derive(Debug)]
pub(crate) struct Hosts {
    pub(crate) replicas: Vec<(String, Arc<Notify>)>,
    pub(crate) workers: Vec<String>,
    pub(crate) observers: Vec<String>,
}

/// What ends a fault.
#[derive(Clone, Debug)]
enum Cure {
    Start(String),
    Repair(String, String),
    Release(String, String),
    Calm,
}

/// The faults of one world.
pub(crate) struct Faults {
    rng: Rng,
    hosts: Hosts,
    etcd: Etcd,
    history: Arc<History>,
    next: Duration,
    /// The longest time between two faults.
    calm: u64,
    cures: Vec<(Duration, Cure)>,
    /// Links with a fault: one at a time.
    struck: Vec<(String, String)>,
    pub(crate) count: u64,
}

impl Faults {
    pub(crate) fn new(mut rng: Rng, hosts: Hosts, etcd: Etcd, history: Arc<History>) -> Self {
        let calm = rng.u64(800..12_000);
        // First they find each other.
        let next = Duration::from_millis(rng.u64(500..15_000));
        Self { rng, hosts, etcd, history, next, calm, cures: Vec::new(), struck: Vec::new(), count: 0 }
    }

    /// What is due now.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        self.cure(sim, now);
        if now >= self.next {
            self.next = now + Duration::from_millis(self.rng.u64(50..self.calm));
            self.count += 1;
            self.strike(sim, now);
        }
    }

    /// Ends all faults.
    pub(crate) fn end(&mut self, sim: &mut Sim<'_>) {
        self.cure(sim, Duration::MAX);
    }

    /// Starts whoever has ended, as a cluster does: one that was told to stop takes a while.
    pub(crate) fn start_all(&self, sim: &mut Sim<'_>) {
        for name in self.everybody() {
            if !sim.is_host_running(&*name) {
                sim.bounce(&*name);
            }
        }
    }

    fn cure(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (due, later) = std::mem::take(&mut self.cures).into_iter().partition(|(at, _)| *at <= now);
        self.cures = later;
        let due: Vec<(Duration, Cure)> = due;
        for (_, cure) in due {
            self.history.note(sim.elapsed(), format_args!("ends: {cure:?}"));
            match cure {
                Cure::Start(name) => {
                    if !sim.is_host_running(&*name) {
                        sim.bounce(name);
                    }
                }
                Cure::Repair(one, other) => {
                    sim.repair(&*one, &*other);
                    self.struck.retain(|link| *link != (one.clone(), other.clone()));
                }
                Cure::Release(one, other) => {
                    sim.release(&*one, &*other);
                    self.struck.retain(|link| *link != (one.clone(), other.clone()));
                }
                Cure::Calm => self.etcd.set_weather(Weather::default()),
            }
        }
    }

    fn strike(&mut self, sim: &mut Sim<'_>, now: Duration) {
        match self.rng.u32(0..100) {
            0..14 => self.crash_replica(sim, now),
            14..24 => self.stop_replica(sim, now),
            24..38 => self.crash_worker(sim, now),
            38..66 => self.break_link(sim, now),
            66..72 => self.stop_api_server(sim, now),
            72..82 => self.bad_weather(now),
            82..88 => {
                self.tell(now, "watches are cut");
                self.etcd.cut_watches();
            }
            _ => self.edit_lease(now),
        }
    }

    fn crash_replica(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (name, _) = self.rng.choice(&self.hosts.replicas).expect("there is one").clone();
        self.crash(sim, now, name, 10_000);
    }

    fn crash_worker(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let name = self.rng.choice(&self.hosts.workers).expect("there is one").clone();
        self.crash(sim, now, name, 8_000);
    }

    fn stop_api_server(&mut self, sim: &mut Sim<'_>, now: Duration) {
        self.crash(sim, now, API_SERVER.to_owned(), 12_000);
    }

    fn crash(&mut self, sim: &mut Sim<'_>, now: Duration, name: String, longest: u64) {
        if sim.is_host_running(&*name) {
            self.tell(now, &format!("{name} crashes"));
            sim.crash(&*name);
            let back = now + Duration::from_millis(self.rng.u64(20..longest));
            self.cures.push((back, Cure::Start(name)));
        }
    }

    fn stop_replica(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (name, stop) = self.rng.choice(&self.hosts.replicas).expect("there is one").clone();
        if sim.is_host_running(&*name) {
            self.tell(now, &format!("{name} is told to stop"));
            stop.notify_one();
            // It takes less than 5 s to end.
            let back = now + Duration::from_millis(self.rng.u64(5_500..9_000));
            self.cures.push((back, Cure::Start(name)));
        }
    }

    fn break_link(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let mut all = self.everybody();
        // Workers don't talk to each other.
        let servers: Vec<_> = self.hosts.replicas.iter().map(|(name, _)| name.clone()).collect();
        let one = self.rng.choice(&servers).expect("there is one").clone();
        all.retain(|name| *name != one);
        let other = self.rng.choice(&all).expect("there is one").clone();
        if self.struck.iter().any(|link| *link == (one.clone(), other.clone()) || *link == (other.clone(), one.clone()))
        {
            return;
        }
        self.struck.push((one.clone(), other.clone()));
        let end = now + Duration::from_millis(self.rng.u64(100..15_000));
        match self.rng.u32(0..4) {
            0 => {
                self.tell(now, &format!("{one} | {other}: nothing arrives"));
                sim.partition(&*one, &*other);
                self.cures.push((end, Cure::Repair(one, other)));
            }
            1 => {
                self.tell(now, &format!("{one} -> {other}: nothing arrives"));
                sim.partition_oneway(&*one, &*other);
                self.cures.push((end, Cure::Repair(one, other)));
            }
            2 => {
                self.tell(now, &format!("{other} -> {one}: nothing arrives"));
                sim.partition_oneway(&*other, &*one);
                self.cures.push((end, Cure::Repair(one, other)));
            }
            _ => {
                self.tell(now, &format!("{one} | {other}: all is held up"));
                sim.hold(&*one, &*other);
                self.cures.push((end, Cure::Release(one, other)));
            }
        }
    }

    fn bad_weather(&mut self, now: Duration) {
        let weather = Weather {
            slow: self.rng.u32(0..300),
            refused: self.rng.u32(0..600),
            unanswered: self.rng.u32(0..400),
            belated: self.rng.u32(0..300),
        };
        self.tell(now, &format!("the API server errs: {weather:?}"));
        self.etcd.set_weather(weather);
        self.cures.push((now + Duration::from_millis(self.rng.u64(500..15_000)), Cure::Calm));
    }

    /// Somebody with kubectl.
    fn edit_lease(&mut self, now: Duration) {
        let what = self.rng.u32(0..5);
        let name = ["labelled", "deleted", "emptied", "stripped", "taken"][what as usize];
        self.tell(now, &format!("the Lease is {name}"));
        self.etcd.edit(|mut lease| match what {
            0 => {
                lease["metadata"]["labels"] = json!({"at": format!("{}", now.as_millis())});
                Some(lease)
            }
            1 => None,
            2 => {
                lease["spec"]["holderIdentity"] = Value::Null;
                Some(lease)
            }
            3 => {
                lease["metadata"]["annotations"] = Value::Null;
                Some(lease)
            }
            _ => {
                lease["spec"]["holderIdentity"] = json!("somebody-else");
                Some(lease)
            }
        });
    }

    fn tell(&self, now: Duration, what: &str) {
        self.history.note(now, format_args!("FAULT {what}"));
        let kind: String = what.split([':', ',']).next().unwrap_or(what).to_owned();
        let kind = kind.split(' ').filter(|word| !word.contains('-') && *word != "|").collect::<Vec<_>>().join(" ");
        let all = what.split_once(": ").filter(|_| what.contains(['|', '>'])).map_or(kind.as_str(), |(_, rest)| rest);
        self.history.reach(&format!("fault: {all}"));
    }

    fn everybody(&self) -> Vec<String> {
        let replicas = self.hosts.replicas.iter().map(|(name, _)| name);
        let rest = self.hosts.workers.iter().chain(&self.hosts.observers);
        replicas.chain(rest).cloned().chain([API_SERVER.to_owned()]).collect()
    }
}
