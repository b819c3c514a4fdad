//! The Lease as the core sees it: who holds it, what a Leasehold replica has written into it, and
//! what a write replaces.

use crate::{Address, Ceiling, Millis, Record, Tenure};

/// Names one version of the Lease, for compare-and-swap: Kubernetes' `resourceVersion`. Opaque, and
/// never compared in order: it goes back when etcd is restored from a backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub String);

/// Names a replica in the Lease. No two processes have the same one, not even two lives of one
/// container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(pub String);

/// What stands in a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The version that was read.
    pub version: Version,
    /// Everything else that matters.
    pub content: Content,
}

/// What replicas look at. As long as it is the same, nobody has written: others may set labels as
/// they like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// `spec.holderIdentity`; `None` if it is empty.
    pub holder: Option<Holder>,
    /// `spec.leaseDurationSeconds`.
    pub duration: Option<Millis>,
    /// `spec.renewTime`, as it was written: only ever compared with itself.
    pub renew_time: String,
    /// What a replica of Leasehold has written into the annotations; `None` if something of it is
    /// missing or can't be read.
    pub signed: Option<Signed>,
    /// What a replica of a later version has written there, in a format that this one doesn't know.
    /// Such a Lease isn't taken over.
    pub newer: Option<Newer>,
}

/// The annotations of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Who wrote them. It still holds the Lease if `spec.holderIdentity` says so as well.
    pub by: Holder,
    /// Where that replica serves gRPC.
    pub address: Address,
    /// What the next tenure has to know.
    pub record: Record,
}

/// What the annotations say in every format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Who wrote them.
    pub by: Holder,
    /// Where that replica serves gRPC.
    pub address: Address,
    /// Its tenure.
    pub tenure: Tenure,
    /// No number handed out has reached this.
    pub ceiling: Ceiling,
    /// How long its right to be active lasts; zero if it doesn't say so.
    pub duration: Millis,
    /// The longest TTL that a leader of it can have; zero if it doesn't say so.
    pub longest_ttl: Millis,
}

impl Content {
    /// What the replica that holds this Lease has written. `None` if nobody does, or somebody who
    /// isn't of Leasehold.
    #[must_use]
    pub fn held(&self) -> Option<&Signed> {
        self.signed.as_ref().filter(|signed| self.holder.as_ref() == Some(&signed.by))
    }

    /// Who has written the annotations, in whatever format: the replica, its address, and its
    /// tenure.
    pub(crate) fn author(&self) -> Option<(&Holder, &Address, Tenure)> {
        match (&self.signed, &self.newer) {
            (Some(signed), _) => Some((&signed.by, &signed.address, signed.record.tenure)),
            (None, newer) => newer.as_ref().map(|newer| (&newer.by, &newer.address, newer.tenure)),
        }
    }

    /// Whether the replica that wrote the annotations holds the Lease, in whatever format they are.
    pub(crate) fn is_held_by_its_author(&self) -> bool {
        self.author().is_some_and(|(by, ..)| self.holder.as_ref() == Some(by))
    }

    /// The last words of a tenure that ended in good order. An empty holder alone is no release:
    /// `kubectl apply` of a manifest that says `holderIdentity: ""` empties the holder of a running
    /// installation.
    /// Rule `release-named`.
    #[must_use]
    pub fn released(&self) -> Option<&Record> {
        let record = self.signed.as_ref().map(|signed| &signed.record)?;
        (self.holder.is_none() && record.ended_at.is_some()).then_some(record)
    }
}

/// What a write replaces.
/// Rule `compare-and-swap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Whatever is there: the store has one writer.
    Anything,
    /// This version of the Lease, and no other.
    Version(Version),
    /// Nothing: there is no Lease, this makes one.
    Nothing,
}

/// How a write went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored for certain; a Lease has this version now.
    Stored(Option<Version>),
    /// Somebody else has written since that version was read, or the Lease is gone, or is there
    /// already; with a Lease only.
    Conflict,
    /// No answer, or an error: it may be stored all the same.
    Unknown,
    /// Not stored; with a file only. The file's place is still this replica's alone, and it stands
    /// there that the tenure goes on without being stored: whoever comes next doesn't believe that
    /// it ended with its last record.
    Held,
    /// Not stored, and never again; with a file only. Its place is another's now.
    Lost,
}
