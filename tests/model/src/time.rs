//! Time passes: timers run down, and what is due happens.

use crate::elections;
use crate::lease;
use crate::model::Protocol;
use crate::replica;
use crate::rules::Rule;
use crate::state::{Part, Replica, Role, State, Ticks};

/// No call is so old that more would make a difference.
const OLD: Ticks = 9;

pub(crate) fn tick(model: &Protocol, state: &mut State) {
    state.tick += 1;
    for r in 0..state.replicas.len() {
        pass(state, r);
        if let Role::Active(active) = &mut state.replicas[r].role {
            active.renewed = false;
        }
    }
    for worker in &mut state.workers {
        if let Some(own) = &mut worker.own {
            own.timer = own.timer.saturating_sub(1);
            own.kept = false;
        }
        if let Some(call) = &mut worker.held {
            call.sent = OLD.min(call.sent + 1);
        }
        if let Some(sent) = worker.news.as_mut().and_then(|news| news.accepted.as_mut()) {
            *sent = OLD.min(*sent + 1);
        }
    }
    do_what_is_due(model, state);
}

/// One replica's clock shows a tick more than the others.
pub(crate) fn skew(model: &Protocol, state: &mut State, r: usize) {
    state.left.skews -= 1;
    pass(state, r);
    do_what_is_due(model, state);
}

/// A tick on a replica's clock.
fn pass(state: &mut State, r: usize) {
    for write in state.writes.iter_mut().filter(|write| usize::from(write.owner) == r) {
        write.sent = OLD.min(write.sent + 1);
    }
    let Replica { role, mirror, .. } = &mut state.replicas[r];
    match role {
        Role::Standby(standby) => {
            standby.quiet = standby.quiet.saturating_sub(1);
            // While the Lease doesn't change, the standby sees it held all the time.
            let sees = standby.fresh && standby.view.as_ref().is_some_and(|lease| lease.holder.is_some());
            if let Some((_, left)) = standby.held.as_mut().filter(|_| !sees) {
                *left = left.saturating_sub(1);
            }
            standby.held.take_if(|(_, left)| *left == 0);
            if let Some((_, sent)) = &mut standby.lost {
                *sent = OLD.min(*sent + 1);
            }
        }
        Role::Active(active) => {
            active.age += 1;
            active.right = active.right.saturating_sub(1);
            active.wait = active.wait.saturating_sub(1);
            for candidacy in &mut active.candidacies {
                candidacy.timer = candidacy.timer.saturating_sub(1);
            }
        }
        Role::Down | Role::Stopping(_) => {}
    }
    for candidacy in mirror.iter_mut().flat_map(|mirror| &mut mirror.candidacies) {
        if matches!(candidacy.part, Part::Draining(_)) {
            candidacy.timer = candidacy.timer.saturating_sub(1);
        }
    }
}

fn do_what_is_due(model: &Protocol, state: &mut State) {
    for r in 0..state.replicas.len() {
        let Role::Active(active) = &state.replicas[r].role else { continue };
        let waits = !model.rules.has(Rule::RightEndsForGood) && lease::waits(state, r);
        if active.right == 0 && model.rules.has(Rule::RightEnds) && !waits {
            if active.leaving {
                replica::go_down(state, r);
            } else {
                replica::stand_by(model, state, r);
            }
        } else if model.serves(active) && !model.world.lazy {
            elections::act(model, state, r, |_| ());
        }
    }
}
