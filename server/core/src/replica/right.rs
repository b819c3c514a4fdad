//! The right to be active: its renewals, and the repair of a Lease that somebody has touched.

use super::desk::Write;
use super::shared::Shared;
use crate::tenure::{ActiveTenure, Pending};
use crate::{Config, Content, Millis, Outcome, Output, Over, Record, TenureEnd, Time};

/// After so many writes in a row that found somebody else's change, the next one waits a little.
const CONFLICTS_AT_ONCE: u32 = 3;

/// The right of one tenure.
#[derive(Debug)]
pub(super) struct Right {
    /// From here on nothing is answered any more; with a file: until another write is confirmed.
    until: Time,
    renew_at: Time,
    /// The last renewal failed: the next one waits for its time.
    failing: bool,
    /// A watch, or a conflict, tells of somebody else's change: the Lease is read as soon as
    /// nothing is under way.
    doubts: bool,
    /// So many writes in a row have found that somebody else had written.
    conflicts: u32,
    /// What the next write replaces.
    over: Over,
    /// Writes without an answer, which may be found to be stored.
    unconfirmed: Vec<Pending>,
    /// What the last write has said.
    renewed_at: Millis,
}

/// What an active replica finds in the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// What it has written.
    Mine,
    /// No other holder: it was emptied, or changed, or an older one was put in its place.
    Touched,
    /// Somebody else's.
    Lost,
}

impl Right {
    /// The claim is stored.
    pub(super) fn new(config: &Config, claim: Pending, over: Over) -> Self {
        Self {
            until: claim.right_until(config),
            renew_at: claim.sent + config.renew_interval,
            failing: false,
            doubts: false,
            conflicts: 0,
            over,
            unconfirmed: Vec::new(),
            renewed_at: claim.renewed_at,
        }
    }

    pub(super) fn until(&self) -> Time {
        self.until
    }

    /// With a file it may come back: see [`Shared::is_alone`].
    /// Rule `right-ends`.
    pub(super) fn has_lapsed(&self, now: Time) -> bool {
        self.until <= now
    }

    /// When the next renewal is due, if none is under way.
    pub(super) fn next_deadline(&self, shared: &Shared) -> Option<Time> {
        shared.desk.is_idle().then_some(self.renew_at)
    }

    pub(super) fn renew_if_due(&mut self, shared: &mut Shared, tenure: &ActiveTenure) {
        if !shared.desk.is_idle() || self.renew_at > shared.now {
            return;
        }
        // Where others write all the time, what was read before the last pause would only meet the
        // next conflict. And a replica that may not make a Lease is told so, not that somebody else
        // has made it.
        let look_first = self.is_raced() || (self.failing && self.over == Over::Nothing);
        if look_first { self.look(shared) } else { self.renew(shared, tenure) }
    }

    pub(super) fn renew_if_numbers_run_low(&mut self, shared: &mut Shared, tenure: &ActiveTenure) {
        if tenure.line.runs_low() && !self.failing && shared.desk.is_idle() {
            self.renew(shared, tenure);
        }
    }

    fn renew(&mut self, shared: &mut Shared, tenure: &ActiveTenure) {
        let pending = self.next_write(shared, tenure);
        self.renew_at = shared.now + shared.config.renew_interval;
        let record = Record::made(tenure.parts(&shared.config, pending));
        shared.write(Write::Renewal(pending), self.over.clone(), Box::new(record));
    }

    /// What the next write says. Two writes of one millisecond still say different things: the
    /// second one says that it was sent a millisecond later, which costs nobody anything.
    /// Rule `own-writes`.
    fn next_write(&mut self, shared: &Shared, tenure: &ActiveTenure) -> Pending {
        let now = shared.now.since(tenure.began);
        // Nobody but this process writes a file, so no write of its own has to be recognised.
        let differs = shared.is_alone() || now > self.renewed_at;
        self.renewed_at = if differs { now } else { self.renewed_at + Millis(1) };
        Pending { sent: shared.now, ceiling: tenure.line.wanted_ceiling(), renewed_at: self.renewed_at }
    }

    /// The last write of the tenure, and what it replaces.
    pub(super) fn last_write(&mut self, shared: &Shared, tenure: &ActiveTenure) -> (Pending, Over) {
        (self.next_write(shared, tenure), self.over.clone())
    }

    /// A renewal was answered. The caller has made sure that the right hasn't ended for good.
    pub(super) fn renewed(
        &mut self,
        shared: &mut Shared,
        tenure: &mut ActiveTenure,
        pending: Pending,
        outcome: Outcome,
    ) -> Option<TenureEnd> {
        match outcome {
            Outcome::Stored(version) => {
                self.confirm(shared, tenure, pending);
                self.conflicts = 0;
                if let Some(version) = version {
                    self.over = Over::Version(version);
                }
            }
            Outcome::Conflict if !shared.is_alone() => {
                self.conflicts += 1;
                self.doubts = true;
                self.retry_soon(shared);
            }
            // Nobody else writes a file, so there it tells as little as no answer.
            Outcome::Conflict | Outcome::Unknown => {
                // A file isn't read to find out.
                if !shared.is_alone() {
                    self.unconfirmed.push(pending);
                }
                self.retry_soon(shared);
            }
            // Nobody else can be active, so the right goes on. The numbers don't.
            Outcome::Held => {
                self.failing = true;
                self.until = self.until.max(pending.right_until(&shared.config));
            }
            Outcome::Lost => return Some(TenureEnd::Lost),
        }
        shared.out.push_back(Output::RightUntil(self.until));
        if self.doubts {
            self.look(shared);
        }
        None
    }

    /// A write is known to be stored. It counts from the moment before it was sent, however late
    /// that is known.
    /// Rule `from-the-send`.
    fn confirm(&mut self, shared: &mut Shared, tenure: &mut ActiveTenure, pending: Pending) {
        self.failing = false;
        self.until = self.until.max(pending.right_until(&shared.config));
        tenure.line.raise(pending.ceiling);
        shared.known.stored(pending.ceiling);
        shared.sight.wrote(tenure.tenure, pending.renewed_at);
        self.unconfirmed.retain(|other| other.right_until(&shared.config) > self.until);
    }

    /// A request failed. The next one comes soon, but not at once: a store that fails fast
    /// shouldn't be asked in a tight loop.
    pub(super) fn retry_soon(&mut self, shared: &Shared) {
        self.failing = true;
        self.renew_at = shared.retry_at();
    }

    /// A watch tells of the Lease. What doesn't look like a write of this tenure is read before it
    /// is believed.
    pub(super) fn watched(&mut self, shared: &mut Shared, tenure: &ActiveTenure) {
        let lease = shared.sight.lease();
        if lease.is_none_or(|lease| judge(shared, tenure, &lease.content) != Verdict::Mine) {
            self.look(shared);
        }
    }

    /// Reads the Lease as soon as nothing else is under way.
    fn look(&mut self, shared: &mut Shared) {
        self.doubts = !shared.desk.is_idle();
        if !self.doubts {
            shared.read();
        }
    }

    /// The Lease was read. All writes had been answered before that read was sent, so what stands
    /// there came after them. Only a read that an earlier role had sent may be answered while a
    /// write is under way. It may tell of another holder as well, but it says nothing of that
    /// write, so the Lease is read again.
    pub(super) fn read(&mut self, shared: &mut Shared, tenure: &mut ActiveTenure) -> Option<TenureEnd> {
        let verdict = shared.sight.lease().map(|lease| judge(shared, tenure, &lease.content));
        self.doubts = !shared.desk.is_idle();
        if verdict == Some(Verdict::Lost) {
            return Some(TenureEnd::Lost);
        }
        if self.doubts {
            return None;
        }
        let was_failing = self.failing;
        if let (Some(Verdict::Mine), Some(found)) = (verdict, self.unanswered(shared)) {
            self.confirm(shared, tenure, found);
            shared.out.push_back(Output::RightUntil(self.until));
        }
        // Where the Lease is gone, nobody notices that it was.
        self.over = shared.sight.lease().map_or(Over::Nothing, |lease| Over::Version(lease.version.clone()));
        if verdict != Some(Verdict::Mine) || was_failing {
            self.repair(shared, tenure);
        }
        None
    }

    /// The write without an answer that stands in the Lease.
    fn unanswered(&self, shared: &Shared) -> Option<Pending> {
        let found = shared.sight.lease()?.content.held()?.record.renewed_at;
        self.unconfirmed.iter().copied().find(|pending| pending.renewed_at == found)
    }

    /// Writes again what should stand there; later, if somebody else changes it all the time.
    /// Rule `holder-repairs`.
    fn repair(&mut self, shared: &mut Shared, tenure: &ActiveTenure) {
        if !self.is_raced() || self.renew_at <= shared.now {
            self.renew(shared, tenure);
        }
    }

    /// Whether somebody else writes all the time.
    fn is_raced(&self) -> bool {
        self.conflicts > CONFLICTS_AT_ONCE
    }
}

/// Rule `yield-to-other`.
fn judge(shared: &Shared, tenure: &ActiveTenure, content: &Content) -> Verdict {
    let (sight, config) = (&shared.sight, &shared.config);
    let author = content.author();
    let newer = author.is_some_and(|(_, _, theirs)| theirs > tenure.tenure);
    let theirs = content.holder.as_ref().is_some_and(|holder| !sight.is_me(holder));
    // A tenure that is over: somebody has put its Lease back.
    let over = author.is_some_and(|(by, _, its)| content.holder.as_ref() == Some(by) && its < tenure.tenure);
    if newer || (theirs && !over) {
        return Verdict::Lost;
    }
    let Some(signed) = content.held() else { return Verdict::Touched };
    let record = &signed.record;
    let as_written = record.tenure == tenure.tenure
        && !sight.outdated(record)
        && record.ended_at.is_none()
        && record.ceiling.0 >= tenure.line.last()
        && record.longest_ttl == tenure.longest_ttl
        && (record.duration, record.margin) == (config.duration, config.margin)
        && content.duration == Some(config.lease_seconds());
    if as_written { Verdict::Mine } else { Verdict::Touched }
}
