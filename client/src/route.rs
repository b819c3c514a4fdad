//! What the connections of a client know together: which endpoint to use, and which address not to go to.

use crate::clock::{self, Moment};
use crate::endpoints::Target;
use crate::tenure::Tenure;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an address that was named as the active replica's isn't tried again when it couldn't be reached.
const UNREACHABLE_FOR: Duration = Duration::from_secs(30);
/// The same when it answered that it isn't active: it may soon be.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Addresses that are remembered so.
const SHUNNED_MOST: usize = 16;

/// Why a connection isn't used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No answer came in time.
    Silent,
    /// It broke, or it couldn't be made.
    Broken,
    /// The replica says that it isn't active, or is known to have been replaced.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Route {
    endpoints: Vec<Target>,
    pub(crate) tenure: Tenure,
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

impl Route {
    /// Begins with the endpoint of this index.
    pub(crate) fn new(endpoints: Vec<Target>, at: usize) -> Self {
        debug_assert!(at < endpoints.len(), "there is one endpoint at least");
        Self { endpoints, tenure: Tenure::default(), known: Mutex::new(Known { at, shunned: Vec::new() }) }
    }

    /// How many endpoints there are.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// The endpoint to use.
    pub(crate) fn endpoint(&self) -> Target {
        self.endpoints[self.known().at].clone()
    }

    /// The endpoint to use instead of this address. The next one, unless somebody else has moved on from there already: three
    /// connections that fail at once move on once.
    pub(crate) fn instead_of(&self, address: &str) -> Target {
        let mut known = self.known();
        if *self.endpoints[known.at].address == *address {
            known.at = (known.at + 1) % self.endpoints.len();
        }
        self.endpoints[known.at].clone()
    }

    /// Doesn't go to this address for a while.
    pub(crate) fn shun(&self, address: &Arc<str>, fault: Fault) {
        let refused = fault == Fault::Refused;
        let until = clock::now().plus(if refused { REFUSED_FOR } else { UNREACHABLE_FOR });
        let mut known = self.known();
        known.shunned.retain(|shunned| shunned.address != *address && !shunned.until.has_passed());
        if known.shunned.len() == SHUNNED_MOST {
            known.shunned.remove(0);
        }
        known.shunned.push(Shunned { address: Arc::clone(address), until, refused });
    }

    /// Whether this address isn't to be gone to now.
    pub(crate) fn shuns(&self, address: &str) -> bool {
        self.known().shunned.iter().any(|shunned| *shunned.address == *address && !shunned.until.has_passed())
    }

    /// Whether this address has answered a short while ago that it isn't active: no connection needs to hear that again.
    pub(crate) fn was_refused_by(&self, address: &str) -> bool {
        let now = |shunned: &Shunned| shunned.refused && !shunned.until.has_passed();
        self.known().shunned.iter().any(|shunned| *shunned.address == *address && now(shunned))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::endpoints;

    fn route(list: &str) -> Route {
        Route::new(endpoints::parse(list).unwrap(), 0)
    }

    #[test]
    fn whoever_fails_last_moves_on_no_further_than_the_first() {
        let route = route("http://a:1,http://b:1,http://c:1");
        assert_eq!(&*route.endpoint().address, "a:1");
        for _ in 0..3 {
            assert_eq!(&*route.instead_of("a:1").address, "b:1");
        }
        assert_eq!(&*route.instead_of("active:1").address, "b:1", "it was no endpoint that failed");
        assert_eq!(&*route.instead_of("b:1").address, "c:1");
        assert_eq!(&*route.instead_of("c:1").address, "a:1", "round and round");
        assert_eq!(&*self::route("http://a:1").instead_of("a:1").address, "a:1");
    }

    #[test]
    fn an_address_is_shunned_for_a_reason_and_a_bounded_number_is_remembered() {
        let route = route("http://a:1");
        let [gone, idle]: [Arc<str>; 2] = ["gone:1", "idle:1"].map(Arc::from);
        route.shun(&gone, Fault::Broken);
        route.shun(&idle, Fault::Refused);
        assert!(route.shuns("gone:1") && route.shuns("idle:1") && !route.shuns("a:1"));
        assert!(!route.was_refused_by("gone:1") && route.was_refused_by("idle:1"));
        for number in 0..100 {
            route.shun(&Arc::from(format!("other-{number}:1")), Fault::Silent);
        }
        assert!(!route.shuns("gone:1") && route.shuns("other-99:1"));
        assert_eq!(route.known().shunned.len(), SHUNNED_MOST);
    }
}
