//! Who calls, and whom the call is meant for: read from the request itself, by whoever handles it.
//!
//! Nothing is asked of the loop or of the board without a [`Caller`], and nothing makes one but a
//! request. So a handler may spawn, or hold a call up: the tenure that a call is meant for goes
//! wherever the call goes.

use crate::identity::Identified;
use crate::ledger::Peer;
use crate::line::{Line, Owner, Turn};
use leasehold_core::{PodUid, Subject, Tenure};
use std::sync::Arc;
use tonic::Request;
use tonic::codegen::http::{Extensions, HeaderMap, HeaderName};

/// Names the tenure that a standby has forwarded a call to.
pub(crate) const TENURE: HeaderName = HeaderName::from_static("leasehold-tenure");

/// Whoever makes a call.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The connection. A test calls without one.
    peer: Option<Peer>,
    tenure: Option<Tenure>,
    /// Unless nobody is asked who calls.
    who: Option<Identified>,
}

impl Caller {
    /// The caller of this request.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        Self::with(request.metadata().as_ref(), request.extensions())
    }

    /// The caller of a request with these headers and extensions.
    pub(crate) fn with(headers: &HeaderMap, extensions: &Extensions) -> Self {
        // A header that isn't a number counts as tenure 0, which no replica ever had.
        let tenure = headers.get(&TENURE).map(|tenure| tenure.to_str().ok().and_then(|text| text.parse().ok()));
        let tenure = tenure.map(|tenure| Tenure(tenure.unwrap_or(0)));
        Self { peer: extensions.get().cloned(), tenure, who: extensions.get().cloned() }
    }

    /// The tenure that a standby has forwarded the call to; `None` if it came straight from its
    /// sender.
    pub(crate) fn tenure(&self) -> Option<Tenure> {
        self.tenure
    }

    /// Whether its connection is that of another replica, as far as TLS has proved it.
    pub(crate) fn is_replica(&self) -> bool {
        self.peer.as_ref().is_some_and(Peer::is_replica)
    }

    /// In whose name it calls.
    pub(crate) fn subject(&self) -> Subject {
        self.who.as_ref().map_or_else(Subject::anonymous, |who| who.identity.subject.clone())
    }

    /// The pod that it runs in, if its token is bound to one.
    pub(crate) fn pod(&self) -> Option<PodUid> {
        Some(self.who.as_ref()?.identity.pod.as_ref()?.uid.clone())
    }

    /// What people call that pod.
    pub(crate) fn pod_name(&self) -> Option<&str> {
        Some(&self.who.as_ref()?.identity.pod.as_ref()?.name)
    }

    /// From when on nobody knows any more who it is, in seconds since 1970.
    pub(crate) fn until(&self) -> Option<u64> {
        Some(self.who.as_ref()?.identity.until).filter(|until| *until < u64::MAX)
    }

    /// Where its call came from first, for the audit log.
    pub(crate) fn from(&self) -> Option<String> {
        let from = self.who.as_ref().and_then(|who| who.from).or_else(|| Some(self.peer.as_ref()?.address()));
        from.map(|from| from.to_string())
    }

    /// This caller, for a question that each replica answers for itself, whatever its tenure.
    pub(crate) fn of_any_tenure(self) -> Self {
        Self { tenure: None, ..self }
    }

    /// Who waits in line for cheap work: the caller's connection.
    pub(crate) fn connection(&self) -> Owner {
        self.peer.as_ref().map_or(Owner::Connection(0), Peer::connection)
    }

    /// Who waits in line for costly work: the caller's host, with all its connections.
    pub(crate) fn host(&self) -> Owner {
        self.peer.as_ref().map_or(Owner::Connection(0), Peer::host)
    }

    /// A turn for a call that costs much. Nobody gets one who doesn't read the answers that were
    /// made before.
    pub(crate) async fn turn(&self, line: &Arc<Line>, cost: usize) -> Turn {
        loop {
            if let Some(peer) = &self.peer {
                peer.room().await;
            }
            let turn = line.turn(self.host(), cost as u64).await;
            if self.peer.as_ref().is_none_or(Peer::has_room) {
                return turn;
            }
        }
    }
}
