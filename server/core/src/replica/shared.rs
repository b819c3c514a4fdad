//! What all roles share, what they are told, and how they say what comes next.

use super::desk::{Desk, Write};
use super::sent::{SentClaim, Target};
use crate::mirror::Mirror;
use crate::number::Vouched;
use crate::sight::Sight;
use crate::tenure::Known;
use crate::{ClockFloor, Config, Found, Holder, Lease, Outcome, Output, Over, Record, Store, Tenure, Time};
use std::collections::VecDeque;

/// What outlives a role.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) now: Time,
    pub(super) out: VecDeque<Output>,
    pub(super) desk: Desk,
    pub(super) known: Known,
    /// What was seen of the Lease.
    pub(super) sight: Sight,
    /// What is known of the active replica's candidacies.
    pub(super) mirror: Mirror,
}

/// What a role is told.
#[derive(Debug)]
pub(super) enum News {
    /// The file was read.
    Found(Box<Found>),
    /// The Lease was read: `sight` has it.
    Read,
    ReadFailed,
    /// A watch tells of the Lease: `sight` has it. What a watch tells may be old.
    Watched,
    /// A write of this role's was answered.
    Written(Write, Outcome),
    /// The mirror has grown.
    Mirrored,
    Shutdown,
}

/// What becomes of a role: nearly always it stays, so whatever else there is lies behind a pointer.
#[derive(Debug)]
#[must_use]
pub(super) enum Next {
    Stay,
    Become(Box<NextRole>),
}

/// The role that a replica changes to.
#[derive(Debug)]
pub(super) enum NextRole {
    StandBy(Since),
    /// Claims the next tenure, after a claim whose tenure never began.
    Claim(Target, Option<Box<SentClaim>>),
    /// A claim is known to be stored, in the version that the next write replaces: its tenure
    /// begins.
    Hold(Box<SentClaim>, Over, Then),
    /// Stores the last words of the tenure.
    Release(Box<Record>, Over),
    Stop,
}

impl From<NextRole> for Next {
    fn from(role: NextRole) -> Self {
        Self::Become(Box::new(role))
    }
}

/// Why a replica stands by again.
#[derive(Debug)]
pub(super) enum Since {
    TenureEnded,
    /// The claim may be stored all the same.
    ClaimFailed(Box<SentClaim>),
    /// Somebody else was faster.
    ClaimRaced(Box<SentClaim>),
}

/// What a replica does with the tenure that it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Serve,
    /// The process is to end. But if its claim is stored, it holds the Lease: then it releases it,
    /// so that nobody has to wait.
    Stop,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        let me = match &config.store {
            Store::File => Holder(String::new()),
            Store::Lease { me, .. } => me.clone(),
        };
        Self {
            now: Time(0),
            out: VecDeque::new(),
            desk: Desk::default(),
            known: Known::new(&config),
            sight: Sight::new(me, config.duration),
            mirror: Mirror::default(),
            config,
        }
    }

    pub(super) fn read(&mut self) {
        self.desk.begin_read();
        self.out.push_back(Output::Read);
    }

    pub(super) fn write(&mut self, what: Write, over: Over, record: Box<Record>) {
        let write = self.desk.begin_write(what);
        self.out.push_back(Output::Write { write, over, record });
    }

    pub(super) fn write_unsigned(&mut self, over: Over) {
        let write = self.desk.begin_write(Write::Unsigned);
        self.out.push_back(Output::WriteUnsigned { write, over });
    }

    /// The shell has read the wall clock.
    pub(super) fn vouch(&mut self, floor: ClockFloor) {
        self.known.clock = Vouched { floor, at: self.now };
    }

    /// Whether nobody else can have begun a tenure, as with a file: its lock is this process's.
    pub(super) fn is_alone(&self) -> bool {
        self.config.store == Store::File
    }

    /// The next try of what has failed.
    pub(super) fn retry_at(&self) -> Time {
        self.now + self.config.retry_interval()
    }

    /// The Lease is seen. `holds` is the tenure in which this replica has a right to it.
    pub(super) fn see(&mut self, lease: Option<Lease>, holds: Option<Tenure>) {
        if let Some(lease) = &lease {
            if let Some(signed) = &lease.content.signed {
                self.known.learn(&signed.record);
            }
            if let Some(newer) = &lease.content.newer {
                self.known.learn_of(newer.ceiling, newer.longest_ttl);
            }
            let mut mine = lease.content.held().filter(|signed| self.sight.is_me(&signed.by));
            if mine.take_if(|signed| Some(signed.record.tenure) == holds).is_some() {
                self.sight.owns(lease.version.clone());
            }
        }
        self.sight.see(lease, self.now);
    }
}
