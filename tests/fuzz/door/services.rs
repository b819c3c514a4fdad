//! The services without a loop: whoever has them takes calls out of their inbox, and answers.

use crate::access::Access;
use crate::handle::{self, EventSender, Inbox, ServerMessage};
use crate::keys::Keys;
use crate::line::Line;
use crate::metrics::Metrics;
use crate::mirror::{Mirrors, Seals};
use crate::observers::Observers;
use crate::service::{Admin, Context, Elections, ReplicaNames};
use crate::task_token::{Signer, TaskTokens};
use crate::ticket::Sealer;
use futures::Stream;
use leasehold_core::{Millis, StreamId};
use leasehold_proto::v1;
use leasehold_proto::v1::admin_service_server::AdminService;
use leasehold_proto::v1::election_service_server::ElectionService;
use leasehold_proto::v1::replica_service_server::ReplicaService;
use leasehold_shell::{BoardNews, Right};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;

/// What comes on a stream.
pub type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// The other end of a Campaign stream.
pub type Items = EventSender;

/// What is costly to make, and the same for all services.
struct Secrets {
    task_tokens: Arc<TaskTokens>,
    sealer: Sealer,
    seals: Seals,
    metrics: Arc<Metrics>,
}

static SECRETS: LazyLock<Secrets> = LazyLock::new(|| {
    let keys = Keys::generate();
    Secrets {
        task_tokens: Arc::new(TaskTokens::new(&keys, "leasehold".to_owned())),
        sealer: Sealer::new(&keys),
        seals: Seals::new(&keys),
        metrics: Arc::new(Metrics::new()),
    }
});

/// The services of one server.
#[derive(Debug)]
pub struct Services {
    context: Arc<Context>,
    inbox: Inbox,
}

impl Services {
    /// Services for TTLs up to this.
    #[must_use]
    pub fn new(max_ttl: Millis) -> Self {
        let (handle, inbox) = handle::channel(16, false);
        let context = Arc::new(Context {
            observers: Observers::new(Arc::clone(&handle.right), 16),
            handle,
            sealer: SECRETS.sealer.clone(),
            signer: Signer::inline(Arc::clone(&SECRETS.task_tokens)),
            line: Line::new(1),
            metrics: Arc::clone(&SECRETS.metrics),
            max_ttl: Duration::from_millis(max_ttl.0),
            names: ReplicaNames::default(),
            access: Arc::new(Access::open()),
            active: watch::channel(None).1,
        });
        Self { context, inbox }
    }

    /// `ElectionService`.
    #[must_use]
    pub fn elections(
        &self,
    ) -> impl ElectionService<CampaignStream = Events<v1::CampaignResponse>, ObserveStream = Events<v1::ObserveResponse>>
    + use<> {
        Elections(Arc::clone(&self.context))
    }

    /// `AdminService`.
    #[must_use]
    pub fn admin(&self) -> impl AdminService + use<> {
        Admin(Arc::clone(&self.context))
    }

    /// `ReplicaService`.
    #[must_use]
    pub fn mirrors(&self) -> impl ReplicaService + use<> {
        Mirrors::new(self.context.handle.clone(), SECRETS.seals.clone(), false)
    }

    /// The right that opens answers.
    #[must_use]
    pub fn right(&self) -> &Arc<Right> {
        self.inbox.right.shared()
    }

    /// Something changes on the board that Observe reads.
    pub fn tell_observers(&self, news: &BoardNews<'_>) {
        self.context.observers.tell(news);
    }

    /// The next stream whose reader is gone.
    pub fn next_closed(&mut self) -> Option<StreamId> {
        self.inbox.closed.try_recv().ok()
    }

    /// The next call.
    pub fn next_message(&mut self) -> Option<ServerMessage> {
        self.inbox.messages.try_recv().ok()
    }
}
