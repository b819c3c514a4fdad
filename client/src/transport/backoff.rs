//! Delays between tries: doubled each time up to a longest one, with jitter so that many clients
//! don't come back as one.

use super::fault::Fault;
use crate::error::Error;
use std::hash::BuildHasher as _;
use std::time::Duration;

/// The first delay, unless another one is asked for.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay, unless another one is asked for.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    endpoints: usize,
    /// Endpoints that weren't tried since the last delay of full length.
    untried: usize,
}

impl Backoff {
    /// Delays from 100 ms to 5 s.
    pub(crate) fn new(endpoints: usize) -> Self {
        Self::between(FIRST, LONGEST, endpoints)
    }

    pub(crate) fn between(first: Duration, longest: Duration, endpoints: usize) -> Self {
        let first = first.min(longest);
        Self { first, longest, next: first, endpoints, untried: endpoints - 1 }
    }

    /// The next delay.
    pub(crate) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        self.untried = self.endpoints - 1;
        jittered(delay, random())
    }

    /// The delay after this error. Where another endpoint may do better, it is the first one until
    /// all were tried: so the delays grow from round to round, and no endpoint is asked more often
    /// than if it were the only one.
    pub(crate) fn after(&mut self, error: &Error) -> Duration {
        if self.untried == 0 || Fault::of(error).is_none() {
            return self.delay();
        }
        self.untried -= 1;
        jittered(self.first, random())
    }

    /// A delay of about this long. The next delay stays as it is.
    pub(crate) fn of(time: Duration) -> Duration {
        jittered(time, random())
    }

    /// Begins with the first delay again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
        self.untried = self.endpoints - 1;
    }
}

#[cfg(not(turmoil))]
fn random() -> u64 {
    std::hash::RandomState::new().hash_one(())
}

/// A simulation that is repeated with its seed has the same delays.
#[cfg(turmoil)]
fn random() -> u64 {
    std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(turmoil::sim_elapsed())
}

/// Between a half and the whole of a delay.
fn jittered(delay: Duration, random: u64) -> Duration {
    let half = delay / 2;
    half + half.mul_f64((random % 1024) as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(endpoints: usize) -> Backoff {
        Backoff::between(FIRST, Duration::from_millis(350), endpoints)
    }

    fn assert_about(delay: Duration, whole: u64) {
        assert!(delay >= Duration::from_millis(whole / 2) && delay <= Duration::from_millis(whole), "{delay:?}");
    }

    #[test]
    fn delays_double_up_to_the_longest_and_begin_again() {
        let mut backoff = backoff(1);
        for whole in [100, 200, 350, 350] {
            assert_about(backoff.after(&Error::silent("a call")), whole);
        }
        backoff.reset();
        assert!(backoff.delay() <= FIRST);
    }

    #[test]
    fn delays_grow_from_round_to_round_of_the_endpoints() {
        let mut backoff = backoff(3);
        for whole in [100, 100, 100, 100, 100, 200, 100, 100, 350] {
            assert_about(backoff.after(&Error::silent("a call")), whole);
        }
    }

    #[test]
    fn an_error_that_every_endpoint_would_answer_makes_no_haste() {
        let mut backoff = backoff(3);
        let full = Error::NotGranted { detail: String::new() };
        for whole in [100, 200, 350] {
            assert_about(backoff.after(&full), whole);
        }
    }

    #[test]
    fn jitter_takes_a_half_at_most() {
        let delay = Duration::from_secs(1);
        assert_eq!(jittered(delay, 0), delay / 2);
        assert!(jittered(delay, 1023) > delay * 9 / 10);
    }
}
