//! Checks a world: to the end, or until a promise is broken.

use crate::model::{Action, Protocol};
use crate::promises::REACHED;
use crate::rules::Rules;
use crate::world::World;
use stateright::{Checker, HasDiscoveries, Model};
use std::time::{Duration, Instant};

/// What a check found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Steps taken.
    pub steps: usize,
    /// Different states.
    pub states: usize,
    /// The longest run.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// The promises that were broken, each with a run.
    pub broken: Vec<(&'static str, Vec<Action>)>,
    /// Which of the states of [`REACHED`] were reached.
    pub reached: Vec<&'static str>,
}

/// Visits every state.
#[must_use]
pub fn exhaust(world: World) -> Report {
    let model = Protocol { world, rules: Rules::default() };
    let began = Instant::now();
    // Depth first: the queue of a search in breadth would take more room than the set of states.
    report(&model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join(), began)
}

/// Looks for a short run that breaks a promise: this one, or any.
#[must_use]
pub fn refute(world: World, rules: Rules, promise: Option<&'static str>) -> Report {
    let model = Protocol { world, rules };
    let began = Instant::now();
    let until = promise.map_or(HasDiscoveries::AnyFailures, |name| HasDiscoveries::AnyOf([name].into()));
    report(&model.checker().threads(1).finish_when(until).spawn_bfs().join(), began)
}

fn report(checker: &impl Checker<Protocol>, began: Instant) -> Report {
    let mut report = Report {
        steps: checker.state_count(),
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        time: began.elapsed(),
        broken: Vec::new(),
        reached: Vec::new(),
    };
    for (name, path) in checker.discoveries() {
        if REACHED.iter().any(|(reached, _)| *reached == name) {
            report.reached.push(name);
        } else {
            report.broken.push((name, path.into_actions()));
        }
    }
    report.broken.sort_by_key(|(_, run)| run.len());
    report.reached.sort_unstable();
    report
}
