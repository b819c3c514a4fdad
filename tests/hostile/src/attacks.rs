//! The attacks.

mod calls;
mod connections;
mod frames;
mod handshakes;
mod http;
mod memory;
mod unread;

use anyhow::Context as _;
use futures::future::BoxFuture;
use leasehold_harness::{AdminClient, ElectionClient};
use leasehold_proto::v1::{GetStatusRequest, GetStatusResponse};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tonic::transport::Endpoint;

/// Whom to attack.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where it serves gRPC.
    pub grpc: SocketAddr,
    /// Where it serves HTTP.
    pub http: SocketAddr,
}

/// An attack.
#[derive(Debug)]
pub struct Attack {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// How the server is started.
    pub server_args: &'static [&'static str],
    /// Whether honest workers come from the attacker's address.
    pub shares_the_address: bool,
    /// The server refuses or closes something: otherwise the attack is borne as it is.
    pub is_refused: bool,
    /// The server's memory stays below this, in MiB.
    pub stays_below_mib: u64,
    /// So do its open files.
    pub stays_below_files: usize,
    /// The server speaks TLS and asks who calls, and honest workers show certificates.
    pub over_tls: bool,
    /// How long it has to last for the limit to be reached that stops it, in seconds.
    pub seconds: u64,
    /// What has to be there before.
    pub prepare: fn(Target) -> BoxFuture<'static, anyhow::Result<()>>,
    /// Attacks for so long, then lets go.
    pub run: fn(Target, Duration) -> BoxFuture<'static, anyhow::Result<Report>>,
}

/// What an attacker has seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Calls that were refused, and connections that were closed.
    pub refused: u64,
    /// What else it counted.
    pub figures: Vec<String>,
}

impl Report {
    fn say(&mut self, figure: impl Into<String>) {
        self.figures.push(figure.into());
    }
}

/// Most attacks.
const PLAIN: Attack = Attack {
    name: "",
    what: "",
    server_args: &[],
    shares_the_address: true,
    is_refused: true,
    stays_below_mib: 100,
    stays_below_files: 20_000,
    over_tls: false,
    seconds: 4,
    prepare: |_| Box::pin(async { Ok(()) }),
    run: |_, _| Box::pin(async { Ok(Report::default()) }),
};

/// All attacks.
pub const ATTACKS: &[Attack] = &[
    unread::LISTS,
    unread::KEEP_ALIVES,
    unread::WATCHES,
    unread::REFLECTIONS,
    unread::OBSERVERS,
    http::SILENT,
    http::UNREAD,
    connections::SILENT,
    connections::MANY,
    handshakes::HALF_OPEN,
    calls::SAME_TICKET,
    calls::TASK_TOKENS,
    calls::LISTS,
    calls::BURSTS,
    calls::CONTENT_TYPES,
    calls::RUBBISH,
    calls::SLOW_BODIES,
    memory::VALUES,
    memory::CANDIDACIES,
    memory::PROCLAIMED,
    frames::PRIORITIES,
    frames::UNKNOWN,
    frames::PINGS,
    frames::SETTINGS_FLOOD,
    frames::RESETS,
    frames::CONTINUATIONS,
];

/// A client on a connection of its own.
async fn client(target: Target) -> anyhow::Result<ElectionClient> {
    Ok(ElectionClient::new(Endpoint::from_shared(format!("http://{}", target.grpc))?.connect().await?))
}

/// What the server holds, and how it is set.
async fn status(target: Target) -> anyhow::Result<GetStatusResponse> {
    let channel = Endpoint::from_shared(format!("http://{}", target.grpc))?.connect().await?;
    Ok(AdminClient::new(channel).get_status(GetStatusRequest {}).await?.into_inner())
}

/// The longest TTL that the server grants.
async fn longest_ttl(target: Target) -> anyhow::Result<prost_types::Duration> {
    status(target).await?.max_ttl.context("the status names it")
}

/// When an attack is over that begins now.
fn end(time: Duration) -> Instant {
    Instant::now() + time
}

async fn sleep_until(end: Instant) {
    tokio::time::sleep_until(end.into()).await;
}
