//! The server of Leasehold: what `leasehold_shell`, and the core in it, need around them.
//!
//! ```text
//! server.rs      starts and ends everything         settings.rs    flags, environment, file
//! driver.rs      the loop: owns the shell           handle.rs      the way to it
//! right.rs       waits for the right                observers.rs   the board, and whom to wake
//! service.rs     gRPC: checks, converts, streams    caller.rs      who calls, for which tenure
//! store.rs       the store: file or Lease           state_file.rs  the record and the keys on disk
//! kubernetes.rs  the Lease and the Secret           mirror.rs      what replicas tell each other
//! forward.rs     standbys hand calls on             calls.rs       an answer in time, a reason
//! ticket.rs      seals and opens tickets            task_token.rs  signs and checks task tokens
//! gate.rs        what is served at all              ledger.rs      unread answers, open calls
//! line.rs        before what costs much             memory.rs      who may have what of it
//! accept.rs      accepts, for gRPC and HTTP         connections.rs gRPC connections and their limits
//! http.rs        health, metrics, keys over HTTP    metrics.rs     what is counted
//! errors.rs      the table of refusals              clock.rs       the only reader of clocks
//! net.rs         the network, or a simulated one    log.rs         the log, without floods
//! tls.rs         certificates, files, handshakes    serve.rs       one connection, from first to last
//! ```

mod accept;
mod access;
pub mod backend;
mod caller;
mod calls;
mod candidacy;
pub mod clock;
mod connections;
mod driver;
pub mod errors;
mod forward;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
#[path = "../../tests/fuzz/door.rs"]
pub mod fuzzing;
mod gate;
mod handle;
mod health;
pub mod http;
mod identify;
mod identity;
pub mod keys;
mod kubernetes;
mod ledger;
mod line;
#[cfg(not(turmoil))]
mod log;
mod memory;
pub mod metrics;
mod mirror;
pub mod net;
mod observers;
mod record;
mod right;
mod serve;
pub mod server;
mod service;
pub mod settings;
#[cfg(not(turmoil))]
mod start;
pub mod state_file;
mod store;
pub mod task_token;
pub mod ticket;
mod tls;
mod unread;

#[cfg(not(turmoil))]
pub use start::start;
