//! Observers: the board under a lock, and whom to wake when it changes. Nothing is queued for anybody.

use crate::clock;
use crate::errors::Refusal;
use crate::forward::meant_for;
use crate::right::Right;
use leasehold_core::{Batch, Board, Change, Cursor, ElectionName, Millis, Reject, Revision, Selection, Tenure, Time};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::Notify;

/// So many of the last changes are kept for observers that come back.
const HISTORY: usize = 16_384;

/// All Observe streams of this process.
#[derive(Debug)]
pub(crate) struct Observers {
    board: RwLock<State>,
    wakers: Mutex<Wakers>,
    right: Arc<Right>,
    count: AtomicUsize,
    limit: usize,
    next: AtomicU64,
}

#[derive(Debug)]
struct State {
    tenure: Tenure,
    board: Result<Board, Reject>,
    /// The board of a tenure that ended in good order: observers that haven't read all of it may, while
    /// nobody else can be active. Then they resume in the next tenure as if nothing had happened.
    last: Option<Board>,
    /// Until then the tenure grants nothing.
    settles_at: Time,
}

#[derive(Debug, Default)]
struct Wakers {
    by_name: BTreeMap<ElectionName, BTreeMap<u64, Arc<Notify>>>,
    by_prefix: BTreeMap<u64, (String, Arc<Notify>)>,
}

/// One Observe stream's place. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Observer {
    observers: Arc<Observers>,
    id: u64,
    tenure: Tenure,
    selection: Selection,
    cursor: Cursor,
    wake: Arc<Notify>,
}

impl Observers {
    pub(crate) fn new(right: Arc<Right>, limit: usize) -> Arc<Self> {
        let state = State { tenure: Tenure(0), board: Err(Reject::NotActive), last: None, settles_at: Time(0) };
        Arc::new(Self {
            board: RwLock::new(state),
            wakers: Mutex::default(),
            right,
            count: AtomicUsize::new(0),
            limit,
            next: AtomicU64::new(0),
        })
    }

    /// A tenure begins. Whoever has seen the change `resumes_after` of the former one can resume.
    pub(crate) fn begin(&self, tenure: Tenure, settles_at: Time, resumes_after: Option<Revision>) {
        let board = Ok(Board::resuming(tenure, HISTORY, resumes_after));
        *self.state() = State { tenure, board, last: None, settles_at };
    }

    /// The tenure ends, and its right with it. Both at once for whoever looks: an observer that found
    /// the right gone before the reason was there would tell its client the wrong one.
    pub(crate) fn end(&self, why: &Reject) {
        let mut state = self.state();
        self.right.end();
        let board = std::mem::replace(&mut state.board, Err(why.clone()));
        state.last = board.ok().filter(|_| matches!(why, Reject::ShuttingDown));
        drop(state);
        self.wake_all();
    }

    /// How long nothing is granted yet.
    pub(crate) fn settling(&self) -> Millis {
        let state = self.board.read().unwrap_or_else(PoisonError::into_inner);
        if state.board.is_ok() { state.settles_at.since(clock::now()) } else { Millis(0) }
    }

    pub(crate) fn settle(&self) {
        if let Ok(board) = &mut self.state().board {
            board.settle();
        }
        self.wake_all();
    }

    pub(crate) fn publish(&self, changes: &mut Vec<Arc<Change>>) {
        if let Ok(board) = &mut self.state().board {
            for change in changes.iter() {
                board.apply(Arc::clone(change));
            }
        }
        let wakers = self.wakers();
        for change in changes.drain(..) {
            if let Some(named) = wakers.by_name.get(&change.election) {
                named.values().for_each(|wake| wake.notify_one());
            }
            let matching = wakers.by_prefix.values().filter(|(prefix, _)| change.election.as_str().starts_with(prefix));
            matching.for_each(|(_, wake)| wake.notify_one());
        }
    }

    /// Takes a place.
    pub(crate) fn observe(self: &Arc<Self>, selection: Selection, cursor: Cursor) -> Result<Observer, Refusal> {
        let tenure = self.begun()?;
        if !self.right.lasts() {
            return Err(Reject::NotActive.into());
        }
        if meant_for().is_some_and(|meant_for| meant_for != tenure) {
            return Err(Reject::OtherTenure.into());
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::TooManyObservers { limit: self.limit });
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let wake = Arc::new(Notify::new());
        let mut wakers = self.wakers();
        match &selection {
            Selection::Prefix(prefix) => {
                wakers.by_prefix.insert(id, (prefix.clone(), Arc::clone(&wake)));
            }
            Selection::Named(names) => {
                for name in names {
                    wakers.by_name.entry(name.clone()).or_default().insert(id, Arc::clone(&wake));
                }
            }
        }
        drop(wakers);
        Ok(Observer { observers: Arc::clone(self), id, tenure, selection, cursor, wake })
    }

    /// Open Observe streams.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The tenure under way.
    fn begun(&self) -> Result<Tenure, Reject> {
        let state = self.board.read().unwrap_or_else(PoisonError::into_inner);
        state.board.as_ref().map(|_| state.tenure).map_err(Reject::clone)
    }

    /// What the board of this tenure, or of one that has just ended in good order, says.
    fn peek<T>(&self, what: impl FnOnce(Tenure, &Board) -> T) -> Result<T, Reject> {
        let state = self.board.read().unwrap_or_else(PoisonError::into_inner);
        match (&state.board, &state.last) {
            (Ok(board), _) | (Err(_), Some(board)) => Ok(what(state.tenure, board)),
            (Err(why), None) => Err(why.clone()),
        }
    }

    fn state(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.board.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        let wakers = self.wakers();
        wakers.by_prefix.values().for_each(|(_, wake)| wake.notify_one());
        wakers.by_name.values().flat_map(BTreeMap::values).for_each(|wake| wake.notify_one());
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer {
    /// The tenure that this observer reads. It ends with it.
    pub(crate) fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// What has come since the last read: at most about `limit` changes. Waits while the right has
    /// lapsed.
    pub(crate) async fn read(&mut self, limit: usize) -> Result<Batch, Reject> {
        let batch = self.observers.peek(|_, board| board.read(&self.selection, &mut self.cursor, limit))?;
        // The loop may hang, or the whole process may have: the right is checked after the state
        // was read.
        self.check().await?;
        Ok(batch)
    }

    /// Whether what was read before may still be told. Waits while the right has lapsed. The last words of a
    /// tenure that has ended in good order may be told while nobody else can be active.
    pub(crate) async fn check(&self) -> Result<(), Reject> {
        let lasts = self.observers.right.back().await;
        let tenure = self.observers.peek(|tenure, _| tenure)?;
        let lasts = match self.ended() {
            None => lasts,
            Some(_) => self.observers.right.would_last(),
        };
        if lasts && tenure == self.tenure { Ok(()) } else { Err(Reject::NotActive) }
    }

    /// Why there will be nothing more to read than what is there, when the tenure has ended in good order.
    pub(crate) fn ended(&self) -> Option<Reject> {
        let state = self.observers.board.read().unwrap_or_else(PoisonError::into_inner);
        state.board.as_ref().err().cloned()
    }

    /// How long nothing is granted yet.
    pub(crate) fn settling(&self) -> Millis {
        self.observers.settling()
    }

    /// Up to here it has been told everything; 0 before it was synced.
    pub(crate) fn complete(&self) -> Revision {
        self.cursor.complete()
    }

    /// Until there may be something to read.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.observers.count.fetch_sub(1, Ordering::Relaxed);
        let mut wakers = self.observers.wakers();
        match &self.selection {
            Selection::Prefix(_) => {
                wakers.by_prefix.remove(&self.id);
            }
            Selection::Named(names) => {
                for name in names {
                    if let Some(named) = wakers.by_name.get_mut(name) {
                        named.remove(&self.id);
                        if named.is_empty() {
                            wakers.by_name.remove(name);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_doesnt_end_before_whoever_looks_can_find_out_why() {
        let right = Arc::new(Right::new(true));
        right.extend(clock::now() + Millis(60_000));
        let observers = Observers::new(Arc::clone(&right), 1);
        observers.begin(Tenure(7), Time(0), None);
        let observer = observers.observe(Selection::Prefix(String::new()), Cursor::snapshot()).unwrap();
        let looks = observers.board.read().unwrap();
        let ending = Arc::clone(&observers);
        let ends = std::thread::spawn(move || ending.end(&Reject::ShuttingDown));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(right.lasts(), "the reason isn't there yet");
        drop(looks);
        ends.join().unwrap();
        assert!(!right.lasts());
        assert_eq!(observer.check().await, Ok(()), "the last words may be told");
        assert_eq!(observer.ended(), Some(Reject::ShuttingDown));
    }
}
