//! Holding the right: renewals, and repair of a Lease that somebody has touched.

use super::{Replica, Role};
use crate::sight::Sight;
use crate::tenure::Active;
use crate::{Config, Content, Lease, Outcome, Output, Over, TenureEnd, WriteId};

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

impl Replica {
    pub(super) fn renew_if_numbers_run_low(&mut self) {
        if let Role::Active(active) = &self.role
            && active.idle()
            && !active.failing
            && active.line.runs_low()
        {
            self.renew();
        }
    }

    pub(super) fn renew_if_due(&mut self) {
        if let Role::Active(active) = &self.role
            && active.idle()
            && active.renew_at <= self.now
        {
            self.renew_when_due();
        }
    }

    /// The time of the next renewal has come. Where others write all the time, what was read before the last pause is too old to be
    /// written over; and one that may not make a Lease hears no conflict when somebody else has made it.
    fn renew_when_due(&mut self) {
        let Role::Active(active) = &self.role else { return };
        let look_first = active.raced() || (active.failing && active.over == Over::Nothing);
        if look_first { self.doubt() } else { self.renew() }
    }

    pub(super) fn renew(&mut self) {
        let write = self.next_write();
        if let Role::Active(active) = &mut self.role {
            let record = active.renew(&self.config, write, self.now);
            let over = active.over.clone();
            self.write(write, over, record);
        }
    }

    /// How a renewal went.
    pub(super) fn renewed(&mut self, write: WriteId, outcome: Outcome) {
        let now = self.now;
        let Role::Active(active) = &mut self.role else { return };
        let Some(pending) = active.pending.take_if(|pending| pending.write == write) else { return };
        let lapsed = active.lapsed(now);
        match outcome {
            Outcome::Stored(version) => {
                active.renewed(&self.config, pending);
                active.conflicts = 0;
                if let Some(version) = version {
                    active.over = Over::Version(version);
                }
                self.seen = self.seen.max(pending.ceiling);
                self.sight.wrote(active.tenure, pending.renewed_at);
            }
            Outcome::Conflict => {
                active.conflicts += 1;
                active.retry_soon(&self.config, now);
                active.doubt = true;
            }
            Outcome::Unknown => {
                // A file is never read to find out.
                if active.over != Over::Anything {
                    active.unconfirmed.push(pending);
                }
                active.retry_soon(&self.config, now);
            }
            Outcome::Held => active.held(&self.config, pending),
            Outcome::Lost => return self.end_tenure(TenureEnd::Lost),
        }
        self.out.push_back(Output::RightUntil(active.right_until));
        if lapsed && !active.lapsed(now) {
            self.go_on();
        } else if active.doubt {
            self.doubt();
        }
    }

    /// The right has lapsed and is back. First ends whatever has run out meanwhile, and only then
    /// is anything granted.
    fn go_on(&mut self) {
        let Role::Active(active) = &mut self.role else { return };
        let closed = std::mem::take(&mut active.closed);
        self.pass_time();
        for stream in closed {
            self.stream_closed(stream);
        }
    }

    /// Reads the Lease as soon as nothing else is under way.
    pub(super) fn doubt(&mut self) {
        let Role::Active(active) = &mut self.role else { return };
        active.doubt = !active.idle();
        if active.idle() {
            active.reading = true;
            self.out.push_back(Output::Read);
        }
    }

    /// Whether the Lease looks like what this replica has written, now or before.
    pub(super) fn looks_mine(&self, lease: Option<&Lease>) -> bool {
        let Role::Active(active) = &self.role else { return false };
        lease.is_some_and(|lease| judge(&self.sight, &self.config, active, &lease.content) == Verdict::Mine)
    }

    /// The Lease was read while this replica is active: its answers came before, so what stands there came after all it has written
    /// and heard of.
    pub(super) fn recheck(&mut self) {
        let Role::Active(active) = &mut self.role else { return };
        (active.reading, active.doubt) = (false, false);
        let Some(lease) = self.sight.lease() else {
            // Nobody notices that it was gone.
            active.over = Over::Nothing;
            return self.repair();
        };
        let verdict = judge(&self.sight, &self.config, active, &lease.content);
        if verdict == Verdict::Lost {
            return self.end_tenure(TenureEnd::Lost);
        }
        let failing = active.failing;
        active.over = Over::Version(lease.version.clone());
        // A write whose answer was lost counts from the moment it was sent, never from the moment it is found.
        let found = lease.content.held().map(|signed| signed.record.renewed_at).filter(|_| verdict == Verdict::Mine);
        let confirmed = active.unconfirmed.iter().copied().find(|pending| Some(pending.renewed_at) == found);
        if let Some(pending) = confirmed {
            active.renewed(&self.config, pending);
            self.seen = self.seen.max(pending.ceiling);
            self.out.push_back(Output::RightUntil(active.right_until));
        }
        if verdict == Verdict::Touched || failing {
            self.repair();
        }
    }

    /// Writes again what should stand there. Whoever changes it all the time isn't raced.
    fn repair(&mut self) {
        let Role::Active(active) = &self.role else { return };
        if !active.raced() || active.renew_at <= self.now {
            self.renew();
        }
    }
}

fn judge(sight: &Sight, config: &Config, active: &Active, content: &Content) -> Verdict {
    let author = content.author();
    let newer = author.is_some_and(|(_, _, tenure)| tenure > active.tenure);
    let theirs = content.holder.as_ref().is_some_and(|holder| !sight.is_me(holder));
    // Of an earlier tenure: that one is over, and somebody has put its Lease back.
    let over = author.is_some_and(|(by, _, tenure)| content.holder.as_ref() == Some(by) && tenure < active.tenure);
    if newer || (theirs && !over) {
        return Verdict::Lost;
    }
    let Some(signed) = content.held() else { return Verdict::Touched };
    let record = &signed.record;
    let as_written = record.tenure == active.tenure
        && !sight.outdated(record)
        && record.ended_at.is_none()
        && record.ceiling >= active.line.last()
        && record.longest_ttl == active.longest_ttl
        && (record.duration, record.margin) == (config.duration, config.margin)
        && content.duration == Some(config.lease_seconds());
    if as_written { Verdict::Mine } else { Verdict::Touched }
}
