//! The mirror between replicas: the active one tells standbys its state, so that an orderly end
//! costs nobody anything.

mod frame;
mod reader;
mod seal;
mod writer;

#[cfg(feature = "fuzzing")]
pub(crate) use frame::{Frame, batch, frames};
pub(crate) use reader::{MirrorWay, follow};
pub(crate) use seal::Seals;
pub(crate) use writer::Mirrors;
