//! The highest tenure that a client has seen: an answer of a lower one was sent by a replica that
//! has been replaced. No I/O: `now` is an argument.

use crate::clock::Moment;
use crate::error::Error;
use crate::proto::{
    CheckPolicyResponse, GetElectionResponse, GetStatusResponse, KeepAliveResponse, ListElectionsResponse,
    ObserveResponse, ProclaimResponse, ResignResponse, StepDownResponse, VerifyTokenResponse, WhoAmIResponse,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::Streaming;

#[derive(Debug, Default)]
pub(super) struct HighestTenure(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    highest: u64,
    /// When the last answer came.
    last: Moment,
    /// Answers from lower tenures, if no other answer has come since the first of them.
    lower: Option<LowerAnswers>,
}

#[derive(Debug, Clone, Copy)]
struct LowerAnswers {
    first: Moment,
    tenure: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { highest: 0, last: Moment::PAST, lower: None }
    }
}

impl HighestTenure {
    /// Takes note of the tenure of an answer, and refuses the answer if a higher one is known.
    pub(super) fn admit(&self, tenure: u64, now: Moment) -> Result<(), Error> {
        let mut seen = self.seen();
        // A task may be stopped between its look at the clock and this line. Answers that others
        // have noted meanwhile came before this one.
        let now = now.max(seen.last);
        seen.last = now;
        if tenure >= seen.highest {
            (seen.highest, seen.lower) = (tenure, None);
            return Ok(());
        }
        let first = seen.lower.map_or(now, |lower| lower.first);
        seen.lower = Some(LowerAnswers { first, tenure });
        Err(Error::Outdated { tenure, newest: seen.highest })
    }

    /// Whether an answer of this tenure would be refused.
    pub(super) fn is_outdated(&self, tenure: u64) -> bool {
        tenure < self.seen().highest
    }

    /// How the service has fallen back, if all answers have come from lower tenures for this long.
    /// No replica that was replaced goes on for so long: the service itself has fallen back.
    pub(super) fn fallen_back_for(&self, time: Duration) -> Option<FallenBack> {
        let seen = self.seen();
        let LowerAnswers { first, tenure } = seen.lower?;
        (seen.last.since(first) >= time).then_some(FallenBack { tenure, newest: seen.highest })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service that answers with a lower tenure than was seen of it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FallenBack {
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
    CheckPolicyResponse,
    GetElectionResponse,
    KeepAliveResponse,
    ListElectionsResponse,
    ProclaimResponse,
    ResignResponse,
    StepDownResponse,
    VerifyTokenResponse,
    WhoAmIResponse
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::PAST;

    #[test]
    fn only_the_newest_tenure_is_heard() {
        let seen = HighestTenure::default();
        for tenure in [5, 5, 7] {
            assert!(seen.admit(tenure, NOW).is_ok());
        }
        assert_eq!(seen.admit(5, NOW), Err(Error::Outdated { tenure: 5, newest: 7 }));
        assert!(seen.admit(7, NOW).is_ok());
        assert!(seen.is_outdated(6) && !seen.is_outdated(7));
    }

    #[test]
    fn answers_of_lower_tenures_are_timed_until_another_is_heard() {
        const TIME: Duration = Duration::from_secs(15);
        let seen = HighestTenure::default();
        assert!(seen.admit(7, NOW).is_ok());
        assert_eq!(seen.fallen_back_for(Duration::ZERO), None);
        assert!(seen.admit(4, NOW).is_err());
        assert_eq!(seen.fallen_back_for(TIME), None, "one answer alone may be a straggler");
        assert!(seen.admit(5, NOW.plus(TIME)).is_err());
        assert_eq!(seen.fallen_back_for(TIME), Some(FallenBack { tenure: 5, newest: 7 }));
        assert!(seen.admit(8, NOW.plus(TIME)).is_ok());
        assert_eq!(seen.fallen_back_for(Duration::ZERO), None);
    }

    #[test]
    fn a_task_that_was_stopped_after_its_look_at_the_clock_turns_no_time_back() {
        const TIME: Duration = Duration::from_secs(15);
        let seen = HighestTenure::default();
        assert!(seen.admit(7, NOW.plus(TIME)).is_ok());
        assert!(seen.admit(5, NOW).is_err());
        assert!(seen.admit(5, NOW.plus(TIME)).is_err());
        assert_eq!(seen.fallen_back_for(TIME), None, "tenure 7 has answered a moment ago");
        assert!(seen.admit(5, NOW.plus(2 * TIME)).is_err());
        assert!(seen.admit(5, NOW).is_err());
        let fallen_back = Some(FallenBack { tenure: 5, newest: 7 });
        assert_eq!(seen.fallen_back_for(TIME), fallen_back, "that was known before");
    }
}
