//! Delays between tries: doubled each time up to a longest one, with jitter so that many clients don't come back as one.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first: first.min(longest), longest, next: first.min(longest) }
    }

    /// The next delay.
    pub(crate) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        jittered(delay, RandomState::new().hash_one(()))
    }

    /// Begins with the first delay again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between a half and the whole of a delay.
fn jittered(delay: Duration, random: u64) -> Duration {
    let half = delay / 2;
    half + half.mul_f64((random % 1024) as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for whole in [100, 200, 350, 350] {
            let delay = backoff.delay();
            assert!(delay >= Duration::from_millis(whole / 2) && delay <= Duration::from_millis(whole), "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_millis(100));
    }

    #[test]
    fn jitter_takes_a_half_at_most() {
        let delay = Duration::from_secs(1);
        assert_eq!(jittered(delay, 0), delay / 2);
        assert!(jittered(delay, 1023) > delay * 9 / 10);
    }
}
