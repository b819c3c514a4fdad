//! The budget of memory: what candidacies take, and whether one more fits.

use super::{Candidacy, Elections, Turn};
use crate::{CANDIDACY_BYTES, CandidateName, ElectionName, Entry, Reject, Subject, Ticket, Value};

/// The last eighth of the budget is kept for candidacies that take no more than this, so that long
/// values alone can't keep everybody out.
const SHORT_BYTES: usize = CANDIDACY_BYTES + 512;

/// What an election on hold takes without a candidacy: its name, and the last change of it.
const HELD_BYTES: usize = 1024;

/// How many bytes a candidacy counts for. Its value counts three times: it stands in the candidacy
/// and in the buffer of its stream's last ticket, and leaves a hole in memory where its request
/// was.
fn bytes(election: &ElectionName, candidate: &CandidateName, subject: &Subject, value: &Value) -> usize {
    let names = election.as_str().len() + candidate.as_str().len() + subject.as_str().len();
    CANDIDACY_BYTES + names + 3 * value.as_str().len()
}

impl Candidacy {
    /// How many bytes this candidacy counts for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes_with(&self.value)
    }

    /// How many bytes it would count for with another value.
    pub(super) fn bytes_with(&self, value: &Value) -> usize {
        bytes(&self.election, &self.candidate, &self.subject, value)
    }
}

impl Entry {
    pub(super) fn bytes(&self) -> usize {
        bytes(&self.election, &self.candidate, &self.subject, &self.value)
    }
}

impl Ticket {
    pub(super) fn bytes(&self) -> usize {
        bytes(&self.election, &self.candidate, &self.subject, &self.value)
    }
}

impl Elections {
    /// Refuses what doesn't fit into the budget. A candidacy that becomes smaller always fits.
    pub(super) fn afford(&self, turn: &Turn<'_>, freed: usize, taken: usize) -> Result<(), Reject> {
        let limit = turn.config.limits.bytes;
        let room = if taken <= SHORT_BYTES { limit } else { limit - limit / 8 };
        if taken <= freed || (self.bytes - freed + self.holds.len() * HELD_BYTES).saturating_add(taken) <= room {
            Ok(())
        } else {
            Err(Reject::OutOfMemoryBudget { limit })
        }
    }
}
