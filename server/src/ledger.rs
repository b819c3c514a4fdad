//! What strangers may make this process hold: open calls, and answers that it was given to send and
//! hasn't sent.
//!
//! A client decides when it reads. What it doesn't read waits in memory: h2 takes whole answers,
//! however small the client's window is. So each piece of an answer is entered here when it is
//! handed over, and crossed out when the last of its bytes has left for the socket. A connection
//! that is read has next to nothing here.

mod peer;

pub(crate) use peer::{Begun, Call, Peer, Registered};

use crate::errors::Refusal;
use crate::metrics::Metrics;
use crate::tls::Presented;
use peer::PeerState;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the ledger looks who reads.
const LOOK: Duration = Duration::from_secs(1);
/// An answer that a client hasn't read after so many looks, it won't: the connection is closed.
/// Streams may be read as slowly as one likes.
const SEND_LOOKS: usize = 10;
/// A connection counts its pieces by the look before they were handed over, so that no clock is
/// read and no list kept for each piece. So many looks are told apart, the last one that is too old
/// among them. Looks are no clock: while this process stands still nobody's time runs out, as
/// nobody could read.
const SPANS: usize = SEND_LOOKS + 2;

/// The last eighth of all places is for hosts that have fewer calls open than this: those that have
/// many can't keep others out.
const FEW: usize = 64;

/// Kinds of calls, each with limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// One answer.
    Unary,
    /// Campaign, Observe, and what replicas tell each other.
    Stream,
    /// Watch of gRPC health.
    Watch,
    /// gRPC reflection.
    Reflection,
}

const CLASSES: usize = 4;

/// How many open calls of one class there may be. One host alone can't take all places.
#[derive(Clone, Copy, Debug)]
struct Most {
    on_a_connection: usize,
    from_an_address: usize,
    in_all: usize,
}

impl Class {
    /// Whether its answers must be read in time.
    fn has_deadline(self) -> bool {
        self != Self::Stream
    }

    fn what(self) -> &'static str {
        match self {
            Self::Unary => "calls under way",
            Self::Stream => "streams",
            Self::Watch => "streams of grpc.health.v1.Health/Watch",
            Self::Reflection => "streams of gRPC reflection",
        }
    }
}

/// How much there may be of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerLimits {
    /// Bytes that were handed over and aren't sent.
    pub(crate) unsent_bytes: usize,
    /// Open streams. A quarter as many calls with one answer may be under way beside them.
    pub(crate) streams: usize,
}

impl LedgerLimits {
    fn most(&self, class: Class) -> Most {
        let any = usize::MAX;
        let half = |in_all: usize| Most { on_a_connection: any, from_an_address: (in_all / 2).max(1), in_all };
        match class {
            Class::Unary => half((self.streams / 4).max(1)),
            Class::Stream => half(self.streams),
            // Few need these, and they cost more than they look.
            Class::Watch => Most { on_a_connection: 16, from_an_address: 1024, in_all: 4096 },
            Class::Reflection => Most { on_a_connection: 8, from_an_address: 64, in_all: 128 },
        }
    }
}

/// All connections, and what they hold.
#[derive(Debug)]
pub(crate) struct Ledger {
    limits: LedgerLimits,
    metrics: Arc<Metrics>,
    unsent: AtomicUsize,
    open: OpenCalls,
    /// Which look was the last: they are counted from 0 to [`SPANS`], again and again.
    span: AtomicUsize,
    state: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    peers: BTreeMap<u64, Arc<PeerState>>,
    /// As long as somebody is there.
    by_address: BTreeMap<IpAddr, Weak<OpenCalls>>,
}

/// Open calls, by class.
#[derive(Debug, Default)]
struct OpenCalls([AtomicUsize; CLASSES]);

impl OpenCalls {
    fn of(&self, class: Class) -> &AtomicUsize {
        &self.0[class as usize]
    }

    /// Counts one more, unless that would be more than `most`.
    fn enter(&self, class: Class, most: usize) -> bool {
        let more = |open: usize| (open < most).then_some(open + 1);
        self.of(class).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn leave(&self, class: Class) {
        self.of(class).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ledger {
    pub(crate) fn new(limits: LedgerLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        let (unsent, span) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { limits, metrics, unsent, open: OpenCalls::default(), span, state: Mutex::default() })
    }

    /// Takes up a connection whose other end has proved nothing.
    #[cfg(test)]
    pub(crate) fn register(self: &Arc<Self>, address: IpAddr) -> (Peer, Registered) {
        self.register_as(address, Presented::Nothing)
    }

    /// Takes up a connection. It is in the ledger until the second of these is dropped.
    pub(crate) fn register_as(self: &Arc<Self>, address: IpAddr, presented: Presented) -> (Peer, Registered) {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        let of_address = state.by_address.get(&address).and_then(Weak::upgrade).unwrap_or_else(|| {
            let open = Arc::new(OpenCalls::default());
            state.by_address.insert(address, Arc::downgrade(&open));
            open
        });
        let shared = Arc::new(PeerState::new(id, (address, of_address), presented, Arc::clone(self)));
        state.peers.insert(id, Arc::clone(&shared));
        (Peer(shared), Registered(id, Arc::clone(self)))
    }

    /// Closes connections whose clients don't read their answers, until this ends.
    pub(crate) async fn watch(self: Arc<Self>, closing: CancellationToken) {
        while closing.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            self.look();
        }
    }

    fn look(&self) {
        let now = (self.span() + 1) % SPANS;
        self.span.store(now, Ordering::Relaxed);
        let peers: Vec<_> = {
            let mut state = self.state();
            state.by_address.retain(|_, open| open.strong_count() > 0);
            state.peers.values().map(Arc::clone).collect()
        };
        for peer in peers.into_iter().filter(|peer| peer.is_late(now)) {
            self.metrics.connection_closed("UNREAD_ANSWER");
            tracing::warn!(
                address = %peer.address(), bytes = peer.unsent(),
                "closed a connection: its client hasn't read an answer for {} s", SEND_LOOKS
            );
            peer.cut();
        }
    }

    /// Takes up a call, unless there are too many.
    fn enter(&self, peer: &PeerState, class: Class) -> Result<(), Refusal> {
        let most = self.limits.most(class);
        let few = peer.of_address().of(class).load(Ordering::Relaxed) < FEW;
        let in_all = if few { most.in_all } else { most.in_all - most.in_all / 8 };
        let counts = [
            (&self.open, in_all, "in all"),
            (peer.of_address(), most.from_an_address, "from this address"),
            (peer.own(), most.on_a_connection, "on this connection"),
        ];
        for (entered, (open, limit, whose)) in counts.iter().enumerate() {
            if !open.enter(class, *limit) {
                counts[..entered].iter().for_each(|(open, ..)| open.leave(class));
                return Err(Refusal::TooManyCalls { what: class.what(), whose, limit: *limit });
            }
        }
        Ok(())
    }

    fn leave(&self, peer: &PeerState, class: Class) {
        for open in [&self.open, peer.of_address(), peer.own()] {
            open.leave(class);
        }
    }

    /// The last look.
    fn span(&self) -> usize {
        self.span.load(Ordering::Relaxed)
    }

    /// Enters so many bytes. If that is too much, whoever holds most is closed.
    fn add(&self, bytes: usize) {
        if self.unsent.fetch_add(bytes, Ordering::Relaxed) + bytes > self.limits.unsent_bytes {
            self.make_room();
        }
    }

    fn subtract(&self, bytes: usize) {
        self.unsent.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn make_room(&self) {
        // Those that were cut already will give back theirs in a moment.
        let peers: Vec<_> = self.state().peers.values().filter(|peer| !peer.is_cut()).map(Arc::clone).collect();
        let all: usize = peers.iter().map(|peer| peer.unsent()).sum();
        if all <= self.limits.unsent_bytes {
            return;
        }
        if let Some(peer) = peers.into_iter().max_by_key(|peer| peer.unsent()) {
            self.metrics.connection_closed("UNREAD_ANSWERS_FILL_MEMORY");
            tracing::warn!(
                address = %peer.address(), bytes = peer.unsent(), limit = self.limits.unsent_bytes,
                "closed a connection: answers that clients don't read take too much memory, and its client has most of them"
            );
            peer.cut();
        }
    }

    fn state(&self) -> MutexGuard<'_, Registry> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
