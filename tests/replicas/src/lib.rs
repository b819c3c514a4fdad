//! Replicas of Leasehold as real processes on a real API server, with the rights that the manifests
//! give them and no others.

mod client_go;
mod group;
mod http_faults;
mod lease;
mod probe;
mod prober;
mod proxy;
mod scene;
mod terms;
mod witness;

pub use client_go::ClientGo;
pub use group::{Group, GroupBuilder, LEASE, NAMESPACE, RULES, Replica};
pub use http_faults::HttpFaults;
pub use lease::Lease;
pub use probe::{Call, Probe};
pub use prober::{Prober, Probes};
pub use proxy::Proxy;
pub use scene::{Calm, START, Scene};
pub use terms::{Term, Terms};
pub use witness::{Conduct, Leading, Record, Witness};
