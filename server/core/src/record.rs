//! The record: what outlives a tenure, in the state file or in the Lease.

use crate::{Carried, HeldElection, Millis, Revision, Tenure};

/// What a tenure leaves for the next one. Every write replaces the whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The tenure that wrote it.
    pub tenure: Tenure,
    /// No number handed out has reached this.
    pub ceiling: u64,
    /// How long the right to be active lasts from the moment before the write was sent.
    pub duration: Millis,
    /// The holder stops this much earlier.
    pub margin: Millis,
    /// How far into the tenure the write was sent.
    pub renewed_at: Millis,
    /// How far the tenure got, if it ended in good order; or if the store knows how far it can have
    /// got. Otherwise its right bounds that.
    pub ended_at: Option<Millis>,
    /// The longest TTL that any live candidacy may have. Only rises.
    pub longest_ttl: Millis,
    /// The number of its last change of state, if it ended in good order after it had settled, with a Lease as its store: a standby
    /// whose mirror has reached that number knows everything, and nobody waits.
    pub last_change: Option<u64>,
    /// Everything that the next tenure must know, if this one ended in good order after it had settled, with a file as its store:
    /// then nobody waits.
    pub handover: Option<Handover>,
    /// The last change that observers were told of, if the tenure ended in good order after it had
    /// settled: whoever has seen it can resume in the next tenure.
    pub last_revision: Option<Revision>,
}

/// Everything that the next tenure must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// All leased candidacies.
    pub candidacies: Vec<Carried>,
    /// All elections on hold.
    pub holds: Vec<HeldElection>,
}

/// What stands in the file, or in the Lease, that a claim replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record.
    Record(Record),
    /// None, and nothing was ever granted here.
    Fresh,
    /// None, but there was one: it was removed.
    Lost,
}

/// What a new tenure knows of the one right before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Former {
    /// Which one it was.
    pub(crate) tenure: Tenure,
    /// Its right had ended at this point of it, at the latest.
    pub(crate) right_ended: Millis,
}

impl Record {
    /// When its right had ended, counted from the beginning of the tenure, if this was its last
    /// record.
    #[must_use]
    pub fn right_ended(&self) -> Millis {
        self.renewed_at + (self.duration - self.margin)
    }

    pub(crate) fn former(&self) -> Former {
        Former { tenure: self.tenure, right_ended: self.ended_at.unwrap_or_else(|| self.right_ended()) }
    }
}
