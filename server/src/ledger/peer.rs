//! One connection in the ledger, and its calls.

use super::{CLASSES, Class, Ledger};
use crate::clock;
use crate::errors::Refusal;
use crate::line::Owner;
use bytes::Bytes;
use leasehold_core::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// So many calls of a connection are worked at, or have one answer that isn't sent: the next ones
/// wait.
const AT_WORK: usize = 128;
/// With more than this unsent on a connection, no more of its calls are begun.
const ROOM_BYTES: usize = 4 << 20;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(super) Arc<Shared>);

/// A connection is in the ledger as long as this.
#[derive(Debug)]
pub(crate) struct Registered(pub(super) u64, pub(super) Arc<Ledger>);

#[derive(Debug)]
pub(super) struct Shared {
    id: u64,
    address: IpAddr,
    ledger: Arc<Ledger>,
    cut: CancellationToken,
    at_work: Arc<Semaphore>,
    open: [AtomicUsize; CLASSES],
    unsent: Mutex<Unsent>,
    /// Something was sent.
    sent: Notify,
}

#[derive(Debug, Default)]
struct Unsent {
    bytes: usize,
    next: u64,
    /// When each piece was handed over that must be sent in time.
    since: BTreeMap<u64, Time>,
}

/// An open call: it is over when its last byte was sent.
#[derive(Debug)]
pub(crate) struct Call {
    peer: Peer,
    class: Class,
    at_work: Option<OwnedSemaphorePermit>,
}

/// A piece of an answer, on its way.
struct Piece {
    bytes: Bytes,
    number: Option<u64>,
    call: Arc<Call>,
}

impl Peer {
    /// Its host.
    pub(crate) fn address(&self) -> IpAddr {
        self.0.address
    }

    /// For work that costs little: each connection for itself.
    pub(crate) fn connection(&self) -> Owner {
        Owner::Connection(self.0.id)
    }

    /// For work that costs much: all connections of a host together.
    pub(crate) fn host(&self) -> Owner {
        Owner::Address(self.0.address)
    }

    /// Ends the connection at once, with all that is under way on it.
    pub(crate) fn cut(&self) {
        self.0.cut();
    }

    /// Done when the connection is cut.
    pub(crate) fn cutting(&self) -> &CancellationToken {
        &self.0.cut
    }

    /// Begins a call, when others of its connection make room for it. What comes with a stream is
    /// dropped when it has begun; with one answer that is when it was read.
    pub(crate) async fn begin(&self, class: Class) -> Result<(Arc<Call>, Option<OwnedSemaphorePermit>), Refusal> {
        self.0.ledger.enter(&self.0, class)?;
        let mut call = Call { peer: self.clone(), class, at_work: None };
        let permit = match Arc::clone(&self.0.at_work).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => Arc::clone(&self.0.at_work).acquire_owned().await.ok(),
        };
        if class != Class::Unary {
            return Ok((Arc::new(call), permit));
        }
        call.at_work = permit;
        self.room().await;
        Ok((Arc::new(call), None))
    }

    /// Whether this client reads its answers: if not, no more of them are made.
    pub(crate) fn has_room(&self) -> bool {
        self.0.unsent() < ROOM_BYTES
    }

    /// Until it has read enough.
    pub(crate) async fn room(&self) {
        loop {
            let sent = self.0.sent.notified();
            if self.has_room() {
                return;
            }
            sent.await;
        }
    }
}

impl Call {
    /// Enters a piece of the answer. It is crossed out when what this returns is dropped.
    pub(crate) fn hand_over(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let shared = &self.peer.0;
        let number = shared.enter(bytes.len(), self.class.has_deadline());
        shared.ledger.add(bytes.len());
        Bytes::from_owner(Piece { bytes, number, call: Arc::clone(self) })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.peer.0.ledger.leave(&self.peer.0, self.class);
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let shared = &self.call.peer.0;
        shared.ledger.subtract(self.bytes.len());
        shared.cross_out(self.bytes.len(), self.number);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let gone = self.1.state().peers.remove(&self.0);
        // Outside the lock.
        drop(gone);
    }
}

impl Shared {
    pub(super) fn new(id: u64, address: IpAddr, ledger: Arc<Ledger>) -> Self {
        Self {
            id,
            address,
            ledger,
            cut: CancellationToken::new(),
            at_work: Arc::new(Semaphore::new(AT_WORK)),
            open: Default::default(),
            unsent: Mutex::default(),
            sent: Notify::new(),
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    pub(super) fn open(&self, class: Class) -> usize {
        self.open[class as usize].load(Ordering::Relaxed)
    }

    pub(super) fn entered(&self, class: Class) {
        self.open[class as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left(&self, class: Class) {
        self.open[class as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes that it was given to send and hasn't sent.
    pub(super) fn unsent(&self) -> usize {
        self.lock().bytes
    }

    /// When the oldest piece was handed over that must be sent in time.
    pub(super) fn waits_since(&self) -> Option<Time> {
        self.lock().since.first_key_value().map(|(_, at)| *at)
    }

    fn enter(&self, bytes: usize, in_time: bool) -> Option<u64> {
        let mut unsent = self.lock();
        unsent.bytes += bytes;
        in_time.then(|| {
            let number = unsent.next;
            unsent.next += 1;
            unsent.since.insert(number, clock::now());
            number
        })
    }

    fn cross_out(&self, bytes: usize, number: Option<u64>) {
        let mut unsent = self.lock();
        let had_room = unsent.bytes < ROOM_BYTES;
        unsent.bytes -= bytes;
        if let Some(number) = number {
            unsent.since.remove(&number);
        }
        let has_room = unsent.bytes < ROOM_BYTES;
        drop(unsent);
        if has_room && !had_room {
            self.sent.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
