//! One connection in the ledger, and its calls.

use super::{Class, Ledger, OpenCalls, SPANS};
use crate::errors::Refusal;
use crate::identity::LastShown;
use crate::line::Owner;
use crate::tls::Presented;
use bytes::Bytes;
use futures::task::AtomicWaker;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Context;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// So many calls of a connection are worked at, or have one answer that isn't sent: the next ones
/// wait.
const AT_WORK: usize = 128;
/// With more than this unsent on a connection, no more of its calls are begun.
const ROOM_BYTES: usize = 4 << 20;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(super) Arc<PeerState>);

/// A connection is in the ledger as long as this.
#[derive(Debug)]
pub(crate) struct Registered(pub(super) u64, pub(super) Arc<Ledger>);

#[derive(Debug)]
pub(super) struct PeerState {
    id: u64,
    address: IpAddr,
    /// Of all connections from there.
    of_address: Arc<OpenCalls>,
    ledger: Arc<Ledger>,
    own: OpenCalls,
    at_work: Arc<Semaphore>,
    unsent: AtomicUsize,
    /// Pieces that must be sent in time, by the look before they were handed over.
    pieces: [AtomicUsize; SPANS],
    /// There is room again.
    room: Notify,
    cut: AtomicBool,
    /// It is old: its streams are to be opened on another one.
    old: CancellationToken,
    presented: Presented,
    last_shown: LastShown,
    /// Whoever reads and writes the connection.
    connection: AtomicWaker,
}

/// A call that may be worked at, and what it holds until it has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) call: Arc<Call>,
    pub(crate) at_work: Option<OwnedSemaphorePermit>,
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
    /// The look before it was handed over, if it must be sent in time.
    span: Option<usize>,
    call: Arc<Call>,
}

impl Peer {
    /// Its host.
    pub(crate) fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Whether it is another replica, as far as TLS has proved it.
    pub(crate) fn is_replica(&self) -> bool {
        self.0.presented == Presented::Replica
    }

    /// The certificate (DER) that a client has shown, whose chain TLS has checked.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        if let Presented::Certificate(certificate) = &self.0.presented { Some(certificate.der()) } else { None }
    }

    /// Whom it was taken for by what it has shown last.
    pub(crate) fn last_shown(&self) -> &LastShown {
        &self.0.last_shown
    }

    /// A number that no other connection has.
    pub(crate) fn number(&self) -> u64 {
        self.0.id
    }

    /// Cancelled when the streams of this connection are to be opened on another one.
    pub(crate) fn old(&self) -> &CancellationToken {
        &self.0.old
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

    /// Whether the connection was cut. Otherwise whoever asks is woken when it is.
    pub(crate) fn poll_cut(&self, context: &mut Context<'_>) -> bool {
        self.0.connection.register(context.waker());
        self.0.is_cut()
    }

    /// Begins a call if that can be done at once. What comes with a stream is dropped when it has
    /// begun; with one answer that is when it was read.
    pub(crate) fn try_begin(&self, class: Class) -> Result<Option<Begun>, Refusal> {
        if class == Class::Unary && !self.has_room() {
            return Ok(None);
        }
        let Ok(permit) = Arc::clone(&self.0.at_work).try_acquire_owned() else { return Ok(None) };
        self.0.ledger.enter(&self.0, class)?;
        Ok(Some(Call { peer: self.clone(), class, at_work: None }.begun(permit)))
    }

    /// Begins a call, when others of its connection make room for it.
    pub(crate) async fn begin(&self, class: Class) -> Result<Begun, Refusal> {
        self.0.ledger.enter(&self.0, class)?;
        let call = Call { peer: self.clone(), class, at_work: None };
        let permit = Arc::clone(&self.0.at_work).acquire_owned().await.expect("nobody closes this semaphore");
        if class == Class::Unary {
            self.room().await;
        }
        Ok(call.begun(permit))
    }

    /// Whether this client reads its answers: if not, no more of them are made.
    pub(crate) fn has_room(&self) -> bool {
        self.0.unsent() < ROOM_BYTES
    }

    /// Until it has read enough.
    pub(crate) async fn room(&self) {
        loop {
            if self.has_room() {
                return;
            }
            let room = self.0.room.notified();
            // It may have come meanwhile.
            if self.has_room() {
                return;
            }
            room.await;
        }
    }
}

impl Call {
    /// The connection that it came on.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    fn begun(mut self, permit: OwnedSemaphorePermit) -> Begun {
        if self.class != Class::Unary {
            return Begun { call: Arc::new(self), at_work: Some(permit) };
        }
        self.at_work = Some(permit);
        Begun { call: Arc::new(self), at_work: None }
    }

    /// Enters a piece of the answer. It is crossed out when what this returns is dropped.
    pub(crate) fn hand_over(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let shared = &self.peer.0;
        let span = self.class.has_deadline().then(|| shared.ledger.span());
        shared.unsent.fetch_add(bytes.len(), Ordering::Relaxed);
        if let Some(span) = span {
            shared.pieces[span].fetch_add(1, Ordering::Relaxed);
        }
        shared.ledger.add(bytes.len());
        Bytes::from_owner(Piece { bytes, span, call: Arc::clone(self) })
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
        let bytes = self.bytes.len();
        shared.ledger.subtract(bytes);
        if let Some(span) = self.span {
            shared.pieces[span].fetch_sub(1, Ordering::Relaxed);
        }
        let before = shared.unsent.fetch_sub(bytes, Ordering::SeqCst);
        if before >= ROOM_BYTES && before - bytes < ROOM_BYTES {
            shared.room.notify_waiters();
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let gone = self.1.state().peers.remove(&self.0);
        // Outside the lock.
        drop(gone);
    }
}

impl PeerState {
    pub(super) fn new(
        id: u64,
        (address, of_address): (IpAddr, Arc<OpenCalls>),
        presented: Presented,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            id,
            address,
            of_address,
            ledger,
            own: OpenCalls::default(),
            at_work: Arc::new(Semaphore::new(AT_WORK)),
            unsent: AtomicUsize::new(0),
            pieces: Default::default(),
            room: Notify::new(),
            cut: AtomicBool::new(false),
            old: CancellationToken::new(),
            presented,
            last_shown: LastShown::default(),
            connection: AtomicWaker::new(),
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn of_address(&self) -> &OpenCalls {
        &self.of_address
    }

    pub(super) fn own(&self) -> &OpenCalls {
        &self.own
    }

    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.connection.wake();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Bytes that it was given to send and hasn't sent.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::SeqCst)
    }

    /// Whether a piece is still there that was to be sent by now.
    pub(super) fn is_late(&self, now: usize) -> bool {
        // The look that follows is the oldest one that is told apart.
        self.pieces[(now + 1) % SPANS].load(Ordering::Relaxed) > 0
    }
}
