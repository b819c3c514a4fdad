//! Whole servers, real clients and the real client of Kubernetes in a simulated network: turmoil's,
//! with a small API server.
//!
//! ```text
//! world.rs       one seed: hosts, a phase with faults, one without
//! faults.rs      what goes wrong, and when it ends
//! api_server.rs  the API server: objects, watches, its own faults
//! replica.rs     a server's process          worker.rs    a worker's process
//! observer.rs    an observer's process       history.rs   what they believed, and whether that may be
//! ```
//!
//! It exists only in a build with `--cfg turmoil`: see docs/simulation.md.
#![cfg(turmoil)]

mod api_server;
mod faults;
mod history;
mod observer;
mod replica;
mod worker;
mod world;

pub use history::Broken;
pub use world::{Course, run};
