//! Replicas of Leasehold as real processes on a real API server, with the rights that the manifests give them and no others.

mod group;
mod prober;
mod proxy;
mod terms;
mod witness;

pub use group::{Group, GroupBuilder, LEASE, NAMESPACE, RULES, Replica};
pub use prober::{Prober, Probes};
pub use proxy::Proxy;
pub use terms::{Term, Terms};
pub use witness::{Conduct, Leading, Record, Witness};
