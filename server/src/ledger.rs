//! What strangers may make this process hold: open calls, and answers that it was given to send and
//! hasn't sent.
//!
//! A client decides when it reads. What it doesn't read waits in memory: h2 takes whole answers,
//! however small the client's window is. So each piece of an answer is entered here when it is
//! handed over, and crossed out when the last of its bytes has left for the socket. A connection
//! that is read has next to nothing here.

mod peer;

pub(crate) use peer::{Call, Peer, Registered};

use crate::clock;
use crate::errors::Refusal;
use crate::metrics::Metrics;
use leasehold_core::{Millis, Time};
use peer::Shared;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An answer that a client hasn't read by then, it won't: the connection is closed. Streams may be
/// read as slowly as one likes.
const SEND_TIMEOUT: Millis = Millis(10_000);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

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
pub(crate) struct Limits {
    /// Bytes that were handed over and aren't sent.
    pub(crate) unsent_bytes: usize,
    /// Open streams. A quarter as many calls with one answer may be under way beside them.
    pub(crate) streams: usize,
}

impl Limits {
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
    limits: Limits,
    metrics: Arc<Metrics>,
    unsent: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    peers: BTreeMap<u64, Arc<Shared>>,
    open: Open,
    by_address: BTreeMap<IpAddr, Open>,
}

/// Open calls, by class.
#[derive(Clone, Copy, Debug, Default)]
struct Open([usize; CLASSES]);

impl Open {
    fn all(&self) -> usize {
        self.0.iter().sum()
    }
}

impl Ledger {
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limits, metrics, unsent: AtomicUsize::new(0), state: Mutex::default() })
    }

    /// Takes up a connection. It is in the ledger until the second of these is dropped.
    pub(crate) fn register(self: &Arc<Self>, address: IpAddr) -> (Peer, Registered) {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        let shared = Arc::new(Shared::new(id, address, Arc::clone(self)));
        state.peers.insert(id, Arc::clone(&shared));
        (Peer(shared), Registered(id, Arc::clone(self)))
    }

    /// Closes connections whose clients don't read their answers, until this ends.
    pub(crate) async fn watch(self: Arc<Self>, closing: CancellationToken) {
        while closing.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            self.look(clock::now());
        }
    }

    fn look(&self, now: Time) {
        let peers: Vec<_> = self.state().peers.values().map(Arc::clone).collect();
        for peer in peers.into_iter().filter(|peer| peer.waits_since().is_some_and(|at| now.since(at) > SEND_TIMEOUT)) {
            self.metrics.connection_closed("UNREAD_ANSWER");
            tracing::warn!(
                address = %peer.address(), bytes = peer.unsent(),
                "closed a connection: its client hasn't read an answer for {} s", SEND_TIMEOUT.0 / 1000
            );
            peer.cut();
        }
    }

    /// Takes up a call, unless there are too many.
    fn enter(&self, peer: &Shared, class: Class) -> Result<(), Refusal> {
        let index = class as usize;
        let (what, most) = (class.what(), self.limits.most(class));
        let mut state = self.state();
        let of_address = state.by_address.get(&peer.address()).copied().unwrap_or_default();
        let kept_free = if of_address.0[index] < FEW { 0 } else { most.in_all / 8 };
        for (open, limit, whose) in [
            (state.open.0[index], most.in_all - kept_free, "in all"),
            (of_address.0[index], most.from_an_address, "from this address"),
            (peer.open(class), most.on_a_connection, "on this connection"),
        ] {
            if open >= limit {
                return Err(Refusal::TooManyCalls { what, whose, limit });
            }
        }
        state.open.0[index] += 1;
        state.by_address.entry(peer.address()).or_default().0[index] += 1;
        peer.entered(class);
        Ok(())
    }

    fn leave(&self, peer: &Shared, class: Class) {
        let index = class as usize;
        let mut state = self.state();
        peer.left(class);
        state.open.0[index] -= 1;
        if let Some(open) = state.by_address.get_mut(&peer.address()) {
            open.0[index] -= 1;
            if open.all() == 0 {
                state.by_address.remove(&peer.address());
            }
        }
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
