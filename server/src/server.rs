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
use crate::http::{self, Bearer, HttpState};
use crate::identify::{Door, IdentifyLayer};
use crate::ledger::Ledger;
use crate::line::Line;
use crate::metrics::Metrics;
use crate::mirror::{self, MirrorWay, Mirrors, Seals};
use crate::net::TcpListener;
use crate::observers::Observers;
use crate::serve::{ConnectionTerms, serve};
use crate::service::{Admin, Context, Elections, ReplicaNames};
use crate::settings::Settings;
use crate::task_token::{Signer, TaskTokens};
use crate::ticket::Sealer;
use crate::tls::{ServerTls, TlsError};
use futures::StreamExt as _;
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
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tower::ServiceBuilder;

/// The answer to a KeepAlive is longer than its request by a task token for each ticket; together
/// they stay below the 4 MiB that gRPC clients take, unless told otherwise.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Operators send names.
const MAX_ADMIN_REQUEST_BYTES: usize = 64 * 1024;
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
    grpc: JoinHandle<()>,
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
    /// The files of TLS can't be used.
    #[error("{0}")]
    Tls(String),
    /// The system refused something at the start.
    #[error("can't start: {0}")]
    Start(#[from] std::io::Error),
}

impl From<TlsError> for ServerError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error.to_string())
    }
}

impl Server {
    /// Starts a server on these sockets, with its record in this place.
    ///
    /// # Errors
    /// [`ServerError::Start`] when the system refuses a thread or a socket's address,
    /// [`ServerError::Policy`] when the policy file can't be used, [`ServerError::Tls`] when a file
    /// of TLS can't.
    pub async fn start(
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
        let tls = ServerTls::start(settings, &backend, addresses.0, &metrics).await?;
        let door = Door::open(&settings.auth, &keys, tls.links.is_some(), Arc::clone(&metrics));
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
            let way = MirrorWay { seals: seals.clone(), me, tls: tls.links.clone() };
            tokio::spawn(mirror::follow(active, handle, way));
        }
        let health = health::watch(phases.clone());
        let bearer = settings.auth.http_token.clone().map(Bearer::new);
        let http_state = HttpState { health, metrics, jwks: task_tokens.jwks(), beat, ca: tls.ca.clone(), bearer };
        Ok(Self {
            driver: tokio::spawn(driver.run()),
            grpc: serve_grpc(settings, &context, (door, seals), listener, phases.clone(), tls, closing.clone()),
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
                let why = ended.map_or_else(|error| error.to_string(), |()| "it ended by itself".to_owned());
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
    tls: ServerTls,
    closing: CancellationToken,
) -> JoinHandle<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(health::report(reporter, phases));
    let elections =
        ElectionServiceServer::new(Elections(Arc::clone(context))).max_decoding_message_size(MAX_REQUEST_BYTES);
    let admin = AdminServiceServer::new(Admin(Arc::clone(context))).max_decoding_message_size(MAX_ADMIN_REQUEST_BYTES);
    let mirrors = ReplicaServiceServer::new(Mirrors::new(context.handle.clone(), seals, tls.links.is_some()))
        .max_decoding_message_size(MAX_ADMIN_REQUEST_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(leasehold_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that grpcurl can show the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let links = Arc::new(Links::new(tls.links));
    tokio::spawn(follow(context.active.clone(), Arc::clone(&links)));
    let calls = CallsLayer { limit: calls::LIMIT, metrics: Arc::clone(&context.metrics) };
    let (right, line) = (Arc::clone(&context.handle.right), Arc::clone(&context.line));
    let passports = door.as_ref().map(|door| door.passports().clone());
    let forward = ForwardLayer { right, links, metrics: Arc::clone(&context.metrics), line, passports };
    let routes = Routes::new(elections)
        .add_service(admin)
        .add_service(mirrors)
        .add_service(health)
        .add_service(reflection().build_v1().expect("the contract's descriptors are whole"))
        .add_service(reflection().build_v1alpha().expect("the contract's descriptors are whole"))
        .prepare();
    let service = ServiceBuilder::new()
        .layer(calls)
        .layer(GateLayer { metrics: Arc::clone(&context.metrics) })
        .layer(IdentifyLayer(door))
        .layer(forward)
        .service(routes);
    let limits = ConnectionLimits::of_this_process(settings.max_connections_per_address);
    let ledger = Ledger::new(settings.budget().ledger, Arc::clone(&context.metrics));
    tokio::spawn(Arc::clone(&ledger).watch(closing.clone()));
    let incoming = connections::incoming(listener, tls.port, limits, Arc::clone(&context.metrics), ledger);
    let terms = ConnectionTerms {
        max_streams: settings.max_streams_per_connection,
        max_age: Duration::from_millis(settings.max_connection_age.0),
    };
    tokio::spawn(async move {
        let mut incoming = std::pin::pin!(incoming);
        let open = TaskTracker::new();
        while let Some(Some(connection)) = closing.run_until_cancelled(incoming.next()).await {
            open.spawn(serve(connection, service.clone(), terms, closing.clone()));
        }
        open.close();
        open.wait().await;
    })
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
