//! What a campaign asks for, the same for every candidacy that it enters.

use crate::error::Error;
use crate::health::HealthCheck;
use std::time::Duration;

/// The longest hold that the service takes.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) election: String,
    pub(super) candidate: String,
    pub(super) ttl: Duration,
    pub(super) value: String,
    pub(super) no_wait: bool,
    pub(super) max_wait: Option<Duration>,
    pub(super) replace_former: bool,
    pub(super) patience: Duration,
    pub(super) hold: Option<Duration>,
    pub(super) health: Option<HealthCheck>,
}

impl Terms {
    /// Refuses what can't be sent, and makes a `max_wait` of zero a try without patience.
    pub(super) fn checked(mut self) -> Result<Self, Error> {
        let ttl = self.ttl;
        if ttl.is_zero() || !is_whole_millis(ttl) {
            let detail = format!("{ttl:?}: give it in whole milliseconds, 1 s at least");
            return Err(Error::Invalid { what: "the ttl", detail });
        }
        if let Some(hold) = self.hold.filter(|hold| *hold > LONGEST_HOLD || !is_whole_millis(*hold)) {
            let detail = format!("{hold:?}: give it in whole milliseconds, 24 h at most");
            return Err(Error::Invalid { what: "the hold", detail });
        }
        self.health.as_ref().map_or(Ok(()), HealthCheck::validate)?;
        if self.max_wait == Some(Duration::ZERO) {
            self.no_wait = true;
            self.max_wait = None;
        }
        Ok(self)
    }
}

/// Whether the service takes this duration: it takes no part of a millisecond.
fn is_whole_millis(duration: Duration) -> bool {
    duration.subsec_nanos().is_multiple_of(1_000_000) && prost_types::Duration::try_from(duration).is_ok()
}
