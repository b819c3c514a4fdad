//! A line before work that costs much: whoever has had little of it goes before whoever has had
//! much.
//!
//! Self-clocked fair queueing (Golestani 1994), on a virtual clock that work moves on. A
//! turn is marked with the moment at which it would end if its owner's work were done at the pace
//! of that clock, and the lowest mark is next. So a small turn of somebody who was quiet goes
//! before everything that others have piled up, and nobody waits for ever.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The marks of so many owners are kept before those are dropped that the clock has passed.
const MANY_MARKS: usize = 1024;

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// What comes on one connection.
    Connection(u64),
    /// What comes from one host.
    Address(IpAddr),
}

/// Who works, and who waits for it.
#[derive(Debug)]
pub(crate) struct Line {
    /// So many more may work now.
    free: AtomicUsize,
    /// So many wait, or are about to.
    queued: AtomicUsize,
    state: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The virtual clock: the mark of whoever was called last.
    clock: u64,
    /// The mark of each owner's last turn, since somebody had to wait.
    marks: HashMap<Owner, u64>,
    /// When there are more, those are dropped that the clock has passed.
    many: usize,
    /// Who waits, by mark and then by arrival.
    waiting: BTreeMap<(u64, u64), oneshot::Sender<Turn>>,
    arrivals: u64,
}

/// A place in the line. Whoever stops waiting leaves it.
#[derive(Debug)]
struct WaitingPlace<'a> {
    line: &'a Arc<Line>,
    at: (u64, u64),
    called: oneshot::Receiver<Turn>,
}

/// The right to work. The next one has it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// `None`: it was given on.
    line: Option<Arc<Line>>,
}

impl Line {
    /// A line for so many that work at a time.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        let state = Queue { many: MANY_MARKS, ..Queue::default() };
        Arc::new(Self { free: AtomicUsize::new(places), queued: AtomicUsize::new(0), state: Mutex::new(state) })
    }

    /// A turn, if there is one left and nobody waits for it. It counts for nothing: nobody has less
    /// for it.
    pub(crate) fn try_turn(self: &Arc<Self>) -> Option<Turn> {
        (self.queued.load(Ordering::SeqCst) == 0 && self.take()).then(|| Turn { line: Some(Arc::clone(self)) })
    }

    /// Waits for a turn. `cost` may be in any unit that is the same for all.
    pub(crate) async fn turn(self: &Arc<Self>, owner: Owner, cost: u64) -> Turn {
        if let Some(turn) = self.try_turn() {
            return turn;
        }
        let mut place = self.queue(owner, cost);
        self.call();
        // The line lives as long as this, and gives every turn to somebody.
        (&mut place.called).await.expect("whoever waits is called")
    }

    fn queue(self: &Arc<Self>, owner: Owner, cost: u64) -> WaitingPlace<'_> {
        let mut state = self.state();
        // Whoever gives a turn back from here on looks who waits.
        self.queued.fetch_add(1, Ordering::SeqCst);
        let begins = state.clock.max(state.marks.get(&owner).copied().unwrap_or_default());
        let at = (begins.saturating_add(cost.max(1)), state.arrivals);
        state.arrivals += 1;
        state.remember(owner, at.0);
        let (calls, called) = oneshot::channel();
        state.waiting.insert(at, calls);
        WaitingPlace { line: self, at, called }
    }

    fn take(&self) -> bool {
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }

    /// Gives the turns that are left to whoever waits.
    fn call(self: &Arc<Self>) {
        let mut state = self.state();
        while !state.waiting.is_empty() && self.take() {
            let Some(((mark, _), calls)) = state.waiting.pop_first() else { break };
            self.queued.fetch_sub(1, Ordering::SeqCst);
            state.clock = mark;
            if let Err(mut turn) = calls.send(Turn { line: Some(Arc::clone(self)) }) {
                // It has stopped waiting.
                turn.line = None;
                self.free.fetch_add(1, Ordering::SeqCst);
            }
        }
        if state.waiting.is_empty() {
            // Nobody has had anything at the cost of others.
            state.marks.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn remember(&mut self, owner: Owner, mark: u64) {
        self.marks.insert(owner, mark);
        if self.marks.len() > self.many {
            let clock = self.clock;
            self.marks.retain(|_, mark| *mark > clock);
            self.many = MANY_MARKS.max(2 * self.marks.len());
        }
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        if self.line.state().waiting.remove(&self.at).is_some() {
            self.line.queued.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(line) = self.line.take() else { return };
        line.free.fetch_add(1, Ordering::SeqCst);
        if line.queued.load(Ordering::SeqCst) > 0 {
            line.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Waits = Pin<Box<dyn Future<Output = Turn>>>;

    fn waits(line: &Arc<Line>, owner: u64, cost: u64) -> Waits {
        let line = Arc::clone(line);
        let mut turn: Waits = Box::pin(async move { line.turn(Owner::Connection(owner), cost).await });
        assert!(look(&mut turn).is_none());
        turn
    }

    fn look(turn: &mut Waits) -> Option<Turn> {
        match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn at_once(line: &Arc<Line>, owner: u64, cost: u64) -> Turn {
        let mut turn: Waits = Box::pin({
            let line = Arc::clone(line);
            async move { line.turn(Owner::Connection(owner), cost).await }
        });
        look(&mut turn).expect("a place is free")
    }

    /// Lets all that wait have their turns, and says in which order.
    fn order(first: Turn, mut waiting: Vec<(&'static str, Waits)>) -> Vec<&'static str> {
        let (mut order, mut turn) = (Vec::new(), Some(first));
        while !waiting.is_empty() {
            drop(turn.take());
            let next = waiting.iter_mut().position(|(_, waits)| {
                turn = look(waits);
                turn.is_some()
            });
            order.push(waiting.remove(next.expect("somebody is next")).0);
        }
        order
    }

    #[test]
    fn whoever_was_quiet_goes_before_what_others_have_piled_up() {
        let line = Line::new(1);
        let first = at_once(&line, 1, 100);
        let mut waiting: Vec<_> = ["much 1", "much 2", "much 3"].map(|name| (name, waits(&line, 1, 100))).into();
        waiting.push(("little", waits(&line, 2, 1)));
        waiting.push(("more", waits(&line, 3, 100)));
        assert_eq!(order(first, waiting), ["little", "much 1", "more", "much 2", "much 3"]);
    }

    #[test]
    fn turns_of_one_owner_are_in_the_order_of_their_arrival_and_owners_alternate() {
        let line = Line::new(1);
        let first = at_once(&line, 9, 1);
        let names = [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2), ("b2", 2), ("b3", 2)];
        let waiting = names.map(|(name, owner)| (name, waits(&line, owner, 10))).into();
        assert_eq!(order(first, waiting), ["a1", "b1", "a2", "b2", "a3", "b3"]);
    }

    #[test]
    fn what_was_done_while_nobody_waited_counts_for_nothing() {
        let line = Line::new(1);
        for _ in 0..10 {
            drop(at_once(&line, 1, 1000));
        }
        let first = at_once(&line, 3, 1);
        let waiting = vec![("one", waits(&line, 1, 10)), ("two", waits(&line, 2, 10))];
        assert_eq!(order(first, waiting), ["one", "two"]);
    }

    #[test]
    fn what_is_remembered_of_owners_is_bounded() {
        let line = Line::new(1);
        let mut turn = at_once(&line, 0, 1);
        // Somebody always waits, so nothing is forgotten for want of a line.
        let _waits = waits(&line, 0, u64::MAX);
        for owner in 1..10_000 {
            let mut next = waits(&line, owner, 1);
            drop(turn);
            turn = look(&mut next).expect("it is next");
        }
        assert!(line.state().marks.len() <= 2 * MANY_MARKS, "{}", line.state().marks.len());
    }

    #[test]
    fn whoever_stops_waiting_takes_no_turn_and_loses_none() {
        let line = Line::new(1);
        let first = at_once(&line, 1, 1);
        let gone = waits(&line, 2, 1);
        let called = waits(&line, 3, 5);
        drop(gone);
        drop(first);
        // It was called, and stops before it has heard so.
        drop(called);
        drop(at_once(&line, 4, 1));
        let left = (line.free.load(Ordering::SeqCst), line.queued.load(Ordering::SeqCst), line.state().waiting.len());
        assert_eq!(left, (1, 0, 0));
    }

    #[test]
    fn turns_are_never_lost_nor_doubled_among_threads() {
        let (line, at_work) = (Line::new(3), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for owner in 0..8 {
                let (line, at_work) = (&line, &at_work);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    for round in 0..5_000 {
                        let turn = runtime.block_on(line.turn(Owner::Connection(owner), round % 7));
                        assert!(at_work.fetch_add(1, Ordering::SeqCst) < 3);
                        std::thread::yield_now();
                        at_work.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                        if round % 5 == 0 {
                            // It stops waiting before it is called, or is at work for a moment.
                            let mut waits = Box::pin(line.turn(Owner::Connection(owner), 1));
                            let _ = waits.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        }
                    }
                });
            }
        });
        assert_eq!((line.free.load(Ordering::SeqCst), line.queued.load(Ordering::SeqCst)), (3, 0));
    }
}
