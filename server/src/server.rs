//! A whole server: the loop, the store, gRPC and HTTP, started together and ended in the right
//! order.

use crate::access::Access;
use crate::backend::Backend;
use crate::calls::{self, CallsLayer};
use crate::clock;
use crate::connections::{self, ConnectionLimits};
use crate::driver::{Driver, ServerPorts};
use crate::forward::{ForwardLayer, Links};
use crate::gate::GateLayer;
use crate::handle;
use crate::health;
use crate::http::{self, HttpState};
use crate::identify::{Door, IdentifyLayer};
use crate::ledger::Ledger;
use crate::line::Line;
use crate::metrics::Metrics;
use crate::mirror::{self, Mirrors, Seals};
use crate::net::TcpListener;
use crate::observers::Observers;
use crate::service::{Admin, Context, Elections, ReplicaNames};
use crate::settings::Settings;
use crate::task_token::{Signer, TaskTokens};
use crate::ticket::Sealer;
use leasehold_core::{Active, Tenure, Time};
use leasehold_proto::v1::admin_service_server::AdminServiceServer;
use leasehold_proto::v1::election_service_server::ElectionServiceServer;
use leasehold_proto::v1::replica_service_server::ReplicaServiceServer;
use leasehold_shell::{Beat, Phase};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The answer to a KeepAlive is longer than its request by a task token for each ticket; together
/// they stay below the 4 MiB that gRPC clients take, unless told otherwise.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Operators send names.
const MAX_ADMIN_REQUEST_BYTES: usize = 64 * 1024;
/// A client that is gone without a word is noticed after both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// So many calls of a connection may be begun and given up by their caller before this server has
/// looked at them. h2 closes a connection that has more, at 20 unless told otherwise: it takes them
/// for an attack (rapid reset, CVE-2023-44487). But a server that stands still for a second finds
/// as many as its clients made in it. All of them are begun at once when it looks, and whoever
/// floods it holds up the others for as long as that takes: with 1000 for a tenth of a second at
/// most, with 4096 for two seconds (tests/resets.rs, in a debug build).
const MAX_PENDING_RESETS: usize = 1000;
/// Calls that cost much are worked at so many at a time: the others wait in line, and cheap ones
/// don't.
const COSTLY_CALLS: usize = 2;
/// How long connections get to end after their streams have been ended.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the last record may take.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// Results of the store: it has two requests under way at most.
const STORE_RESULTS: usize = 4;

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    context: Arc<Context>,
    phases: watch::Receiver<Phase>,
    driver: JoinHandle<()>,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
    http: JoinHandle<()>,
    /// Ends gRPC and HTTP, also when the server is dropped.
    closing: DropGuard,
    addresses: (SocketAddr, SocketAddr),
}

/// Why a server ended that nobody asked to end.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The loop is gone: an invariant was broken.
    #[error(
        "the loop of this server has ended unexpectedly; its log says why. Start it again: tickets carry the elections over"
    )]
    LoopEnded,
    /// gRPC is gone.
    #[error("gRPC can't be served any more: {0}")]
    Grpc(String),
    /// The policy file can't be used.
    #[error("{0}")]
    Policy(String),
    /// The system refused something at the start.
    #[error("can't start: {0}")]
    Start(#[from] std::io::Error),
}

impl Server {
    /// Starts a server on these sockets, with its record in this place.
    ///
    /// # Errors
    /// [`ServerError::Start`] when the system refuses a thread or a socket's address,
    /// [`ServerError::Policy`] when the policy file can't be used.
    pub fn start(
        settings: &Settings,
        backend: Backend,
        listener: TcpListener,
        http_listener: TcpListener,
    ) -> Result<Self, ServerError> {
        let addresses = (listener.local_addr()?, http_listener.local_addr()?);
        let keys = backend.keys().clone();
        let (me, lease) = (backend.me(), backend.lease());
        let task_tokens = Arc::new(TaskTokens::new(&keys, settings.issuer.clone()));
        let metrics = Arc::new(Metrics::new());
        let access = Arc::new(Access::load(&settings.auth).map_err(|error| ServerError::Policy(error.to_string()))?);
        tokio::spawn(Arc::clone(&access).look_after(Arc::clone(&metrics)));
        let door = Door::open(&settings.auth, &keys, Arc::clone(&metrics));
        let (handle, inbox) = handle::channel(settings.inbox, settings.replica.is_none());
        let observers = Observers::new(Arc::clone(&handle.right), settings.max_observers);
        let (results, store_results) = mpsc::channel(STORE_RESULTS);
        let store = backend.start(settings, addresses.0, Arc::clone(&metrics), results)?;
        let config = settings.core_config(me.clone());
        let (phase, phases) = watch::channel(Phase::Standby { heard: false, follows: false });
        let (follows, active) = watch::channel(None);
        let ports = ServerPorts {
            store,
            observers: Arc::clone(&observers),
            right: Arc::clone(&handle.right),
            metrics: Arc::clone(&metrics),
            watched: metrics.watch(&settings.watch_elections),
            phase,
            active: follows,
            tenure: Tenure(0),
            stored_at: Time(0),
        };
        let beat = Arc::new(Beat::new(clock::now()));
        let driver = Driver::new(config, inbox, ports, store_results, Arc::clone(&beat));
        let context = Arc::new(Context {
            handle,
            observers,
            sealer: Sealer::new(&keys),
            signer: Signer::start(Arc::clone(&task_tokens))?,
            line: Line::new(COSTLY_CALLS),
            metrics: Arc::clone(&metrics),
            max_ttl: Duration::from_millis(settings.max_ttl.0),
            names: ReplicaNames { replica: me.0.clone(), lease },
            access: Arc::clone(&access),
            active: active.clone(),
        });
        let closing = CancellationToken::new();
        let seals = Seals::new(&keys);
        if settings.replica.is_some() {
            let handle = context.handle.clone();
            tokio::spawn(mirror::follow(active, handle, seals.clone(), me));
        }
        let health = health::watch(phases.clone());
        let http_state = HttpState { health, metrics, jwks: task_tokens.jwks(), beat };
        Ok(Self {
            driver: tokio::spawn(driver.run()),
            grpc: serve_grpc(settings, &context, (door, seals), listener, phases.clone(), closing.clone()),
            http: tokio::spawn(http::serve(http_listener, http_state, closing.clone())),
            context,
            phases,
            closing: closing.drop_guard(),
            addresses,
        })
    }

    /// Where gRPC and HTTP are served.
    #[must_use]
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        self.addresses
    }

    /// Until it serves: as the active replica, or as a standby that has read the Lease. `false` if
    /// the server ended before.
    pub async fn serves(&mut self) -> bool {
        let serves = |phase: &Phase| !matches!(phase, Phase::Standby { heard: false, .. });
        !matches!(self.phases.wait_for(serves).await.as_deref(), Ok(Phase::Stopped) | Err(_))
    }

    /// Serves until `shutdown`, then ends in good order: streams first, then the last record, then
    /// the connections. Takes less than 5 s.
    ///
    /// # Errors
    /// [`ServerError`] when the loop or gRPC ended by itself.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        tokio::select! {
            _ = &mut self.driver => return Err(ServerError::LoopEnded),
            ended = &mut self.grpc => {
                let why = match ended {
                    Ok(Ok(())) => "it ended by itself".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                return Err(ServerError::Grpc(why));
            }
            () = shutdown => {}
        }
        let stop = async {
            self.context.handle.shut_down().await;
            (&mut self.driver).await
        };
        match tokio::time::timeout(LAST_WRITE, stop).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(ServerError::LoopEnded),
            Err(_) => {
                tracing::warn!("the last record wasn't stored in time: the next server has to wait before it grants")
            }
        }
        self.closing.disarm().cancel();
        let (grpc, http) = (self.grpc.abort_handle(), self.http.abort_handle());
        if tokio::time::timeout(DRAIN, async { tokio::join!(self.grpc, self.http) }).await.is_err() {
            grpc.abort();
            http.abort();
        }
        Ok(())
    }
}

fn serve_grpc(
    settings: &Settings,
    context: &Arc<Context>,
    (door, seals): (Option<Arc<Door>>, Seals),
    listener: TcpListener,
    phases: watch::Receiver<Phase>,
    closing: CancellationToken,
) -> JoinHandle<Result<(), tonic::transport::Error>> {
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(health::report(reporter, phases));
    let elections =
        ElectionServiceServer::new(Elections(Arc::clone(context))).max_decoding_message_size(MAX_REQUEST_BYTES);
    let admin = AdminServiceServer::new(Admin(Arc::clone(context))).max_decoding_message_size(MAX_ADMIN_REQUEST_BYTES);
    let mirrors = ReplicaServiceServer::new(Mirrors::new(context.handle.clone(), seals))
        .max_decoding_message_size(MAX_ADMIN_REQUEST_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(leasehold_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that grpcurl can show the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let links = Arc::new(Links::default());
    tokio::spawn(follow(context.active.clone(), Arc::clone(&links)));
    let calls = CallsLayer { limit: calls::LIMIT, metrics: Arc::clone(&context.metrics) };
    let (right, line) = (Arc::clone(&context.handle.right), Arc::clone(&context.line));
    let passports = door.as_ref().map(|door| door.passports().clone());
    let forward = ForwardLayer { right, links, metrics: Arc::clone(&context.metrics), line, passports };
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(settings.max_streams_per_connection)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .layer(calls)
        .layer(GateLayer { metrics: Arc::clone(&context.metrics) })
        .layer(IdentifyLayer(door))
        .layer(forward)
        .add_service(elections)
        .add_service(admin)
        .add_service(mirrors)
        .add_service(health)
        .add_service(reflection().build_v1().expect("the contract's descriptors are whole"))
        .add_service(reflection().build_v1alpha().expect("the contract's descriptors are whole"));
    let limits = ConnectionLimits::of_this_process(settings.max_connections_per_address);
    let ledger = Ledger::new(settings.budget().ledger, Arc::clone(&context.metrics));
    tokio::spawn(Arc::clone(&ledger).watch(closing.clone()));
    let incoming = connections::incoming(listener, limits, Arc::clone(&context.metrics), ledger);
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, closing.cancelled_owned()))
}

/// Keeps the connections to the active replica up to date.
async fn follow(mut active: watch::Receiver<Option<Active>>, links: Arc<Links>) {
    loop {
        let now = active.borrow_and_update().clone();
        links.follow(now);
        if active.changed().await.is_err() {
            return links.follow(None);
        }
    }
}

#[cfg(test)]
mod tests;
