//! Why a call is refused: data, which the shell turns into a gRPC status in one table.

use crate::{ElectionName, EndReason, FencingToken, Millis};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The replica has no tenure, or the right of its tenure has ended or lapsed.
    #[error("this replica isn't active; try again")]
    NotActive,
    /// The call was forwarded to a tenure that is over.
    #[error("the active replica has changed since this call was sent; try again")]
    OtherTenure,
    /// The replica is being shut down.
    #[error("this replica is shutting down; try again")]
    ShuttingDown,
    /// Too few numbers are left below the stored ceiling: they are used faster than the store
    /// confirms the writes that raise it.
    #[error("the store hasn't confirmed enough numbers ahead of use; try again")]
    NumbersLow,
    /// The TTL lies outside the limits.
    #[error("the ttl is {ttl}; this server accepts {min} to {max} (setting max_ttl)")]
    TtlOutOfRange {
        /// What was asked for.
        ttl: Millis,
        /// The shortest.
        min: Millis,
        /// The longest.
        max: Millis,
    },
    /// The hold is longer than the limit.
    #[error("the hold is {hold}; this server accepts 0 to {max}")]
    HoldTooLong {
        /// What was asked for.
        hold: Millis,
        /// The longest.
        max: Millis,
    },
    /// There are as many elections as allowed.
    #[error("there are {limit} elections already, the most that this server holds (setting max_elections)")]
    TooManyElections {
        /// The limit.
        limit: usize,
    },
    /// There are as many candidacies as allowed.
    #[error("there are {limit} candidacies already, the most that this server holds (setting max_candidacies)")]
    TooManyCandidacies {
        /// The limit.
        limit: usize,
    },
    /// The candidacies take as much memory as allowed.
    #[error(
        "the candidacies of this server take nearly all of the {limit} bytes that it has for them (a part of the setting \
         max_memory); give a shorter value, or end some of them"
    )]
    OutOfMemoryBudget {
        /// The limit.
        limit: usize,
    },
    /// The election has as many candidacies as allowed.
    #[error(
        "the election {election} has {limit} candidacies already, the most that one may have (setting \
         max_candidacies_per_election)"
    )]
    ElectionFull {
        /// Which one.
        election: ElectionName,
        /// The limit.
        limit: usize,
    },
    /// The caller has as many candidacies as allowed.
    #[error(
        "this caller has {limit} candidacies already, the most that one may have (setting max_candidacies_per_subject)"
    )]
    SubjectFull {
        /// The limit.
        limit: usize,
    },
    /// Only the leader may do this.
    #[error("this candidate doesn't lead the election {election}; only its leader can do this")]
    NotLeading {
        /// Which election.
        election: ElectionName,
    },
    /// The candidacy is over.
    #[error("this candidacy in the election {election} is over ({}); enter the election again with Campaign", .reason.name())]
    Ended {
        /// Which election.
        election: ElectionName,
        /// Why it ended.
        reason: EndReason,
    },
    /// The election has no leader.
    #[error("the election {election} has no leader")]
    NoLeader {
        /// Which election.
        election: ElectionName,
    },
    /// The election has another leader.
    #[error("the leader of the election {election} has the fencing token {current}, not {given}")]
    OtherLeader {
        /// Which election.
        election: ElectionName,
        /// What was given.
        given: FencingToken,
        /// The leader's.
        current: FencingToken,
    },
    /// A leader of the former tenure may still be out there.
    #[error(
        "the service has just started and doesn't know yet who leads the election {election}; ask again in {settling}"
    )]
    Settling {
        /// Which election.
        election: ElectionName,
        /// How long that lasts.
        settling: Millis,
    },
    /// The stream of this candidacy was opened elsewhere.
    #[error("another Campaign stream was opened for this candidacy; that one goes on, so don't open this one again")]
    Superseded,
}
