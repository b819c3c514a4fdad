//! A real Kubernetes API server with its etcd, for tests: started, frozen, stopped, started again,
//! and its writes counted.
//!
//! The programs come from `tests/controlplane`. Everything is asked through kubectl as a process;
//! no Kubernetes crate is involved, so that what a test claims doesn't rest on the crate that it
//! tests.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use leasehold_kube_harness::{ControlPlane, Part};
//!
//! let plane = ControlPlane::start().await?;
//! let rules = "- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list]}";
//! let worker = plane.service_account_kubeconfig("default", "worker", rules).await?;
//! plane.freeze(Part::Both).await?;
//! assert!(worker.run(&["get", "leases"]).await.is_err());
//! # Ok(())
//! # }
//! ```

mod account;
mod audit;
mod binaries;
mod http_api;
mod kubectl;
mod plane;
mod supervisor;

pub use audit::Write;
pub use http_api::HttpApi;
pub use kubectl::{Kubectl, Output};
pub use plane::{ControlPlane, Part, Pids};
