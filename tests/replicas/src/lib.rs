//! Replicas of Leasehold as real processes on a real API server, with the rights that the manifests give them and no others.

mod group;
mod proxy;

pub use group::{Group, GroupBuilder, RULES, Replica};
pub use proxy::Proxy;
