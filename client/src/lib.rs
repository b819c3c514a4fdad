//! The client of Leasehold: leader election as a gRPC service, with fencing tokens.
//!
//! ```no_run
//! # async fn charge_customers(fencing_token: u64) {}
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = leasehold::Client::connect("127.0.0.1:7400").await?;
//! loop {
//!     let leadership = client.campaign("billing/nightly").await?; // waits until this process leads
//!     let work = charge_customers(leadership.fencing_token());
//!     match leadership.guard(work).await {
//!         Ok(()) => break leadership.resign().await?, // the next candidate leads at once
//!         Err(lost) => eprintln!("not leading any more: {lost}"), // the work was dropped; campaign again
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! A [`Leadership`] never reports leading past its own deadline, whatever the network, the service
//! and the scheduler do. What it can't do is stop a write that is under way at that moment: give
//! the fencing token along with it, and let the resource refuse lower ones with a [`Fence`].
//!
//! Everything here runs on a tokio runtime with its time and I/O drivers enabled.

mod access;
mod answers;
mod candidacy;
mod client;
mod clock;
mod error;
mod fence;
mod health;
mod lost;
mod observe;
pub mod proto;
mod refusal;
mod transport;

pub use access::Access;
pub use answers::{
    ActiveReplica, ChangeReason, Election, ElectionChange, ElectionState, EndReason, Identity, Leader, PolicyDecision,
    ReplicaStatus, Role, StepDown, TokenStatus, Verification,
};
pub use candidacy::{Campaign, Candidacy, Leadership, Standing};
pub use client::{Client, Token};
pub use error::Error;
pub use fence::{Fence, Fences, Stale};
pub use health::HealthCheck;
pub use lost::Lost;
pub use observe::{Observation, Observed, Selection};
pub use refusal::{Reason, RefusalKind};
