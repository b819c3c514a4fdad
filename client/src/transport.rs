//! The way to the service: which replica is asked, over which connection, and what its answer is
//! worth.

mod active_hint;
mod backoff;
mod caller;
mod connection;
mod connections;
mod dial;
mod endpoint;
mod failover;
mod fault;
mod grpc_only;
mod probe;
mod status;
mod stream;
mod tenure;
mod tls;
mod token;

pub(crate) use backoff::Backoff;
pub(crate) use caller::{CALL_TIMEOUT, Opened};
pub(crate) use connections::Connections;
pub(crate) use grpc_only::GrpcOnly;
pub(crate) use stream::{Break, GOOD_STREAM, OpenStream};
pub(crate) use tenure::{FallenBack, Tenured};
