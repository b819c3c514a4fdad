//! What the connections of a client know together: which endpoint to use, and which addresses to
//! avoid. No I/O: `now` is an argument.

use super::endpoint::Target;
use super::fault::Fault;
use super::tenure::HighestTenure;
use crate::clock::Moment;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an address that was named as the active replica's isn't tried again when it couldn't be
/// reached.
const UNREACHABLE_FOR: Duration = Duration::from_secs(30);
/// How long it isn't tried again when it answered that it isn't active: it may soon be.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// How many such addresses are remembered.
const SHUNNED_MOST: usize = 16;

#[derive(Debug)]
pub(super) struct Failover {
    endpoints: Vec<Target>,
    pub(super) tenure: HighestTenure,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// The endpoint that a connection is made to next.
    at: usize,
    shunned: Vec<Shunned>,
}

#[derive(Debug)]
struct Shunned {
    address: Arc<str>,
    until: Moment,
    refused: bool,
}

impl Failover {
    /// Begins with the endpoint of this index.
    pub(super) fn new(endpoints: Vec<Target>, at: usize) -> Self {
        debug_assert!(at < endpoints.len(), "there is one endpoint at least");
        Self { endpoints, tenure: HighestTenure::default(), known: Mutex::new(Known { at, shunned: Vec::new() }) }
    }

    /// How many endpoints there are.
    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// The endpoint to use.
    pub(super) fn endpoint(&self) -> Target {
        self.endpoints[self.known().at].clone()
    }

    /// The endpoint to use instead of this address: the next one, unless another connection has
    /// moved on from there already. Three connections that fail at once move on once.
    pub(super) fn instead_of(&self, address: &str) -> Target {
        let mut known = self.known();
        if *self.endpoints[known.at].address == *address {
            known.at = (known.at + 1) % self.endpoints.len();
        }
        self.endpoints[known.at].clone()
    }

    /// Doesn't go to this address for a while.
    pub(super) fn shun(&self, address: &Arc<str>, fault: Fault, now: Moment) {
        let refused = fault == Fault::Refused;
        let until = now.plus(if refused { REFUSED_FOR } else { UNREACHABLE_FOR });
        let mut known = self.known();
        known.shunned.retain(|shunned| shunned.address != *address && !shunned.until.has_passed(now));
        if known.shunned.len() == SHUNNED_MOST {
            known.shunned.remove(0);
        }
        known.shunned.push(Shunned { address: Arc::clone(address), until, refused });
    }

    /// Whether this address isn't to be gone to now.
    pub(super) fn shuns(&self, address: &str, now: Moment) -> bool {
        self.known().shunned.iter().any(|shunned| *shunned.address == *address && !shunned.until.has_passed(now))
    }

    /// Whether this address has answered a short while ago that it isn't active: no connection
    /// needs to hear that again.
    pub(super) fn was_refused_by(&self, address: &str, now: Moment) -> bool {
        let refuses = |shunned: &Shunned| shunned.refused && !shunned.until.has_passed(now);
        self.known().shunned.iter().any(|shunned| *shunned.address == *address && refuses(shunned))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::endpoint;
    use super::*;

    fn failover(list: &str) -> Failover {
        Failover::new(endpoint::parse(list, crate::access::Access::new()).unwrap(), 0)
    }

    #[test]
    fn whoever_fails_last_moves_on_no_further_than_the_first() {
        let failover = failover("http://a:1,http://b:1,http://c:1");
        assert_eq!(&*failover.endpoint().address, "a:1");
        for _ in 0..3 {
            assert_eq!(&*failover.instead_of("a:1").address, "b:1");
        }
        assert_eq!(&*failover.instead_of("active:1").address, "b:1", "it was no endpoint that failed");
        assert_eq!(&*failover.instead_of("b:1").address, "c:1");
        assert_eq!(&*failover.instead_of("c:1").address, "a:1", "round and round");
        assert_eq!(&*self::failover("http://a:1").instead_of("a:1").address, "a:1");
    }

    #[test]
    fn an_address_is_shunned_for_a_reason_and_a_bounded_number_is_remembered() {
        let failover = failover("http://a:1");
        let [gone, idle]: [Arc<str>; 2] = ["gone:1", "idle:1"].map(Arc::from);
        let now = Moment::PAST;
        failover.shun(&gone, Fault::Broken, now);
        failover.shun(&idle, Fault::Refused, now);
        let shuns = |address: &str, later| failover.shuns(address, now.plus(later));
        assert!(!shuns("a:1", Duration::ZERO));
        for (address, time) in [("gone:1", UNREACHABLE_FOR), ("idle:1", REFUSED_FOR)] {
            assert!(shuns(address, time - Duration::from_nanos(1)) && !shuns(address, time), "{address}");
        }
        assert!(!failover.was_refused_by("gone:1", now) && failover.was_refused_by("idle:1", now));
        for number in 0..100 {
            failover.shun(&Arc::from(format!("other-{number}:1")), Fault::Silent, now);
        }
        assert!(!shuns("gone:1", Duration::ZERO) && shuns("other-99:1", Duration::ZERO));
        assert_eq!(failover.known().shunned.len(), SHUNNED_MOST);
    }
}
