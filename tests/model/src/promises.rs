//! The promises, and the states that must be reached for a proof to mean something.

use crate::model::Protocol;
use crate::state::{Broken, Event, Role, State};
use stateright::Property;

/// Two replicas never have the right at once.
pub const ONE_ACTIVE: &str = "one-active";
/// No two leased candidacies lie between their grant and their own deadline.
pub const ONE_LEADER: &str = "one-leader";
/// Of two grants the later has the higher token, and whoever leads has the highest.
pub const TOKENS_RISE: &str = "tokens-rise";
/// Nothing is granted to a candidacy that is over.
pub const NO_PHANTOM: &str = "no-phantom";
/// Live candidates are granted in the order of enrolment.
pub const FIFO: &str = "fifo";
/// A failover changes no leader that the last tenure heard.
pub const CONTINUITY: &str = "continuity";

/// All promises, and all that must be reached somewhere.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always(ONE_ACTIVE, one_active),
        Property::always(ONE_LEADER, |_, state: &State| !(state.leads(0) && state.leads(1))),
        Property::always(TOKENS_RISE, tokens_rise),
        Property::always(NO_PHANTOM, |_, state: &State| state.truth.broken != Some(Broken::Phantom)),
        Property::always(FIFO, |_, state: &State| state.truth.broken != Some(Broken::Fifo)),
        Property::always(CONTINUITY, |_, state: &State| state.truth.broken != Some(Broken::Continuity)),
    ];
    all.extend(REACHED.iter().map(|(name, condition)| Property::sometimes(name, *condition)));
    all
}

/// Whether any is broken: what follows proves nothing more.
pub(crate) fn broken(model: &Protocol, state: &State) -> bool {
    let two = state.leads(0) && state.leads(1);
    state.truth.broken.is_some() || two || !one_active(model, state) || !tokens_rise(model, state)
}

fn one_active(model: &Protocol, state: &State) -> bool {
    let serves = |role: &Role| matches!(role, Role::Active(active) if model.serves(active));
    !state.replicas.iter().all(|replica| serves(&replica.role))
}

fn tokens_rise(_: &Protocol, state: &State) -> bool {
    let leads = |w: usize| state.workers[w].own.filter(|_| state.leads(w)).and_then(|own| own.granted);
    let highest = (0..2).filter_map(leads).all(|(token, _)| token == state.truth.token);
    state.truth.broken != Some(Broken::Tokens) && highest
}

type Reached = (&'static str, fn(&Protocol, &State) -> bool);

/// What some world must reach.
pub const REACHED: [Reached; 12] = [
    ("a leader is put back by its ticket", |_, state| state.last == Some(Event::LeaderPutBack)),
    ("a waiter turns out to be the leader", |_, state| state.last == Some(Event::Promoted)),
    ("a leader's ticket ends a waiter", |_, state| state.last == Some(Event::LeaderEnded)),
    ("a leader's ticket is too old", |_, state| state.last == Some(Event::TooOld)),
    ("one of two leaders is overtaken", |_, state| state.last == Some(Event::Overtaken)),
    ("a handover without a wait", |_, state| state.last == Some(Event::HandedOver)),
    ("a release is taken at once", |_, state| state.last == Some(Event::ReleaseTaken)),
    ("a restore is detected", |_, state| state.last == Some(Event::RestoreDetected)),
    ("a Lease is repaired", |_, state| state.last == Some(Event::Repaired)),
    ("a lost claim is found", |_, state| state.last == Some(Event::ClaimFound)),
    ("a grant after a wait", |_, state| state.last == Some(Event::GrantedAfterWait)),
    ("a call of another tenure is refused", |_, state| state.last == Some(Event::OtherTenure)),
];
