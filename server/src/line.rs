//! A line before work that costs much: whoever has had little of it goes before whoever has had
//! much.
//!
//! Weighted fair queueing (Demers, Keshav, Shenker 1989), on a virtual clock that work moves on. A
//! turn is marked with the moment at which it would end if its owner's work were done at the pace
//! of that clock, and the lowest mark is next. So a small turn of somebody who was quiet goes
//! before everything that others have piled up, and nobody waits for ever.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
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
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// So many may work at a time, and so many more now.
    places: usize,
    free: usize,
    /// The virtual clock: the mark at which the work that was begun last begins.
    clock: u64,
    /// The mark of each owner's last turn, since somebody had to wait.
    marks: HashMap<Owner, u64>,
    /// When there are more, those are dropped that the clock has passed.
    many: usize,
    /// Who waits, by mark and then by arrival.
    waiting: BTreeMap<(u64, u64), Waiting>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiting {
    begins: u64,
    called: oneshot::Sender<Turn>,
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
        let (marks, waiting) = (HashMap::new(), BTreeMap::new());
        let state = State { places, free: places, clock: 0, marks, many: MANY_MARKS, waiting, arrivals: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Waits for a turn. `cost` may be in any unit that is the same for all.
    pub(crate) async fn turn(self: &Arc<Self>, owner: Owner, cost: u64) -> Turn {
        let called = {
            let mut state = self.state();
            let begins = state.clock.max(state.marks.get(&owner).copied().unwrap_or_default());
            let mark = begins.saturating_add(cost.max(1));
            state.remember(owner, mark);
            if state.free > 0 {
                // Then nobody waits.
                state.free -= 1;
                state.clock = state.clock.max(begins);
                return Turn { line: Some(Arc::clone(self)) };
            }
            let (called, waits) = oneshot::channel();
            let arrival = state.arrivals;
            state.arrivals += 1;
            state.waiting.insert((mark, arrival), Waiting { begins, called });
            waits
        };
        // The line lives as long as this, and gives every turn to somebody.
        called.await.expect("whoever waits is called")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, owner: Owner, mark: u64) {
        self.marks.insert(owner, mark);
        if self.marks.len() > self.many {
            let clock = self.clock;
            self.marks.retain(|_, mark| *mark > clock);
            self.many = MANY_MARKS.max(2 * self.marks.len());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(line) = self.line.take() else { return };
        let mut state = line.state();
        while let Some((_, Waiting { begins, called })) = state.waiting.pop_first() {
            state.clock = state.clock.max(begins);
            let Err(mut turn) = called.send(Turn { line: Some(Arc::clone(&line)) }) else { return };
            // It has stopped waiting.
            turn.line = None;
        }
        state.free += 1;
        if state.free == state.places {
            // Nobody has had anything at the cost of others.
            state.marks.clear();
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
        assert_eq!(order(first, waiting), ["little", "more", "much 1", "much 2", "much 3"]);
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
        let line = Line::new(2);
        let _always_busy = at_once(&line, 0, 1);
        for owner in 1..10_000 {
            drop(at_once(&line, owner, 1));
            let mut state = line.state();
            // As if somebody else's work had moved it on.
            state.clock += 1;
        }
        assert!(line.state().marks.len() <= MANY_MARKS + 1, "{}", line.state().marks.len());
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
        assert_eq!(line.state().free, 1);
    }
}
