//! The claimant: has sent the first write of a tenure, and waits for what becomes of it.

use super::desk::Write;
use super::sent::{SentClaim, Target};
use super::shared::{News, Next, NextRole, Shared, Since, Then};
use crate::{Outcome, Over, Tenure, Time};

/// A replica whose claim is under way.
#[derive(Debug)]
pub(super) struct Claiming {
    tenure: Tenure,
    right_until: Time,
    then: Then,
}

impl Claiming {
    /// Claims the next tenure over `target`.
    pub(super) fn new(shared: &mut Shared, target: Target, unused: Option<SentClaim>) -> Self {
        let sent = SentClaim::new(target, unused, &shared.known, &shared.config, shared.now);
        let (tenure, pending) = (sent.claim.tenure, sent.claim.pending);
        if !shared.is_alone() {
            shared.known.unclaimed = Tenure(tenure.0 + 1);
        }
        let (over, record) = (sent.over.clone(), Box::new(sent.record.clone()));
        shared.write(Write::Claim(Box::new(sent)), over, record);
        Self { tenure, right_until: pending.right_until(&shared.config), then: Then::Serve }
    }

    /// The tenure in which this replica has a right to the Lease, if its claim is found there.
    pub(super) fn holds(&self, now: Time) -> Option<Tenure> {
        (self.right_until > now).then_some(self.tenure)
    }

    pub(super) fn on(&mut self, shared: &mut Shared, news: News) -> Next {
        match news {
            News::Written(Write::Claim(sent), outcome) => self.answered(shared, sent, outcome),
            News::Written(what, _) => {
                debug_assert!(false, "a claimant has sent {what:?}");
                Next::Stay
            }
            // Nobody waits for a file: the next process finds it without a lock.
            News::Shutdown if shared.is_alone() => NextRole::Stop.into(),
            News::Shutdown => {
                self.then = Then::Stop;
                Next::Stay
            }
            _ => Next::Stay,
        }
    }

    fn answered(&mut self, shared: &mut Shared, sent: Box<SentClaim>, outcome: Outcome) -> Next {
        if let Outcome::Stored(version) = outcome {
            shared.known.stored(sent.claim.pending.ceiling);
            // A right that has ended stays ended, so a claim that was stored too late begins
            // nothing.
            if self.right_until > shared.now {
                let over = version.map_or(Over::Anything, Over::Version);
                return NextRole::Hold(sent, over, self.then).into();
            }
            return self.failed(Since::ClaimFailed(sent));
        }
        self.failed(if outcome == Outcome::Conflict { Since::ClaimRaced(sent) } else { Since::ClaimFailed(sent) })
    }

    fn failed(&self, since: Since) -> Next {
        let role = if self.then == Then::Stop { NextRole::Stop } else { NextRole::StandBy(since) };
        role.into()
    }
}
