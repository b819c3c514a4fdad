//! What goes wrong in one world, and when it ends: drawn from the seed, one after the other.

use crate::api_server::{Etcd, Weather};
use crate::history::History;
use fastrand::Rng;
use serde_json::{Value, json};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use turmoil::Sim;

/// The API server's host.
pub(crate) const API_SERVER: &str = "kubernetes";

/// A replica that was told to stop has ended by then.
const STOPPED: Duration = Duration::from_millis(5_500);

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
}

impl Faults {
    pub(crate) fn new(mut rng: Rng, hosts: Hosts, etcd: Etcd, history: Arc<History>) -> Self {
        let calm = rng.u64(800..12_000);
        // First they find each other.
        let next = Duration::from_millis(rng.u64(500..15_000));
        Self { rng, hosts, etcd, history, next, calm, cures: Vec::new(), struck: Vec::new() }
    }

    /// What is due now.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        self.cure(sim, now);
        if now >= self.next {
            self.next = now + Duration::from_millis(self.rng.u64(50..self.calm));
            self.strike(sim, now);
        }
    }

    /// Ends all faults that are due, without new ones.
    pub(crate) fn cure_due(&mut self, sim: &mut Sim<'_>) {
        self.cure(sim, sim.elapsed());
    }

    /// Ends all faults. Whoever isn't there is started again, in a while: one that was told to stop
    /// may still be at it.
    pub(crate) fn end(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        for (at, cure) in &mut self.cures {
            if !matches!(cure, Cure::Start(_)) {
                *at = now;
            }
        }
        let starts: Vec<_> = self.everybody().into_iter().map(|name| (now + STOPPED, Cure::Start(name))).collect();
        self.cures.extend(starts);
        self.cure(sim, now);
    }

    fn cure(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.cures).into_iter().partition(|(at, _)| *at <= now);
        self.cures = later;
        for (_, cure) in due {
            match cure {
                Cure::Start(name) if sim.is_host_running(&*name) => {}
                Cure::Start(name) => {
                    self.history.note(now, format_args!("{name} starts"));
                    sim.bounce(name);
                }
                Cure::Repair(one, other) => {
                    sim.repair(&*one, &*other);
                    self.mended(now, one, other);
                }
                Cure::Release(one, other) => {
                    sim.release(&*one, &*other);
                    self.mended(now, one, other);
                }
                Cure::Calm => {
                    self.history.note(now, "the API server is well");
                    self.etcd.set_weather(Weather::default());
                }
            }
        }
    }

    fn mended(&mut self, now: Duration, one: String, other: String) {
        self.history.note(now, format_args!("a link is good again: {one}, {other}"));
        let link = (one, other);
        self.struck.retain(|struck| *struck != link);
    }

    fn strike(&mut self, sim: &mut Sim<'_>, now: Duration) {
        match self.rng.u32(0..100) {
            0..14 => self.crash_replica(sim, now),
            14..24 => self.stop_replica(sim),
            24..38 => self.crash_worker(sim, now),
            38..66 => self.break_link(sim, now),
            66..72 => self.stop_api_server(sim, now),
            72..82 => self.bad_weather(now),
            82..88 => {
                self.tell(now, "watches are cut", "all");
                self.etcd.cut_watches();
            }
            _ => self.edit_lease(now),
        }
    }

    fn crash_replica(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (name, _) = self.rng.choice(&self.hosts.replicas).expect("there is one").clone();
        self.crash(sim, now, "a replica crashes", name, 10_000);
    }

    fn crash_worker(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let name = self.rng.choice(&self.hosts.workers).expect("there is one").clone();
        self.crash(sim, now, "a worker crashes", name, 8_000);
    }

    fn stop_api_server(&mut self, sim: &mut Sim<'_>, now: Duration) {
        self.crash(sim, now, "the API server crashes", API_SERVER.to_owned(), 12_000);
    }

    fn crash(&mut self, sim: &mut Sim<'_>, now: Duration, kind: &str, name: String, longest: u64) {
        if sim.is_host_running(&*name) {
            self.tell(now, kind, &name);
            sim.crash(&*name);
            let back = now + Duration::from_millis(self.rng.u64(20..longest));
            self.cures.push((back, Cure::Start(name)));
        }
    }

    /// Tells a replica to stop in good order.
    pub(crate) fn stop_replica(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        let (name, stop) = self.rng.choice(&self.hosts.replicas).expect("there is one").clone();
        if sim.is_host_running(&*name) {
            self.tell(now, "a replica is told to stop", &name);
            stop.notify_one();
            let back = now + STOPPED + Duration::from_millis(self.rng.u64(0..3_500));
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
        let pair = format!("{one}, {other}");
        match self.rng.u32(0..4) {
            0 => {
                self.tell(now, "a link is cut", pair);
                sim.partition(&*one, &*other);
                self.cures.push((end, Cure::Repair(one, other)));
            }
            1 => {
                self.tell(now, "a link is cut one way", pair);
                sim.partition_oneway(&*one, &*other);
                self.cures.push((end, Cure::Repair(one, other)));
            }
            2 => {
                self.tell(now, "a link is cut the other way", pair);
                sim.partition_oneway(&*other, &*one);
                self.cures.push((end, Cure::Repair(one, other)));
            }
            _ => {
                self.tell(now, "a link holds up all", pair);
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
        self.tell(now, "the API server errs", format_args!("{weather:?}"));
        self.etcd.set_weather(weather);
        self.cures.push((now + Duration::from_millis(self.rng.u64(500..15_000)), Cure::Calm));
    }

    /// Somebody with kubectl.
    fn edit_lease(&mut self, now: Duration) {
        let what = self.rng.u32(0..5);
        let name = ["labelled", "deleted", "emptied", "stripped", "taken"][what as usize];
        self.tell(now, &format!("the Lease is {name}"), "by hand");
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

    fn tell(&self, now: Duration, kind: &str, what: impl Display) {
        self.history.note(now, format_args!("FAULT {kind}: {what}"));
        self.history.reach(&format!("fault: {kind}"));
    }

    fn everybody(&self) -> Vec<String> {
        let replicas = self.hosts.replicas.iter().map(|(name, _)| name);
        let rest = self.hosts.workers.iter().chain(&self.hosts.observers);
        replicas.chain(rest).cloned().chain([API_SERVER.to_owned()]).collect()
    }
}
