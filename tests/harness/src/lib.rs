//! What the integration tests share: real processes started and ended, raw gRPC clients, and what
//! /proc says about them.

mod authority;
mod binaries;
mod campaign;
mod http;
mod issuer;
mod keeper;
mod measure;
mod observer;
mod process;
mod puppet;
mod refusal;
mod server;
mod silence;
mod stranger;
mod worker;

pub use authority::{Authority, Files};
pub use binaries::{Profile, binary, example, repository};
pub use campaign::{Campaign, PATIENCE, keep_alive, leased, milliseconds, reopened, stream_bound};
pub use http::{HttpResponse, http_get};
pub use issuer::{Cluster, Issuer, Provider, by};
pub use keeper::Keeper;
pub use measure::{cpu_time, open_files, rss_bytes, thread_count};
pub use observer::{Observer, Seen, seen};
pub use process::{Ending, Line, Process, full_pipe};
pub use puppet::{Call, Puppet, Stream, event, kept};
pub use refusal::{Refusal, assert_refused, refusal};
pub use server::{Server, ServerBuilder};
pub use silence::Way;
pub use stranger::{Foreign, Stranger};
pub use worker::{Language, Worker, from_run, grpcurl, python, token_in};

/// The generated client of `leasehold.v1.ElectionService`, over one connection.
pub type ElectionClient =
    leasehold_proto::v1::election_service_client::ElectionServiceClient<tonic::transport::Channel>;

/// The generated client of `leasehold.v1.AdminService`, over one connection.
pub type AdminClient = leasehold_proto::v1::admin_service_client::AdminServiceClient<tonic::transport::Channel>;
