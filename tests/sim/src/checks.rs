//! The guarantees, each in a file of its own.

mod attempts;
mod continuity;
mod drains_end;
mod fifo;
mod flat_load;
mod holds;
mod no_phantom;
mod no_zombie;
mod one_active;
mod one_leader;
mod progress;
mod silent_loser;
mod tokens_rise;
mod true_observe;
mod versions;

use crate::truth::{Fact, Truth};
use leasehold_core::{Output, Time};

/// The names of the guarantees that are checked.
pub const GUARANTEES: [&str; 15] = [
    one_leader::NAME,
    tokens_rise::NAME,
    no_phantom::NAME,
    no_zombie::NAME,
    fifo::NAME,
    true_observe::NAME,
    continuity::NAME,
    silent_loser::NAME,
    progress::NAME,
    drains_end::NAME,
    flat_load::NAME,
    one_active::NAME,
    holds::NAME,
    attempts::NAME,
    versions::NAME,
];

/// A promise that was broken.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) guarantee: &'static str,
    pub(crate) detail: String,
}

/// Watches one promise. `now` is the simulation's clock; `truth` is what was so before the fact,
/// with the clock of the replica that it is about.
trait Guarantee: std::fmt::Debug {
    fn name(&self) -> &'static str;
    fn note(&mut self, now: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String>;
}

#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) truth: Truth,
    guarantees: Vec<Box<dyn Guarantee>>,
}

impl Checks {
    pub(crate) fn new(replicas: usize, with_lease: bool) -> Self {
        let guarantees: Vec<Box<dyn Guarantee>> = vec![
            Box::<one_leader::OneLeader>::default(),
            Box::<tokens_rise::TokensRise>::default(),
            Box::<no_phantom::NoPhantom>::default(),
            Box::<no_zombie::NoZombie>::default(),
            Box::<fifo::Fifo>::default(),
            Box::<true_observe::TrueObserve>::default(),
            Box::<continuity::Continuity>::default(),
            Box::<silent_loser::SilentLoser>::default(),
            Box::<progress::Progress>::default(),
            Box::<drains_end::DrainsEnd>::default(),
            Box::<flat_load::FlatLoad>::default(),
            Box::<one_active::OneActive>::default(),
            Box::<holds::Holds>::default(),
            Box::<attempts::Attempts>::default(),
            Box::<versions::Versions>::default(),
        ];
        Self { truth: Truth::new(replicas, with_lease), guarantees }
    }

    pub(crate) fn note(&mut self, now: Time, at: usize, fact: &Fact<'_>) -> Result<(), Violation> {
        self.truth.look_at(now, at);
        if let Fact::Said(Output::TenureBegan { tenure, .. }) = fact {
            self.truth.tenure_begins(*tenure);
        }
        for guarantee in &mut self.guarantees {
            guarantee
                .note(now, &self.truth, fact)
                .map_err(|detail| Violation { guarantee: guarantee.name(), detail })?;
        }
        self.truth.note(fact);
        Ok(())
    }
}

/// Nothing is wrong unless this holds.
fn wrong(if_so: bool, detail: impl FnOnce() -> String) -> Result<(), String> {
    if if_so { Err(detail()) } else { Ok(()) }
}
