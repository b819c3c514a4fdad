//! What one subject may have of what all share: calls a second, and Observe streams. Candidacies
//! are counted by the core.

use crate::errors::Refusal;
use leasehold_core::{Subject, Time};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// In this much time a subject may make all calls of it at once.
const BURST_US: u64 = 1_000_000;
/// When more subjects are known, those are dropped that have made no call in the last second.
const MANY_SUBJECTS: usize = 10_000;

/// A bucket of calls for each subject, filled at the rate that is allowed, and full after a second.
#[derive(Debug)]
pub(crate) struct CallQuota {
    per_second: usize,
    /// When the bucket of a subject is full again, in microseconds.
    full_at_us: Mutex<HashMap<Subject, u64>>,
}

/// Open Observe streams of each subject.
#[derive(Debug)]
pub(super) struct ObserverQuota {
    limit: usize,
    open: Mutex<HashMap<Subject, usize>>,
}

/// A place for a stream. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct ObserverPlace {
    quota: Arc<ObserverQuota>,
    subject: Subject,
}

impl CallQuota {
    /// So many calls a second for each.
    pub(crate) fn new(per_second: usize) -> Self {
        Self { per_second, full_at_us: Mutex::default() }
    }

    /// Takes a call of this subject.
    pub(crate) fn take(&self, subject: &Subject, now: Time) -> Result<(), Refusal> {
        let now_us = now.0.saturating_mul(1000);
        let cost_us = BURST_US / (self.per_second as u64).max(1);
        let mut buckets = self.full_at_us.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(subject).copied().unwrap_or(0).max(now_us);
        if full_at + cost_us > now_us + BURST_US {
            return Err(Refusal::TooFast { limit: self.per_second });
        }
        match buckets.get_mut(subject) {
            Some(bucket) => *bucket = full_at + cost_us,
            None => {
                if buckets.len() >= MANY_SUBJECTS {
                    buckets.retain(|_, full_at| *full_at > now_us);
                }
                buckets.insert(subject.clone(), full_at + cost_us);
            }
        }
        Ok(())
    }
}

impl ObserverQuota {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default() }
    }

    /// Takes a place for this subject.
    pub(super) fn take(self: &Arc<Self>, subject: Subject) -> Result<ObserverPlace, Refusal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(subject.clone()).or_default();
        if *count >= self.limit {
            return Err(Refusal::TooManyObserversOfSubject { limit: self.limit });
        }
        *count += 1;
        Ok(ObserverPlace { quota: Arc::clone(self), subject })
    }
}

impl Drop for ObserverPlace {
    fn drop(&mut self) {
        let mut open = self.quota.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.subject.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str) -> Subject {
        Subject::new(name).unwrap()
    }

    #[test]
    fn a_subject_may_make_so_many_calls_a_second_and_others_as_many() {
        let quota = CallQuota::new(100);
        let calls = |name: &str, at: u64| (0..1000).filter(|_| quota.take(&subject(name), Time(at)).is_ok()).count();
        assert_eq!(calls("a", 50_000), 100);
        assert_eq!((calls("a", 50_000), calls("b", 50_000)), (0, 100));
        assert_eq!((calls("a", 50_100), calls("a", 50_105), calls("a", 50_110)), (10, 0, 1));
        assert_eq!(calls("a", 60_000), 100);
        let refused = quota.take(&subject("a"), Time(60_000)).unwrap_err();
        assert!(refused.to_string().contains("100 calls a second"), "{refused}");
    }

    #[test]
    fn subjects_that_are_quiet_take_no_room() {
        let quota = CallQuota::new(1);
        for number in 0..3 * MANY_SUBJECTS {
            let at = 10_000 + number as u64;
            assert!(quota.take(&subject(&number.to_string()), Time(at)).is_ok());
        }
        assert!(quota.full_at_us.lock().unwrap().len() <= MANY_SUBJECTS);
        let last = subject(&(3 * MANY_SUBJECTS - 1).to_string());
        assert!(quota.take(&last, Time(10_000 + 3 * MANY_SUBJECTS as u64)).is_err(), "and nobody gets more for it");
    }

    #[test]
    fn a_place_for_an_observer_is_given_back() {
        let quota = Arc::new(ObserverQuota::new(2));
        let places = (quota.take(subject("a")).unwrap(), quota.take(subject("a")).unwrap());
        assert!(quota.take(subject("a")).is_err() && quota.take(subject("b")).is_ok());
        drop(places.0);
        let again = quota.take(subject("a")).unwrap();
        assert!(quota.take(subject("a")).is_err());
        drop((again, places.1));
        assert!(quota.open.lock().unwrap().is_empty());
    }
}
