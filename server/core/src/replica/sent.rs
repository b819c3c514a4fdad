//! A claim that was sent: what it replaced, and what that says if no tenure comes of it.

use crate::tenure::{Claim, Known};
use crate::{Config, Found, Millis, Over, Record, Tenure, Time};

/// What a claim replaces.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) found: Found,
    /// The record was written by this process. Two replicas that replace the same Lease may claim
    /// the same tenure, so the record alone doesn't tell.
    pub(super) mine: bool,
    pub(super) over: Over,
}

/// A claim that is under way, or whose tenure never began although it may be stored. Nothing was
/// handed out in its name.
#[derive(Debug)]
pub(super) struct SentClaim {
    pub(super) claim: Claim,
    pub(super) record: Record,
    /// What it replaced: if it came after other claims without a tenure, what the first of them
    /// did.
    before: Found,
    pub(super) over: Over,
    /// The tenure of the first of those claims. Any of them may be the one that is stored.
    first: Tenure,
}

impl SentClaim {
    /// Decides what to claim over `target`, after a claim whose tenure never began.
    ///
    /// That one may be what is found now. Its record knows of no leaders, and a slow store would
    /// cost each leader its place. So what counts is what that claim had replaced.
    /// Rule `replaced-only`.
    pub(super) fn new(target: Target, unused: Option<Self>, known: &Known, config: &Config, now: Time) -> Self {
        let Target { found, mine, over } = target;
        let mut first = unused.as_ref().filter(|unused| unused.replaces(&over)).map(|unused| unused.first);
        let before = match (found, unused) {
            (Found::Record(record), Some(unused)) if mine && unused.covers(&record) => {
                // When somebody labels the Lease, the same claim is found once more.
                if over != Over::Anything {
                    first = Some(unused.first);
                }
                match unused.before {
                    Found::Record(before) if unused.claim.knows_its_former() => {
                        Found::Record(before.with_ceiling(record.ceiling))
                    }
                    // A record that had been put in another's place says as little as it did then.
                    before => before,
                }
            }
            (found, _) => found,
        };
        let claim = Claim::new(known, before.clone(), now);
        let (record, first) = (claim.record(config), first.unwrap_or(claim.tenure));
        Self { claim, record, before, over, first }
    }

    /// Whether the record is this claim, or one before it of which no tenure came.
    fn covers(&self, record: &Record) -> bool {
        let claimed = self.first <= record.tenure && record.tenure <= self.claim.tenure;
        claimed && record.renewed_at == Millis(0) && record.ended_at.is_none()
    }

    /// Whether it was sent to replace the same version: then it may be stored as well as the next
    /// one.
    fn replaces(&self, over: &Over) -> bool {
        matches!(over, Over::Version(_)) && self.over == *over
    }
}
