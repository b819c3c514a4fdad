//! What a replica is, as everybody may know it.

use crate::Right;
use leasehold_core::{Millis, Tenure, Time};

/// How long a call waits for a right that has lapsed. A server that stood still has it back within
/// a moment; one whose disk hangs hasn't, and says so.
pub const LAPSE_PATIENCE: Millis = Millis(500);

/// What everybody may know of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No tenure, for now.
    Standby {
        /// The Lease was read: this replica can forward, or take over. Never so with a file.
        heard: bool,
        /// It knows whom to forward to.
        follows: bool,
    },
    /// Active.
    Active {
        /// The tenure.
        tenure: Tenure,
        /// Whether it grants.
        settled: bool,
    },
    /// Shutting down, or over.
    Stopped,
}

/// What the phase follows from.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// 0 without one.
    pub(crate) tenure: Tenure,
    pub(crate) settled: bool,
    pub(crate) heard: bool,
    pub(crate) follows: bool,
    /// A tenure has ended for a shutdown.
    pub(crate) stopping: bool,
    pub(crate) stopped: bool,
    lapse: Option<Lapse>,
}

/// A right that has lapsed.
#[derive(Clone, Copy, Debug)]
struct Lapse {
    /// The shell saw it first at this moment.
    since: Time,
    /// Everybody was told.
    said: bool,
}

/// What a look at a right that has lapsed shows.
pub(crate) struct Looked {
    /// Calls are to wait: the right may be back in a moment.
    pub(crate) holds_calls: bool,
    /// It has lapsed for too long, and that wasn't said yet.
    pub(crate) must_be_said: bool,
}

impl Standing {
    pub(crate) fn phase(&self) -> Phase {
        let (heard, follows) = (self.heard, self.follows);
        match self.tenure {
            _ if self.stopping || self.stopped => Phase::Stopped,
            tenure if tenure != Tenure(0) && self.lapse.is_none_or(|lapse| !lapse.said) => {
                Phase::Active { tenure, settled: self.settled }
            }
            _ => Phase::Standby { heard, follows },
        }
    }

    pub(crate) fn began(&mut self, tenure: Tenure) {
        (self.tenure, self.settled, self.lapse) = (tenure, false, None);
    }

    pub(crate) fn ended(&mut self, stopping: bool) {
        (self.tenure, self.lapse) = (Tenure(0), None);
        self.stopping |= stopping;
    }

    /// Looks whether the right has lapsed.
    pub(crate) fn look(&mut self, right: &Right, now: Time) -> Looked {
        if !right.has_lapsed(now) {
            return Looked { holds_calls: false, must_be_said: false };
        }
        let lapse = self.lapse.get_or_insert(Lapse { since: now, said: false });
        let holds_calls = now.since(lapse.since) < LAPSE_PATIENCE;
        let must_be_said = !holds_calls && !lapse.said;
        lapse.said |= must_be_said;
        Looked { holds_calls, must_be_said }
    }

    /// The right is extended until then. Whether it had lapsed and is back.
    pub(crate) fn extended(&mut self, until: Time, now: Time) -> bool {
        self.lapse.take_if(|_| now < until).is_some()
    }
}
