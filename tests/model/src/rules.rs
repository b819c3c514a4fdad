//! The rules of the protocol, each of which can be taken out.
//!
//! They have the names that docs/architecture.md gives them. Where a rule has several parts, the
//! name of a part begins with the name of its rule: `recency-tenure` is a part of `recency`.

use clap::ValueEnum;

/// A rule, or a part of one. The table in docs/model.md shows what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// The right counts from before the send. Without: from the reply.
    FromTheSendRight,
    /// A claim of its own that a replica finds counts from the send. Without: from the moment it
    /// was found.
    FromTheSendClaim,
    /// A worker's deadline counts from before the send. Without: from the answer.
    FromTheSendWorker,
    /// At its deadline the right ends. Without: when the holder finds another one.
    RightEnds,
    /// A right that has ended stays ended. Without: a success that is reported late brings it back.
    RightEndsForGood,
    /// The server waits a little longer than a worker, and a new tenure than the longest TTL.
    Drift,
    /// The right ends a margin before the duration is over.
    DriftMargin,
    /// Every update of the Lease is a compare-and-swap.
    CompareAndSwap,
    /// A standby takes over when it has seen the Lease unchanged for a duration. Without: as soon
    /// as it likes.
    WholeDuration,
    /// Each change of the Lease makes a standby wait anew. Without: it counts from when it first
    /// looked.
    WholeDurationUnchanged,
    /// The longest of the durations that a standby knows of. Without: its own setting.
    WholeDurationLongest,
    /// The duration of a tenure stands in an annotation too. Without: it is the field that anybody
    /// may edit.
    WholeDurationWritten,
    /// A Lease without annotations counts as held by an unknown. Without: as free.
    UnknownHolds,
    /// A release names the tenure that ended. Without: an empty holder is enough.
    ReleaseNamed,
    /// A release counts for those who saw that tenure held, and no higher one. Without: for all.
    ReleaseSeen,
    /// A Lease that is older than one seen says nothing of the tenure before.
    RestoredSaysNothing,
    /// Nor does one of that same tenure that is older than one seen. Without: only an older tenure
    /// gives it away.
    RestoredSaysNothingWithin,
    /// Whoever finds a Lease older than one seen strips it, for those who haven't seen it. Without:
    /// it keeps that to itself.
    RestoredStripped,
    /// A holder that finds another one stops at once. Without: it writes over it.
    YieldToOther,
    /// Each claim bears a mark of its own. Without: holder and tenure tell whose claim it is.
    OwnWrites,
    /// Whoever shuts down stops serving before it writes the release. Without: it serves on.
    StopFirst,
    /// Each try of the release checks that holder and tenure are its own. Without: only the first
    /// one does.
    ReleaseChecks,
    /// Only a mirror that has reached the last number spares the wait. Without: any of that tenure.
    MirrorComplete,
    /// A tenure starts at the ceiling found and seen. Without: after the first number of the last
    /// tenure.
    Ceiling,
    /// Where no ceiling is found, the clock is the floor of the numbers. Without: they begin anew.
    Floor,
    /// A new tenure grants nothing for a while.
    Wait,
    /// It waits for the longest TTL in the Lease that was replaced. Without: in its own setting.
    WaitOfLease,
    /// A tenure that ends inside its wait names no last number.
    WaitCutShort,
    /// The longest TTL only rises. Without: each tenure writes its own setting.
    LongestTtlRises,
    /// Only what the takeover replaced counts. Without: what was first seen of that tenure.
    ReplacedOnly,
    /// A leader's ticket is put back only if it comes from the tenure right before.
    RecencyTenure,
    /// A leader's ticket is put back only if it was alive when the old right ended.
    RecencyTime,
    /// The old right ended a duration after it was last renewed. Without: when it was renewed.
    RecencyRight,
    /// Where a leader's ticket can't promote a waiter that is known, that one ends. Without: the
    /// answer is that it waits.
    LeaderNeverWaits,
    /// A leader's ticket promotes a waiter that is known.
    LeaderNeverWaitsPromotes,
    /// The higher token wins of two leaders' tickets. Without: the first one to arrive.
    HigherTokenWins,
    /// No ticket demotes: for a candidacy that is known it is only its name.
    NameOnly,
    /// A ticket of the current tenure that is unknown is over.
    CurrentOver,
    /// After the wait, unknown tickets of earlier tenures are refused.
    AfterWait,
    /// What ended inside the wait is remembered, so that no ticket puts it back.
    EndsRemembered,
    /// A leader's ticket that was too old is remembered. Without: a waiter's ticket of that
    /// candidacy and tenure, which is older still, puts it back after all.
    RefusedRemembered,
    /// A call belongs to the tenure that the standby knew when it arrived.
    CallTenure,
    /// A worker drops what comes from a lower tenure.
    HigherVersion,
    /// After a StepDown the next one is granted when the leader has resigned or run out. Without:
    /// at once.
    DrainWaits,
    /// The ticket of a drain that was handed over stays that of the former tenure.
    DrainTicket,
}

/// Which rules hold: all, but for those taken out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    out: u64,
}

impl Rules {
    /// All rules but this one.
    #[must_use]
    pub fn without(self, rule: Rule) -> Self {
        Self { out: self.out | 1 << rule as u32 }
    }

    /// Whether a rule holds.
    #[must_use]
    pub fn has(self, rule: Rule) -> bool {
        self.out & 1 << rule as u32 == 0
    }
}
