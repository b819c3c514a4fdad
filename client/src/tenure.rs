//! The highest tenure that a client has seen: what comes from a lower one was sent by a replica that has been replaced.

use crate::Error;
use crate::clock::{self, Moment};
use crate::proto::{
    CampaignResponse, GetElectionResponse, GetStatusResponse, KeepAliveResponse, ListElectionsResponse,
    ObserveResponse, ProclaimResponse, ResignResponse, StepDownResponse, VerifyTokenResponse,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::Streaming;

#[derive(Debug, Default)]
pub(crate) struct Tenure(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    newest: u64,
    /// Answers from lower tenures, if none was heard since the first of them.
    unheard: Option<Unheard>,
}

#[derive(Debug, Clone, Copy)]
struct Unheard {
    first: Moment,
    last: Moment,
    tenure: u64,
}

impl Tenure {
    /// Takes note of the tenure of an answer, and refuses the answer if a higher one is known.
    pub(crate) fn admit(&self, tenure: u64) -> Result<(), Error> {
        let mut seen = self.seen();
        if tenure >= seen.newest {
            *seen = Seen { newest: tenure, unheard: None };
            return Ok(());
        }
        let last = clock::now();
        let first = seen.unheard.map_or(last, |unheard| unheard.first);
        seen.unheard = Some(Unheard { first, last, tenure });
        Err(Error::Outdated { tenure, newest: seen.newest })
    }

    /// Whether an answer of this tenure would be refused.
    pub(crate) fn is_outdated(&self, tenure: u64) -> bool {
        tenure < self.seen().newest
    }

    /// The tenure that answers and the newest one, if answers have come from below for this long,
    /// and none but these. No replica that was replaced goes on for so long: the service itself has
    /// fallen back.
    pub(crate) fn below_for(&self, time: Duration) -> Option<Below> {
        let seen = self.seen();
        let Unheard { first, last, tenure } = seen.unheard?;
        (last.since(first) >= time).then_some(Below { tenure, newest: seen.newest })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenure of the service, and a higher one that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Below {
    pub(crate) tenure: u64,
    pub(crate) newest: u64,
}

/// An answer, and what it says of its tenure.
pub(crate) trait Tenured {
    /// None: it says nothing that a replica which was replaced couldn't say.
    fn tenure(&self) -> Option<u64>;
}

macro_rules! tenured {
    ($($response:ty),*) => {
        $(impl Tenured for $response {
            fn tenure(&self) -> Option<u64> {
                Some(self.tenure)
            }
        })*
    };
}

tenured!(
    GetElectionResponse,
    KeepAliveResponse,
    ListElectionsResponse,
    ProclaimResponse,
    ResignResponse,
    StepDownResponse,
    VerifyTokenResponse
);

/// What a replica is it may say at any time.
impl Tenured for GetStatusResponse {
    fn tenure(&self) -> Option<u64> {
        None
    }
}

/// Each message will name its own.
impl Tenured for Streaming<ObserveResponse> {
    fn tenure(&self) -> Option<u64> {
        None
    }
}

/// A stream and its first message.
impl Tenured for (Streaming<CampaignResponse>, CampaignResponse) {
    fn tenure(&self) -> Option<u64> {
        Some(self.1.tenure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_tenure_is_heard() {
        let seen = Tenure::default();
        assert!(seen.admit(5).is_ok());
        assert!(seen.admit(5).is_ok());
        assert!(seen.admit(7).is_ok());
        assert_eq!(seen.admit(5), Err(Error::Outdated { tenure: 5, newest: 7 }));
        assert!(seen.admit(7).is_ok());
        assert!(seen.is_outdated(6) && !seen.is_outdated(7));
    }

    #[test]
    fn answers_from_below_are_timed_until_one_is_heard() {
        const TIME: Duration = Duration::from_millis(30);
        let seen = Tenure::default();
        assert!(seen.admit(7).is_ok());
        assert_eq!(seen.below_for(Duration::ZERO), None);
        assert!(seen.admit(4).is_err());
        std::thread::sleep(TIME);
        assert_eq!(seen.below_for(TIME), None, "one answer alone may be a straggler");
        assert!(seen.admit(5).is_err());
        assert_eq!(seen.below_for(TIME), Some(Below { tenure: 5, newest: 7 }));
        assert!(seen.admit(8).is_ok());
        assert_eq!(seen.below_for(Duration::ZERO), None);
    }
}
