//! What workers and observers believed, in the order in which they did, and whether that may be.
//!
//! All hosts have the simulation's clock, so what one believes can be held against what another one
//! does.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Lines of a trace that are kept.
const LINES: usize = 400;

/// What is known of all hosts together.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    elections: BTreeMap<String, Election>,
    /// By observer and election.
    seen: BTreeMap<(String, String), Seen>,
    /// From now on leaders stay.
    keeps_leaders: bool,
    lines: Vec<String>,
    reached: BTreeMap<String, u64>,
    broken: Option<Broken>,
}

#[derive(Debug, Default)]
struct Election {
    /// The highest token that anybody led with.
    highest: u64,
    /// Who led with which token.
    led: BTreeMap<u64, String>,
    /// By worker: its lead, until it knows that it is over.
    leads: BTreeMap<String, Lead>,
}

#[derive(Debug, Default)]
struct Seen {
    highest: u64,
    /// Who leads, and with which token.
    leader: Option<(String, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Lead {
    token: u64,
    /// When the worker said last that it leads.
    beat: Duration,
    /// Until when it may lead without another KeepAlive, as it said then.
    until: Duration,
}

/// A promise that wasn't kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Its name.
    pub guarantee: String,
    /// How.
    pub detail: String,
}

/// On the clock of the simulation.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

impl History {
    /// A worker has been told that it leads, and may for as long as `remaining`.
    pub(crate) fn elected(&self, election: &str, worker: &str, token: u64, remaining: Duration) {
        let (now, until) = (now(), now() + remaining);
        self.with(|state| {
            state.note(format_args!("{worker} leads {election} with {token} until {until:?}"));
            state.reach("elected");
            let entry = state.elections.entry(election.to_owned()).or_default();
            let mut broken = None;
            for (other, lead) in &entry.leads {
                if other != worker && lead.until > now {
                    broken = Some((
                        "one-leader",
                        format!(
                            "{worker} leads {election} with {token}, and {other} may with {} until {:?}",
                            lead.token, lead.until
                        ),
                    ));
                }
            }
            if token <= entry.highest {
                broken = Some((
                    "tokens-rise",
                    format!("{worker} leads {election} with {token} after somebody has with {}", entry.highest),
                ));
            }
            entry.highest = entry.highest.max(token);
            entry.led.insert(token, worker.to_owned());
            entry.leads.insert(worker.to_owned(), Lead { token, beat: now, until });
            state.broke(broken);
        });
    }

    /// A worker has looked, and still leads.
    pub(crate) fn leads(&self, election: &str, worker: &str, token: u64, remaining: Duration) {
        let (now, until) = (now(), now() + remaining);
        self.with(|state| {
            let entry = state.elections.entry(election.to_owned()).or_default();
            let lower = token < entry.highest;
            let detail =
                || format!("{worker} still leads {election} with {token}, and somebody has led with {}", entry.highest);
            let broken = lower.then(|| ("one-leader", detail()));
            entry.leads.insert(worker.to_owned(), Lead { token, beat: now, until });
            state.broke(broken);
        });
    }

    /// A worker knows that its lead is over; or is about to give it up.
    pub(crate) fn over(&self, election: &str, worker: &str, why: impl Display) {
        self.with(|state| {
            state.note(format_args!("{worker} leads {election} no more: {why}"));
            state.elections.entry(election.to_owned()).or_default().leads.remove(worker);
            if state.keeps_leaders {
                let detail = format!("{worker} lost {election} while replicas were restarted in good order: {why}");
                state.broke(Some(("continuity", detail)));
            }
        });
    }

    /// An observer is shown a leader, or that there is none.
    pub(crate) fn shown(&self, observer: &str, election: &str, leader: Option<(String, u64)>) {
        self.with(|state| {
            state.note(format_args!("{observer} sees {election}: {leader:?}"));
            let led = leader.as_ref().and_then(|(_, token)| state.elections.get(election)?.led.get(token)).cloned();
            let seen = state.seen.entry((observer.to_owned(), election.to_owned())).or_default();
            let mut broken = None;
            if let Some((name, token)) = &leader {
                if led.as_ref().is_some_and(|led| led != name) {
                    broken = Some(format!("{observer} sees {name} lead {election} with {token}, which is {led:?}'s"));
                }
                if *token < seen.highest {
                    broken =
                        Some(format!("{observer} sees {name} lead {election} with {token} after {}", seen.highest));
                }
                seen.highest = seen.highest.max(*token);
            }
            seen.leader = leader;
            state.broke(broken.map(|detail| ("true-observe", detail)));
        });
    }

    /// The service says that this token isn't the leader's, while the worker leads with it.
    pub(crate) fn denied(&self, election: &str, worker: &str, token: u64, detail: &str) {
        let detail = format!("{worker} leads {election} with {token}, and the service says: {detail}");
        self.with(|state| state.broke(Some(("no-phantom", detail))));
    }

    /// When all faults have ended for long enough: each election has one leader, and observers see
    /// it.
    pub(crate) fn settled(&self, at: Duration, elections: &[String], observers: &[String]) {
        /// A worker that leads says so far more often.
        const FRESH: Duration = Duration::from_secs(1);
        self.with(|state| {
            for election in elections {
                let entry = state.elections.entry(election.clone()).or_default();
                let leaders: Vec<_> = entry.leads.iter().filter(|(_, lead)| at - lead.beat < FRESH).collect();
                let [(worker, lead)] = leaders[..] else {
                    let detail =
                        format!("{election} has {} leaders when faults have ended: {leaders:?}", leaders.len());
                    return state.broke(Some(("progress", detail)));
                };
                let leader = Some((worker.clone(), lead.token));
                for observer in observers {
                    let seen = state.seen.get(&(observer.clone(), election.clone()));
                    let seen = seen.and_then(|seen| seen.leader.clone());
                    if seen != leader {
                        let detail = format!("{observer} sees {seen:?} lead {election}, and {leader:?} does");
                        return state.broke(Some(("true-observe", detail)));
                    }
                }
            }
        });
    }

    /// From now on nothing happens that a leader may lose its lead for.
    pub(crate) fn keep_leaders(&self) {
        self.with(|state| state.keeps_leaders = true);
    }

    /// Breaks a promise.
    pub(crate) fn broke(&self, guarantee: &'static str, detail: String) {
        self.with(|state| state.broke(Some((guarantee, detail))));
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.with(|state| state.broken.clone())
    }

    /// Counts something that was reached.
    pub(crate) fn reach(&self, what: &str) {
        self.with(|state| state.reach(what));
    }

    /// A line of the trace.
    pub(crate) fn note(&self, at: Duration, line: impl Display) {
        self.with(|state| state.note_at(at, line));
    }

    pub(crate) fn reached(&self) -> BTreeMap<String, u64> {
        self.with(|state| state.reached.clone())
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.with(|state| state.lines.clone())
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn note(&mut self, line: impl Display) {
        self.note_at(now(), line);
    }

    fn note_at(&mut self, at: Duration, line: impl Display) {
        if self.lines.len() == LINES {
            self.lines.remove(0);
        }
        self.lines.push(format!("{:>10.3}  {line}", at.as_secs_f64()));
    }

    fn reach(&mut self, what: &str) {
        *self.reached.entry(what.to_owned()).or_default() += 1;
    }

    /// The first one counts: what comes after may follow from it.
    fn broke(&mut self, broken: Option<(&'static str, String)>) {
        if let (None, Some((guarantee, detail))) = (&self.broken, broken) {
            self.note(format_args!("{guarantee} is broken: {detail}"));
            self.broken = Some(Broken { guarantee: guarantee.to_owned(), detail });
        }
    }
}
