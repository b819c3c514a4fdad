//! How many connections are served, and a word about it when no more fit.

use crate::clock;
use crate::metrics::Metrics;
use leasehold_core::{Millis, Time};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So often at most the log says that no more fit.
const SAY_AGAIN: Millis = Millis(10_000);

/// Places for so many connections.
#[derive(Clone, Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    limit: usize,
    metrics: Arc<Metrics>,
    said: Arc<Mutex<Said>>,
}

/// What the log has been told.
#[derive(Debug, Default)]
struct Said {
    at: Option<Time>,
    /// How often there was no place since then.
    since: u64,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    metrics: Arc<Metrics>,
    _place: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(limit: usize, metrics: Arc<Metrics>) -> Self {
        metrics.connections_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        Self { places: Arc::new(Semaphore::new(limit)), limit, metrics, said: Arc::default() }
    }

    /// Takes a place. Waits for one if there is none.
    pub(super) async fn take(&self) -> Taken {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                self.is_full(clock::now());
                let place = Arc::clone(&self.places).acquire_owned().await;
                place.expect("nobody closes this semaphore")
            }
        };
        self.metrics.connections.inc();
        Taken { metrics: Arc::clone(&self.metrics), _place: place }
    }

    fn is_full(&self, now: Time) {
        self.metrics.connections_full.inc();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.since += 1;
        if said.at.is_none_or(|at| now.since(at) >= SAY_AGAIN) {
            tracing::warn!(
                limit = self.limit,
                times = said.since,
                "all connections that this server may have are open; more clients wait until one is closed: raise the limit on \
                 open files (the connections are 400 less, and 16384 at most), or find the client that opens so many"
            );
            *said = Said { at: Some(now), since: 0 };
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_counts_who_is_in_and_how_often_it_is_full() {
        let metrics = Arc::new(Metrics::new());
        let room = Room::new(2, Arc::clone(&metrics));
        let (first, second) = (room.take().await, room.take().await);
        assert_eq!((metrics.connections.get(), metrics.connections_limit.get()), (2, 2));
        assert_eq!(metrics.connections_full.get(), 0);
        let waits = tokio::time::timeout(Duration::from_millis(50), room.take()).await;
        assert!(waits.is_err(), "there is no third place");
        assert_eq!((metrics.connections.get(), metrics.connections_full.get()), (2, 1));
        drop(first);
        let third = room.take().await;
        drop((second, third));
        assert_eq!((metrics.connections.get(), metrics.connections_full.get()), (0, 1));
    }

    #[test]
    fn the_log_is_told_once_in_ten_seconds() {
        let room = Room::new(0, Arc::new(Metrics::new()));
        for (ms, since) in [(5, 0), (6, 1), (10_004, 2), (10_005, 0), (10_006, 1)] {
            room.is_full(Time(ms));
            assert_eq!(room.said.lock().unwrap().since, since, "at {ms} ms");
        }
    }
}
