//! Observers: the board under a lock, and whom to wake when it changes. Nothing is queued for
//! anybody.

use crate::caller::Caller;
use crate::clock;
use crate::errors::Refusal;
use crate::right::SharedRight;
use leasehold_core::{Batch, Change, Cursor, ElectionName, Millis, Reject, Revision, Selection, Tenure};
use leasehold_shell::{BoardNews, TenureBoard};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

/// All Observe streams of this process.
#[derive(Debug)]
pub(crate) struct Observers {
    board: RwLock<TenureBoard>,
    wakers: Mutex<Wakers>,
    right: Arc<SharedRight>,
    count: AtomicUsize,
    limit: usize,
    next: AtomicU64,
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
    pub(crate) fn new(right: Arc<SharedRight>, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            board: RwLock::default(),
            wakers: Mutex::default(),
            right,
            count: AtomicUsize::new(0),
            limit,
            next: AtomicU64::new(0),
        })
    }

    /// Something changes on the board: wakes whoever reads it.
    pub(crate) fn tell(&self, news: &BoardNews<'_>) {
        self.board.write().unwrap_or_else(PoisonError::into_inner).apply(news);
        let wakers = self.wakers();
        match news {
            BoardNews::Began { .. } => {}
            BoardNews::Changed(changes) => changes.iter().for_each(|change| wakers.changed(change)),
            BoardNews::Settled | BoardNews::Ended { .. } => wakers.all(),
        }
    }

    /// How long nothing is granted yet.
    pub(crate) fn settling(&self) -> Millis {
        self.board().settling(clock::now())
    }

    /// Takes a place.
    pub(crate) fn observe(
        self: &Arc<Self>,
        caller: &Caller,
        (selection, cursor): (Selection, Cursor),
    ) -> Result<Observer, Refusal> {
        let tenure = self.board().begun()?;
        if !self.right.lasts() {
            return Err(Reject::NotActive.into());
        }
        if caller.tenure().is_some_and(|meant_for| meant_for != tenure) {
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

    fn board(&self) -> RwLockReadGuard<'_, TenureBoard> {
        self.board.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakers {
    fn changed(&self, change: &Change) {
        if let Some(named) = self.by_name.get(&change.election) {
            named.values().for_each(|wake| wake.notify_one());
        }
        let matching = self.by_prefix.values().filter(|(prefix, _)| change.election.as_str().starts_with(prefix));
        matching.for_each(|(_, wake)| wake.notify_one());
    }

    fn all(&self) {
        self.by_prefix.values().for_each(|(_, wake)| wake.notify_one());
        self.by_name.values().flat_map(BTreeMap::values).for_each(|wake| wake.notify_one());
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
        self.check().await?;
        let batch = {
            let board = self.observers.board();
            let right = self.observers.right.shared();
            board.open(self.tenure, right, clock::now())?.read(&self.selection, &mut self.cursor, limit)
        };
        // The process may have stood still since.
        self.check().await?;
        Ok(batch)
    }

    /// Whether what was read before may still be told. Waits while the right has lapsed. The last
    /// words of a tenure that has ended in good order may be told while nobody else can be active.
    pub(crate) async fn check(&self) -> Result<(), Reject> {
        let right = &self.observers.right;
        right.back().await;
        self.observers.board().open(self.tenure, right.shared(), clock::now()).map(|_| ())
    }

    /// Why there will be nothing more to read than what is there, when the tenure has ended in good
    /// order.
    pub(crate) fn ended(&self) -> Option<Reject> {
        self.observers.board().begun().err()
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
    use leasehold_core::Time;
    use tonic::Request;

    #[tokio::test]
    async fn the_right_doesnt_end_before_whoever_looks_can_find_out_why() {
        let right = Arc::new(SharedRight::new(true));
        right.shared().extend(Tenure(7), clock::now() + Millis(60_000));
        let observers = Observers::new(Arc::clone(&right), 1);
        observers.tell(&BoardNews::Began { tenure: Tenure(7), settles_at: Time(0), resumes_after: None });
        let all = (Selection::Prefix(String::new()), Cursor::snapshot());
        let observer = observers.observe(&Caller::of(&Request::new(())), all).unwrap();
        let looks = observers.board.read().unwrap();
        let (ending, ends) = (Arc::clone(&observers), Arc::clone(&right));
        let ends = std::thread::spawn(move || {
            ending.tell(&BoardNews::Ended { why: &Reject::ShuttingDown, right: ends.shared() });
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(right.lasts(), "the reason isn't there yet");
        drop(looks);
        ends.join().unwrap();
        assert!(!right.lasts());
        assert_eq!(observer.check().await, Ok(()), "the last words may be told");
        assert_eq!(observer.ended(), Some(Reject::ShuttingDown));
    }

    /// A read of tenure 7 that was held up until this process is active again, after another
    /// replica was.
    #[tokio::test]
    async fn an_observer_of_one_tenure_reads_nothing_by_the_right_of_another() {
        let right = Arc::new(SharedRight::new(false));
        let observers = Observers::new(Arc::clone(&right), 1);
        let begin = |tenure| {
            right.shared().extend(Tenure(tenure), clock::now() + Millis(60_000));
            observers.tell(&BoardNews::Began { tenure: Tenure(tenure), settles_at: Time(0), resumes_after: None });
        };
        begin(7);
        let all = (Selection::Prefix(String::new()), Cursor::snapshot());
        let mut observer = observers.observe(&Caller::of(&Request::new(())), all).unwrap();
        assert!(observer.read(1).await.is_ok());
        observers.tell(&BoardNews::Ended { why: &Reject::NotActive, right: right.shared() });
        begin(9);
        assert_eq!(observer.check().await, Err(Reject::NotActive));
        assert!(observer.read(1).await.is_err());
    }
}
