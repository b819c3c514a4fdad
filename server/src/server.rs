//! A whole server: the loop, the store, gRPC and HTTP, started together and ended in the right order.

use crate::connections;
use crate::driver::{Driver, Phase};
use crate::handle;
use crate::http::{self, Health, HttpState};
use crate::metrics::Metrics;
use crate::observers::Observers;
use crate::service::{Admin, Context, Elections};
use crate::settings::Settings;
use crate::state_file::StateFile;
use crate::store::Store;
use crate::task_token::TaskTokens;
use crate::ticket::Sealer;
use leasehold_proto::v1::admin_service_server::AdminServiceServer;
use leasehold_proto::v1::election_service_server::ElectionServiceServer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The answer to a KeepAlive is longer than its request by a task token for each ticket; together they stay below the 4 MiB that gRPC
/// clients take, unless told otherwise.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Operators send names.
const MAX_ADMIN_REQUEST_BYTES: usize = 64 * 1024;
/// How long a request may take to arrive and be answered; a stream may last as long as it likes after its first message.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that is gone without a word is noticed after both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
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
    /// The system refused something at the start.
    #[error("can't start: {0}")]
    Start(#[from] std::io::Error),
}

impl Server {
    /// Starts a server on these sockets and this state.
    ///
    /// # Errors
    /// [`ServerError::Start`] when the system refuses a thread or a socket's address.
    pub fn start(
        settings: &Settings,
        state: StateFile,
        listener: TcpListener,
        http_listener: TcpListener,
    ) -> Result<Self, ServerError> {
        let addresses = (listener.local_addr()?, http_listener.local_addr()?);
        let keys = state.keys().clone();
        let task_tokens = Arc::new(TaskTokens::new(&keys, settings.issuer.clone()));
        let metrics = Arc::new(Metrics::new());
        let (handle, inbox) = handle::channel(settings.inbox);
        let observers = Observers::new(Arc::clone(&handle.right), settings.max_observers);
        let (results, store_results) = mpsc::channel(STORE_RESULTS);
        let store = Store::start(state, Arc::clone(&metrics), results)?;
        let config = settings.core_config();
        let (driver, phases) =
            Driver::new(config, inbox, (store, store_results), Arc::clone(&observers), Arc::clone(&metrics));
        let context = Arc::new(Context {
            handle,
            observers,
            sealer: Sealer::new(&keys),
            task_tokens: Arc::clone(&task_tokens),
            metrics: Arc::clone(&metrics),
            max_ttl: Duration::from_millis(settings.max_ttl.0),
        });
        let closing = CancellationToken::new();
        let health = watch_health(phases.clone());
        let http_state = HttpState { health, metrics, jwks: task_tokens.jwks() };
        Ok(Self {
            driver: tokio::spawn(driver.run()),
            grpc: serve_grpc(settings, &context, listener, phases.clone(), closing.clone()),
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

    /// Until the first tenure has begun; `false` if the server ended before.
    pub async fn active(&mut self) -> bool {
        let active = |phase: &Phase| matches!(phase, Phase::Active { .. } | Phase::Stopped);
        matches!(self.phases.wait_for(active).await.as_deref(), Ok(Phase::Active { .. }))
    }

    /// Serves until `shutdown`, then ends in good order: streams first, then the last record, then the connections. Takes
    /// less than 5 s.
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
    listener: TcpListener,
    phases: watch::Receiver<Phase>,
    closing: CancellationToken,
) -> JoinHandle<Result<(), tonic::transport::Error>> {
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(reporter, phases));
    let elections =
        ElectionServiceServer::new(Elections(Arc::clone(context))).max_decoding_message_size(MAX_REQUEST_BYTES);
    let admin = AdminServiceServer::new(Admin(Arc::clone(context))).max_decoding_message_size(MAX_ADMIN_REQUEST_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(leasehold_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that grpcurl can show the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .timeout(REQUEST_TIMEOUT)
        .max_concurrent_streams(settings.max_streams_per_connection)
        .add_service(elections)
        .add_service(admin)
        .add_service(health)
        .add_service(reflection().build_v1().expect("the contract's descriptors are whole"))
        .add_service(reflection().build_v1alpha().expect("the contract's descriptors are whole"));
    let incoming = connections::incoming(listener, connections::limit());
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, closing.cancelled_owned()))
}

/// gRPC health, for the server ("") and each service.
async fn report_health(mut reporter: HealthReporter, mut phases: watch::Receiver<Phase>) {
    let names = ["", ElectionServiceServer::<Elections>::NAME, AdminServiceServer::<Admin>::NAME];
    loop {
        let phase = phases.borrow_and_update().clone();
        let serving = matches!(phase, Phase::Active { .. });
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in names {
            reporter.set_service_status(name, status).await;
        }
        if phase == Phase::Stopped || phases.changed().await.is_err() {
            break;
        }
    }
    // Ends the streams of those who watch: the shutdown would wait for them.
    for name in names {
        reporter.clear_service_status(name).await;
    }
}

/// The loop's phase in the words of the HTTP port.
fn watch_health(mut phases: watch::Receiver<Phase>) -> watch::Receiver<Health> {
    let (sender, health) = watch::channel(Health::Starting);
    tokio::spawn(async move {
        loop {
            let phase = phases.borrow_and_update().clone();
            sender.send_replace(match phase {
                Phase::Active { .. } => Health::Ready,
                Phase::Standby => Health::NotReady("there is no tenure: the store doesn't confirm writes".to_owned()),
                Phase::Stopped => Health::Stopping,
            });
            if phases.changed().await.is_err() {
                return;
            }
        }
    });
    health
}
