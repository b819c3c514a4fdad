//! Standby: watches the Lease, and takes it over when that is due.

use super::{Replica, Role};
use crate::sight::{HEAD_START, TakeOver};
use crate::{Found, Lease, Millis, Outcome, Output, Over, Time, WriteId};

/// What a standby waits for.
#[derive(Debug)]
pub(super) struct Standby {
    /// The Lease is being read.
    reading: bool,
    /// A Lease that nobody holds is being made, or one that was restored is being stripped.
    making: Option<WriteId>,
    /// Reads the Lease then, if nothing is heard of it before.
    read_at: Time,
    /// Writes nothing before: the last write failed.
    not_before: Time,
    /// Nor before it has read: its last claim may be stored, or somebody else's.
    unsure: bool,
    /// Its last claim met a conflict, and nothing but the version has changed: somebody labels the Lease all the time.
    raced: bool,
}

impl Standby {
    /// Begins by reading.
    pub(super) fn reading() -> Self {
        Self { reading: true, making: None, read_at: Time(0), not_before: Time(0), unsure: false, raced: false }
    }
}

impl Replica {
    /// Goes back to watching: reads what stands there now.
    pub(super) fn stand_by(&mut self) {
        self.read_as_standby(self.now);
    }

    /// Reads the Lease, and writes nothing before that moment.
    pub(super) fn read_as_standby(&mut self, not_before: Time) {
        let (unsure, raced) = match &self.role {
            Role::Standby(standby) => (standby.unsure, standby.raced),
            _ => (false, false),
        };
        self.role = Role::Standby(Standby { not_before, unsure, raced, ..Standby::reading() });
        self.out.push_back(Output::Read);
    }

    /// What was seen before the last claim says nothing any more.
    pub(super) fn must_read(&mut self) {
        if let Role::Standby(standby) = &mut self.role {
            standby.unsure = true;
        }
    }

    /// Somebody was faster than the last claim.
    pub(super) fn was_raced(&mut self) {
        if let Role::Standby(standby) = &mut self.role {
            standby.raced = true;
        }
    }

    /// The Lease was read.
    pub(super) fn found_lease(&mut self, lease: Option<Lease>) {
        self.see(lease);
        match &mut self.role {
            Role::Standby(standby) => {
                (standby.reading, standby.unsure) = (false, false);
                if self.sight.is_restored() {
                    return self.strip();
                }
                self.heard();
            }
            Role::Active(_) => self.recheck(),
            Role::Releasing(_) => self.release_over_what_was_found(),
            _ => {}
        }
    }

    /// The Lease couldn't be read.
    pub(super) fn not_found(&mut self) {
        let retry = self.retry_at();
        match &mut self.role {
            Role::Standby(standby) => {
                (standby.reading, standby.read_at) = (false, retry);
                if standby.raced {
                    standby.not_before = retry;
                }
            }
            Role::Active(active) => {
                active.reading = false;
                active.retry_soon(&self.config, self.now);
            }
            Role::Releasing(_) => self.release_later(),
            _ => {}
        }
    }

    /// A watch tells of the Lease. What it tells may be old: an active replica reads before it believes it; a standby needn't, as what
    /// it does next is a compare-and-swap.
    pub(super) fn watched(&mut self, lease: Option<Lease>, clock_floor: u64) {
        self.clock_floor = (clock_floor, self.now);
        match &self.role {
            Role::Standby(_) => {
                self.see(lease);
                self.heard();
            }
            Role::Active(_) => {
                if !self.looks_mine(lease.as_ref()) {
                    self.doubt();
                }
                self.see(lease);
            }
            _ => self.see(lease),
        }
    }

    /// Something was heard of the Lease.
    fn heard(&mut self) {
        // A watch tells of each renewal: silence for longer than that means that it is broken, or that there are none.
        let silence = self.config.renew_interval + self.config.retry_interval();
        // What a watch tells may be old. Whether it is what stands there, a read tells.
        let doubtful = self.sight.is_restored();
        if let Role::Standby(standby) = &mut self.role {
            standby.raced &= !self.sight.has_changed_at(self.now);
            standby.read_at = match (doubtful, standby.unsure) {
                (true, _) => self.now,
                // Nothing that a watch tells says what became of the last claim.
                (false, true) => standby.read_at.min(self.now + silence),
                (false, false) => self.now + silence,
            };
        }
        if !self.begins_with_what_was_found() {
            self.take_over_if_due();
        }
    }

    /// Somebody has put an older Lease back, as this replica knows, and others may not: they would believe what it says of the tenure
    /// before theirs, and put leaders back whose time is over. Without annotations it says nothing. An active replica repairs that.
    fn strip(&mut self) {
        let Some(version) = self.sight.lease().map(|lease| lease.version.clone()) else { return };
        let write = self.next_write();
        let Role::Standby(standby) = &mut self.role else { return };
        if standby.not_before > self.now {
            standby.read_at = standby.not_before;
            return;
        }
        standby.making = Some(write);
        self.out.push_back(Output::Write { write, over: Over::Version(version), record: None });
    }

    /// Takes the Lease over, or makes one, or reads it, if that is due.
    pub(super) fn take_over_if_due(&mut self) {
        let Role::Standby(standby) = &self.role else { return };
        if standby.reading || standby.making.is_some() {
            return;
        }
        let due = self.take_over_at().is_some_and(|at| at.max(standby.not_before) <= self.now);
        // What was read before a pause is too old to be replaced where others write all the time.
        let stale = standby.raced && !self.sight.looked_at(self.now);
        if due && self.sight.lease().is_some() && stale {
            self.read_as_standby(standby.not_before);
        } else if due && self.sight.lease().is_some() {
            self.claim_lease();
        } else if due {
            let write = self.next_write();
            if let Role::Standby(standby) = &mut self.role {
                standby.making = Some(write);
            }
            // Never with a claim in it: whoever held the one that is gone may still have its right.
            self.out.push_back(Output::Write { write, over: Over::Nothing, record: None });
        } else if standby.read_at <= self.now {
            self.read_as_standby(standby.not_before);
        }
    }

    /// When this standby may write.
    fn take_over_at(&self) -> Option<Time> {
        // What is older than something that was seen before comes from a watch that is late, and nothing is known of what stands there now;
        // or it was put back, which a read tells.
        if matches!(&self.role, Role::Standby(standby) if standby.unsure) || self.sight.is_restored() {
            return None;
        }
        let known = |lease: &Lease| lease.content.released().is_some_and(|end| self.mirror.knows_the_end_of(end));
        Some(match self.sight.take_over()? {
            TakeOver::Missing | TakeOver::Mine => Time(0),
            TakeOver::At(at) => at,
            TakeOver::Released(since) if self.sight.lease().is_some_and(known) => since,
            TakeOver::Released(since) => since + HEAD_START,
        })
    }

    fn claim_lease(&mut self) {
        let Some(lease) = self.sight.lease().cloned() else { return };
        let (mut mine, mut outdated) = (false, false);
        let found = match lease.content.signed {
            Some(signed) => {
                mine = self.sight.is_me(&signed.by);
                outdated = self.sight.outdated(&signed.record);
                let handover = self.mirror.handover(&signed.record);
                Found::Record(signed.record.with_handover(handover))
            }
            None => Found::Lost,
        };
        self.claim(found, mine, outdated, Over::Version(lease.version));
    }

    /// How making a Lease went, or stripping one.
    pub(super) fn made(&mut self, write: WriteId, outcome: Outcome) {
        let (retry, soon) = (self.now + self.config.renew_interval, self.retry_at());
        let Role::Standby(standby) = &mut self.role else { return };
        if standby.making != Some(write) {
            return;
        }
        // Whether it is there now, and what is in it, a read tells. Where this replica may not make one, somebody else has to.
        let not_before = match outcome {
            Outcome::Stored(_) => standby.not_before,
            Outcome::Conflict => soon,
            Outcome::Unknown | Outcome::Held | Outcome::Lost => retry,
        };
        self.read_as_standby(not_before);
    }

    pub(super) fn standby_deadline(&self, standby: &Standby) -> Option<Time> {
        if standby.reading || standby.making.is_some() {
            return None;
        }
        let write = self.take_over_at().map(|at| at.max(standby.not_before));
        Some(write.map_or(standby.read_at, |at| at.min(standby.read_at)).max(self.now + Millis(1)))
    }
}
