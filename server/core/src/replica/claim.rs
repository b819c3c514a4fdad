//! Claims: the first write of a tenure, and what becomes of it.

use super::{Replica, Role};
use crate::tenure::{Active, Claim, Start, right};
use crate::{Found, Millis, Outcome, Output, Over, Record, Store, Tenure, Time, Version, WriteId};

/// So many numbers are set aside for each millisecond, rounded down.
const NUMBERS_PER_MS: u64 = (1 << 20) / 1000;

/// Claims whose tenures never began, though one of them may be stored: nothing was handed out in their names.
#[derive(Debug)]
pub(super) struct Unused {
    /// The last one.
    claim: Claim,
    record: Record,
    /// The first one that replaced the same, or one of these: any of them may be the one that is stored.
    first: Tenure,
    over: Over,
    /// What they replaced.
    before: Found,
    /// The highest ceiling that had been seen then.
    seen: u64,
    outdated: bool,
}

impl Unused {
    /// Whether this is one of them.
    fn covers(&self, record: &Record) -> bool {
        let claimed = self.first <= record.tenure && record.tenure <= self.claim.tenure;
        claimed && record.renewed_at == Millis(0) && record.ended_at.is_none()
    }

    /// Whether one that replaces this may be stored as well as those before.
    fn repeats(&self, over: &Over) -> bool {
        matches!(over, Over::Version(_)) && self.over == *over
    }
}

impl Replica {
    /// Claims the next tenure on what the file holds.
    pub(super) fn claim_file(&mut self, found: Found) {
        if let Found::Record(record) = &found {
            let record = record.clone();
            self.learn(&record);
        }
        self.claim(found, true, false, Over::Anything);
    }

    /// Claims the next tenure on what was found. A claim of this process that never began handed out nothing: what it had replaced
    /// still counts, or a slow store would cost every leader its place. One that looks the same may be another's: `mine` tells.
    pub(super) fn claim(&mut self, found: Found, mine: bool, outdated: bool, over: Over) {
        let unused = self.unused.take();
        // One that is found in a Lease may be found once more, when somebody has labelled it since.
        let labelled = |unused: &Unused| matches!(&found, Found::Record(record) if unused.covers(record));
        let goes_on = |unused: &&Unused| unused.repeats(&over) || (mine && over != Over::Anything && labelled(unused));
        let first = unused.as_ref().filter(goes_on).map(|unused| unused.first);
        let (found, outdated) = match (found, unused) {
            (Found::Record(record), Some(unused)) if mine && unused.covers(&record) => match unused.before {
                // One that was restored in another's place says as little as it did then.
                Found::Record(before) if before.ceiling >= unused.seen && !unused.outdated => {
                    (Found::Record(before.with_ceiling(record.ceiling)), outdated)
                }
                before => (before, outdated || unused.outdated),
            },
            (found, _) => (found, outdated),
        };
        let start = Start {
            longest_ttl: self.longest_ttl,
            floor: self.clock_floor_now(),
            seen: self.seen,
            unclaimed: self.unclaimed,
            outdated,
        };
        let write = self.next_write();
        let claim = Claim::new(start, found.clone(), write, self.now);
        let record = claim.record(&self.config);
        if let Store::Lease { .. } = self.config.store {
            self.unclaimed = claim.tenure.0 + 1;
        }
        self.unused = Some(Unused {
            claim: claim.clone(),
            record: record.clone(),
            first: first.unwrap_or(claim.tenure),
            over: over.clone(),
            before: found,
            seen: self.seen,
            outdated,
        });
        self.write(write, over, record);
        self.role = Role::Claiming(Box::new(claim));
    }

    /// The number that the clock vouches for now.
    pub(super) fn clock_floor_now(&self) -> u64 {
        let (floor, at) = self.clock_floor;
        floor.saturating_add(self.now.since(at).0.saturating_mul(NUMBERS_PER_MS))
    }

    pub(super) fn written(&mut self, write: WriteId, outcome: Outcome) {
        if let Outcome::Stored(Some(version)) = &outcome {
            self.sight.owns(version.clone());
        }
        match &mut self.role {
            Role::Claiming(claim) if claim.pending.write == write => self.claimed(outcome),
            Role::Active(_) => self.renewed(write, outcome),
            Role::Standby(_) => self.made(write, outcome),
            Role::Stopping { .. } => self.stopped_writing(write),
            Role::Releasing(_) => self.released(write, outcome),
            _ => {}
        }
    }

    fn claimed(&mut self, outcome: Outcome) {
        let Role::Claiming(claim) = &self.role else { return };
        let (sent, ceiling) = (claim.pending.sent, claim.pending.ceiling);
        match outcome {
            Outcome::Stored(version) => {
                self.seen = self.seen.max(ceiling);
                if right(&self.config, sent) > self.now {
                    self.begin(version);
                } else {
                    self.claim_failed();
                }
            }
            // Somebody was faster, perhaps with a claim that says the same but for its author.
            Outcome::Conflict => {
                self.claim_failed();
                self.was_raced();
            }
            Outcome::Unknown | Outcome::Held | Outcome::Lost => self.claim_failed(),
        }
    }

    /// Looks again at once, but doesn't write at once: whoever changes the Lease all the time isn't raced.
    fn claim_failed(&mut self) {
        let retry = self.now + self.config.retry_interval();
        match self.config.store {
            Store::File => self.role = Role::Paused { until: retry },
            Store::Lease { .. } if self.stops => self.stop_now(),
            Store::Lease { .. } => {
                self.read_as_standby(retry);
                self.must_read();
            }
        }
    }

    /// The claim of this process whose answer didn't come is found to be stored. It counts from the moment it was sent.
    pub(super) fn begins_with_what_was_found(&mut self) -> bool {
        let (Some(unused), Some(lease)) = (&self.unused, self.sight.lease()) else { return false };
        // Two replicas that replace the same Lease may claim the same numbers.
        let mine =
            lease.content.held().is_some_and(|signed| self.sight.is_me(&signed.by) && signed.record == unused.record);
        if !mine || right(&self.config, unused.claim.pending.sent) <= self.now {
            return false;
        }
        let version = lease.version.clone();
        self.role = Role::Claiming(Box::new(unused.claim.clone()));
        self.begin(Some(version));
        true
    }

    fn begin(&mut self, version: Option<Version>) {
        let role = std::mem::replace(&mut self.role, Role::Reading);
        let Role::Claiming(mut claim) = role else { unreachable!("only a claim begins a tenure") };
        self.unused = None;
        self.sight.wrote(claim.tenure, claim.pending.renewed_at);
        let (handover, resumes_after) = (std::mem::take(&mut claim.handover), claim.resumes_after);
        let over = version.map_or(Over::Anything, Over::Version);
        let active = Active::new(&self.config, &claim, over);
        let (tenure, began, settles_in) = (active.tenure, active.began, active.settling(self.now));
        self.out.push_back(Output::RightUntil(active.right_until));
        self.out.push_back(Output::TenureBegan { tenure, began, settles_in, resumes_after });
        self.role = Role::Active(Box::new(active));
        if let Ok((elections, mut turn)) = self.turn() {
            elections.take_over(&mut turn, handover);
        }
        self.pass_time();
        if self.stops {
            self.shutdown();
        }
    }

    /// When the next retry is due, at the earliest.
    pub(super) fn retry_at(&self) -> Time {
        self.now + self.config.retry_interval()
    }
}
