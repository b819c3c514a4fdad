//! The guard for the resource's side: refuses fencing tokens lower than the highest seen.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Remembers the highest fencing token that one resource has seen, and refuses lower ones.
///
/// A worker that was paused doesn't know that another one leads by now; the resource does, from the
/// tokens that came with the requests. Share it between threads by reference or in an `Arc`.
///
/// It lives in memory. A resource that restarts forgets it: store [`highest`](Fence::highest) with
/// the data, in the same transaction, and begin with [`starting_at`](Fence::starting_at). Databases
/// and stores have recipes of their own in docs/fencing.md.
///
/// ```
/// let fence = leasehold::Fence::new();
/// fence.check(41)?;
/// fence.check(41)?; // the same leader again
/// fence.check(57)?; // the next one
/// let stale = fence.check(41).unwrap_err(); // the first one woke up
/// assert_eq!((stale.token, stale.highest), (41, 57));
/// # Ok::<(), leasehold::Stale>(())
/// ```
#[derive(Debug, Default)]
pub struct Fence {
    highest: Mutex<u64>,
}

/// A fencing token that is lower than one that was seen before: its bearer doesn't lead any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fencing token {token} is stale: {highest} was seen before, so another leader has taken over")]
pub struct Stale {
    /// The token that was refused.
    pub token: u64,
    /// The highest that was seen.
    pub highest: u64,
}

impl Fence {
    /// A fence that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A fence that has seen this token, e.g. in an earlier life of the process.
    #[must_use]
    pub fn starting_at(highest: u64) -> Self {
        Self { highest: Mutex::new(highest) }
    }

    /// Takes note of a token.
    ///
    /// What is done after it returns may come after a higher token was accepted elsewhere. Where
    /// that matters, use [`run`](Fence::run).
    ///
    /// # Errors
    ///
    /// [`Stale`] if a higher one was seen.
    pub fn check(&self, token: u64) -> Result<(), Stale> {
        self.run(token, || ())
    }

    /// Does something with a token, unless it is stale. No other token is let through meanwhile, so
    /// keep it short; calling the same fence inside it never returns.
    ///
    /// # Errors
    ///
    /// [`Stale`] if a higher one was seen: then nothing was done.
    ///
    /// ```
    /// let fence = leasehold::Fence::starting_at(57);
    /// let mut file = String::new();
    /// fence.run(58, || file.push_str("by 58"))?;
    /// assert!(fence.run(57, || file.clear()).is_err());
    /// assert_eq!(file, "by 58");
    /// # Ok::<(), leasehold::Stale>(())
    /// ```
    pub fn run<T>(&self, token: u64, action: impl FnOnce() -> T) -> Result<T, Stale> {
        let mut highest = lock(&self.highest);
        raise(&mut highest, token)?;
        Ok(action())
    }

    /// The highest token seen; 0 if none was.
    #[must_use]
    pub fn highest(&self) -> u64 {
        *lock(&self.highest)
    }
}

/// A fence for each of many resources, named by a key.
///
/// It keeps one number for each key that was ever accepted and forgets none, because a forgotten
/// fence is an open one. So let keys be your own resources, not what callers make up.
///
/// ```
/// let fences: leasehold::Fences<String> = leasehold::Fences::new();
/// fences.check("invoices", 57)?;
/// fences.check("reports", 12)?; // another resource, other tokens
/// assert!(fences.check("invoices", 12).is_err());
/// # Ok::<(), leasehold::Stale>(())
/// ```
#[derive(Debug)]
pub struct Fences<K> {
    highest: Mutex<HashMap<K, u64>>,
}

impl<K: Eq + Hash> Fences<K> {
    /// Fences that have seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { highest: Mutex::new(HashMap::new()) }
    }

    /// Takes note of a token for one resource. See [`Fence::check`].
    ///
    /// # Errors
    ///
    /// [`Stale`] if a higher one was seen for this resource.
    pub fn check(&self, key: impl Into<K>, token: u64) -> Result<(), Stale> {
        raise(lock(&self.highest).entry(key.into()).or_insert(0), token)
    }

    /// The highest token seen for this resource; 0 if none was.
    #[must_use]
    pub fn highest(&self, key: &K) -> u64 {
        lock(&self.highest).get(key).copied().unwrap_or(0)
    }
}

impl<K: Eq + Hash> Default for Fences<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes note of a token; the number never falls.
fn raise(highest: &mut u64, token: u64) -> Result<(), Stale> {
    if token < *highest {
        return Err(Stale { token, highest: *highest });
    }
    *highest = token;
    Ok(())
}

/// A panic in an action poisons the lock. The number was raised before the action, and is right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn of_many_threads_no_lower_token_comes_after_a_higher_one() {
        let fence = Fence::new();
        let written = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (fence, written) = (&fence, &written);
                scope.spawn(move || {
                    for step in 0..2000 {
                        let token = (step * 7 + thread * 13) % 1000 + step;
                        let _ = fence.run(token, || {
                            let before = written.swap(token, Ordering::SeqCst);
                            assert!(before <= token, "{token} was written after {before}");
                        });
                    }
                });
            }
        });
        assert_eq!(fence.highest(), written.load(Ordering::SeqCst));
    }

    #[test]
    fn a_panic_inside_leaves_the_fence_closed() {
        let fence = Fence::new();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fence.run(9, || panic!("on purpose"))));
        assert!(panic.is_err());
        assert_eq!(fence.check(8), Err(Stale { token: 8, highest: 9 }));
    }

    #[test]
    fn a_refused_token_changes_nothing() {
        let fences: Fences<String> = Fences::new();
        assert!(fences.check("a", 5).is_ok());
        assert!(fences.check("a", 4).is_err());
        assert_eq!((fences.highest(&"a".to_owned()), fences.highest(&"b".to_owned())), (5, 0));
    }
}
