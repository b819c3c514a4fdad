//! A model of the failover protocol, checked exhaustively. See docs/model.md.

pub mod check;
mod elections;
pub mod lease;
pub mod model;
pub mod promises;
pub mod proofs;
mod replica;
pub mod rules;
pub mod state;
mod time;
mod worker;
pub mod world;
pub mod worlds;
