//! For each rule, the world in which its absence breaks a promise.

use crate::promises::{CONTINUITY, NO_PHANTOM, ONE_ACTIVE, ONE_LEADER, TOKENS_RISE};
use crate::rules::Rule;
use crate::world::World;
use crate::worlds::{
    CRASH, DRAIN, DURATIONS, EDITED, HANDOVER, LATE_NEWS, LOST, MEDDLING, NETWORK, NEWCOMER, OLD_CONTRACT, RESTORED,
    SKEWED, SLOW_API, SLOW_RELEASE, STANDBY, TTLS, UNHEARD,
};

/// The world, and a promise that is broken there. None: no world that was tried needs the rule.
#[must_use]
pub const fn refutation(rule: Rule) -> Option<(World, &'static str)> {
    Some(match rule {
        Rule::RightEndsForGood | Rule::YieldToOther => return None,
        Rule::CompareAndSwap | Rule::FromTheSendRight | Rule::FromTheSendClaim | Rule::OwnWrites => {
            (SLOW_API, ONE_ACTIVE)
        }
        Rule::WholeDuration | Rule::WholeDurationLongest => (DURATIONS, ONE_ACTIVE),
        Rule::RightEnds | Rule::WholeDurationUnchanged => (CRASH, ONE_ACTIVE),
        Rule::DriftMargin => (SKEWED, ONE_ACTIVE),
        Rule::ReleaseNamed | Rule::UnknownHolds => (MEDDLING, ONE_ACTIVE),
        Rule::ReleaseSeen => (NEWCOMER, ONE_ACTIVE),
        Rule::StopFirst => (TTLS, ONE_ACTIVE),
        Rule::Floor => (LOST, ONE_ACTIVE),
        Rule::WholeDurationWritten => (EDITED, TOKENS_RISE),
        Rule::ReleaseChecks => (SLOW_RELEASE, TOKENS_RISE),
        Rule::Ceiling
        | Rule::RecencyTenure
        | Rule::RecencyTime
        | Rule::RecencyRight
        | Rule::CurrentOver
        | Rule::AfterWait => (CRASH, TOKENS_RISE),
        Rule::Drift => (SKEWED, TOKENS_RISE),
        Rule::FromTheSendWorker => (LATE_NEWS, ONE_LEADER),
        Rule::HigherVersion => (UNHEARD, ONE_LEADER),
        Rule::LeaderNeverWaits => (OLD_CONTRACT, ONE_LEADER),
        Rule::Wait => (CRASH, ONE_LEADER),
        Rule::WaitOfLease | Rule::LongestTtlRises => (TTLS, ONE_LEADER),
        Rule::MirrorComplete | Rule::WaitCutShort => (HANDOVER, ONE_LEADER),
        Rule::ReplacedOnly => (TTLS, TOKENS_RISE),
        Rule::RestoredSaysNothing | Rule::RestoredSaysNothingWithin => (RESTORED, TOKENS_RISE),
        Rule::RestoredStripped => (NEWCOMER, TOKENS_RISE),
        Rule::HigherTokenWins | Rule::NameOnly | Rule::LeaderNeverWaitsPromotes => (NETWORK, CONTINUITY),
        Rule::CallTenure | Rule::EndsRemembered | Rule::RefusedRemembered => (STANDBY, NO_PHANTOM),
        Rule::DrainWaits => (DRAIN, ONE_LEADER),
        Rule::DrainTicket => (DRAIN, TOKENS_RISE),
    })
}
