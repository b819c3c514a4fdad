//! A discrete-event simulation of Leasehold: replicas and a Lease, or one process and a file, a
//! network and workers, everything from one seed.
//!
//! A run has a safety phase, in which processes crash and stand still, writes hang and fail,
//! messages come late or never; then faults end, and a liveness phase follows. The
//! [guarantees](GUARANTEES) are checked all along. The same seed gives the same run.
//!
//! The replicas are the real core in the real shell; what surrounds them is modelled: the API
//! server, and clients that follow the rules of the real ones (deadlines from before the send, the
//! latest ticket, nothing from lower tenures, no ticket after its end).

mod api;
mod checks;
mod clients;
mod clock;
mod faults;
mod minimise;
mod mirrors;
mod network;
mod observers;
mod plan;
mod rng;
mod runs;
mod server;
mod store;
mod truth;
mod worker;
mod world;

pub use checks::GUARANTEES;
pub use runs::{Runs, run_all};

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// A run that kept every promise.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events that were handled.
    pub events: u64,
    /// Faults that were made and states that were reached, each with how often.
    pub reached: BTreeMap<String, u64>,
}

/// A run that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// Which promise: one of [`GUARANTEES`], or `invariant` if the core itself noticed.
    pub guarantee: String,
    /// What happened, and when.
    pub detail: String,
    /// Events that were handled until then.
    pub events: u64,
    /// What there is in the world, and what goes wrong in it.
    pub world: String,
    /// The last events before it, if they were asked for.
    pub trace: Vec<String>,
}

/// Runs one seed. With `trace`, a failure carries the last events before it, and the run is slower.
///
/// # Errors
/// [`Failure`] when a promise was broken. Whoever calls this sets the panic hook: a panic of the
/// core is caught and reported.
pub fn run(seed: u64, trace: bool) -> Result<Report, Box<Failure>> {
    run_world(World::new(seed, trace), seed)
}

/// The same failure in a smaller world, if there is one: fewer kinds of faults, fewer workers,
/// fewer events.
#[must_use]
pub fn minimise(failure: &Failure) -> Failure {
    minimise::minimise(failure)
}

fn run_world(mut world: World, seed: u64) -> Result<Report, Box<Failure>> {
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let (guarantee, detail) = match result {
        Ok(Ok(())) => return Ok(world.into_report()),
        Ok(Err(violation)) => (violation.guarantee.to_owned(), violation.detail),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            ("invariant".to_owned(), text.unwrap_or_else(|| "the core panicked".to_owned()))
        }
    };
    let detail = format!("at {}: {detail}", world.now());
    Err(Box::new(Failure {
        seed,
        guarantee,
        detail,
        events: world.events(),
        world: world.plan.words(),
        trace: world.into_trace(),
    }))
}
