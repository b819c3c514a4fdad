//! The standby: watches the Lease, and takes it over when that is due. A file is claimed when it is
//! read.

use super::desk::Write;
use super::sent::{SentClaim, Target};
use super::shared::{News, Next, NextRole, Shared, Since, Then};
use crate::sight::{HEAD_START, TakeOver};
use crate::{Found, Lease, Millis, Outcome, Over, Time};

/// A replica that isn't active.
#[derive(Debug)]
pub(super) struct Standby {
    /// Reads then, if nothing is heard of the Lease before.
    read_at: Time,
    /// Writes nothing before: the last write failed.
    not_before: Time,
    writes: Writes,
    /// The last claim met a conflict, and since then nothing but the version of the Lease has
    /// changed: somebody labels it all the time.
    is_raced: bool,
    /// A claim of this process that may be stored.
    unused: Option<Box<SentClaim>>,
}

/// Whether a standby may write over what it has seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Allowed,
    /// Only over what it has read since: its last claim may be stored, or somebody else's. A watch
    /// doesn't count, as it may tell of what stood there before that claim.
    AfterARead,
}

impl Standby {
    /// A process begins by reading.
    pub(super) fn new(shared: &mut Shared) -> Self {
        shared.read();
        Self { read_at: shared.now, not_before: shared.now, writes: Writes::Allowed, is_raced: false, unused: None }
    }

    /// It was active, or wanted to be.
    pub(super) fn since(shared: &mut Shared, since: Since) -> Self {
        let (now, retry) = (shared.now, shared.retry_at());
        let (is_raced, not_before, unused) = match since {
            Since::TenureEnded => (false, now, None),
            Since::ClaimFailed(claim) => (false, retry, Some(claim)),
            Since::ClaimRaced(claim) => (true, retry, Some(claim)),
        };
        // Whether a claim is stored in a Lease is worth knowing at once. A file is claimed as soon
        // as it is read, so the read waits until a claim may be written again.
        let read_at = if shared.is_alone() { not_before } else { now };
        let standby = Self { read_at, not_before, writes: Writes::AfterARead, is_raced, unused };
        if read_at <= now {
            shared.read();
        }
        standby
    }

    pub(super) fn on(&mut self, shared: &mut Shared, news: News) -> Next {
        match news {
            News::Mirrored => self.pass_time(shared),
            News::Found(found) => self.claim_file(shared, *found),
            News::Read => {
                self.writes = Writes::Allowed;
                if let Some(restored) = shared.sight.restored() {
                    let over = Over::Version(restored.version.clone());
                    self.strip(shared, over);
                    return Next::Stay;
                }
                self.heard(shared)
            }
            News::ReadFailed => {
                self.read_at = shared.retry_at();
                if self.is_raced {
                    self.not_before = self.read_at;
                }
                Next::Stay
            }
            News::Watched => self.heard(shared),
            News::Written(what, outcome) => {
                debug_assert!(matches!(what, Write::Unsigned), "a standby has sent {what:?}");
                self.made_or_stripped(shared, &outcome);
                Next::Stay
            }
            News::Shutdown => NextRole::Stop.into(),
        }
    }

    /// Something was heard of the Lease.
    fn heard(&mut self, shared: &mut Shared) -> Next {
        let now = shared.now;
        // A watch tells of each renewal. After a longer silence it is broken, or nobody renews.
        let silence = shared.config.renew_interval + shared.config.retry_interval();
        self.is_raced &= !shared.sight.has_changed_at(now);
        self.read_at = match self.writes {
            // The Lease looks older than it was. A read tells whether the watch is late, or
            // somebody has put an older Lease back.
            _ if shared.sight.restored().is_some() => now,
            // A watch that goes on telling something mustn't put this read off for ever.
            Writes::AfterARead => self.read_at.min(now + silence),
            Writes::Allowed => now + silence,
        };
        self.begin_with_what_was_found(shared).unwrap_or_else(|| self.pass_time(shared))
    }

    /// The claim whose answer didn't come is found to be stored. It counts from the moment before
    /// it was sent. Two replicas that replace the same Lease may claim the same numbers, so the
    /// author counts as well.
    fn begin_with_what_was_found(&mut self, shared: &Shared) -> Option<Next> {
        let (unused, lease) = (self.unused.as_ref()?, shared.sight.lease()?);
        let signed = lease.content.held().filter(|signed| shared.sight.is_me(&signed.by))?;
        if unused.record != signed.record || unused.claim.pending.right_until(&shared.config) <= shared.now {
            return None;
        }
        let over = Over::Version(lease.version.clone());
        self.unused.take().map(|claim| NextRole::Hold(claim, over, Then::Serve).into())
    }

    /// Claims the Lease, or makes one, or reads it, if that is due.
    pub(super) fn pass_time(&mut self, shared: &mut Shared) -> Next {
        if !shared.desk.is_idle() {
            return Next::Stay;
        }
        let due = self.take_over_at(shared).is_some_and(|at| at.max(self.not_before) <= shared.now);
        // Where others write all the time, what was read before a pause is too old to be replaced.
        let is_stale = self.is_raced && !shared.sight.looked_at(shared.now);
        match shared.sight.lease() {
            Some(lease) if due && !is_stale => {
                let lease = lease.clone();
                return self.claim_lease(shared, lease);
            }
            // Rule `unknown-holds`.
            // Never with a claim in it: whoever held the Lease that is gone may still have its
            // right.
            None if due => shared.write_unsigned(Over::Nothing),
            _ if due || self.read_at <= shared.now => shared.read(),
            _ => {}
        }
        Next::Stay
    }

    /// When this standby may write.
    fn take_over_at(&self, shared: &Shared) -> Option<Time> {
        // An older Lease than one that was seen comes from a watch that is late, so nothing is
        // known of what stands there now. Or somebody has put it back, and it is stripped when it
        // is read.
        if self.writes == Writes::AfterARead || shared.sight.restored().is_some() {
            return None;
        }
        Some(match shared.sight.take_over()? {
            TakeOver::Missing | TakeOver::Mine => Time(0),
            TakeOver::At(at) => at,
            TakeOver::Released(since) if self.knows_the_end(shared) => since,
            TakeOver::Released(since) => since + HEAD_START,
        })
    }

    /// Whether the mirror reaches the end of the tenure that released the Lease.
    fn knows_the_end(&self, shared: &Shared) -> bool {
        let end = shared.sight.lease().and_then(|lease| lease.content.released());
        end.is_some_and(|end| shared.mirror.knows_the_end_of(end))
    }

    fn claim_lease(&mut self, shared: &Shared, lease: Lease) -> Next {
        let mine = lease.content.signed.as_ref().is_some_and(|signed| shared.sight.is_me(&signed.by));
        let found = lease.content.signed.map_or(Found::Lost, |signed| {
            let handover = shared.mirror.handover(&signed.record);
            Found::Record(signed.record.with_handover(handover))
        });
        let target = Target { found, mine, over: Over::Version(lease.version) };
        NextRole::Claim(target, self.unused.take()).into()
    }

    fn claim_file(&mut self, shared: &mut Shared, found: Found) -> Next {
        if let Found::Record(record) = &found {
            shared.known.learn(record);
        }
        let target = Target { found, mine: true, over: Over::Anything };
        NextRole::Claim(target, self.unused.take()).into()
    }

    /// Somebody has put an older Lease back. This replica has seen a newer one. Others may not
    /// have, and would believe what the old one says of the tenure before theirs: they would put
    /// leaders back whose time is over. Without annotations the Lease tells them nothing, and they
    /// wait. If a replica is active, it writes them again.
    /// Rule `restored-stripped`.
    fn strip(&mut self, shared: &mut Shared, over: Over) {
        if self.not_before > shared.now {
            self.read_at = self.not_before;
        } else if shared.desk.is_idle() {
            shared.write_unsigned(over);
        }
    }

    /// A Lease was made, or stripped, or not: a read tells whether it is there, and what is in it.
    fn made_or_stripped(&mut self, shared: &mut Shared, outcome: &Outcome) {
        self.not_before = match outcome {
            Outcome::Stored(_) => self.not_before,
            Outcome::Conflict => shared.retry_at(),
            // Where this replica may not make a Lease, somebody else has to.
            Outcome::Unknown | Outcome::Held | Outcome::Lost => shared.now + shared.config.renew_interval,
        };
        shared.read();
    }

    pub(super) fn next_deadline(&self, shared: &Shared) -> Option<Time> {
        if !shared.desk.is_idle() {
            return None;
        }
        let write = self.take_over_at(shared).map(|at| at.max(self.not_before));
        Some(write.map_or(self.read_at, |at| at.min(self.read_at)).max(shared.now + Millis(1)))
    }
}
