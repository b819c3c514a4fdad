//! What can happen, as the checks are told it.

use crate::clock::Clock;
use leasehold_core::{
    Batch, Content, ElectionName, Enrolment, FencingToken, Found, Input, Millis, Output, Record, Revision, Tenure, Time,
};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    /// A process starts, with this clock.
    Started { clock: Clock },
    /// The process is gone without a word.
    Crashed,
    /// The replica's shell is told this.
    Told(&'a Input),
    /// The core says this.
    Said(&'a Output),
    /// The core has said everything.
    SaidAll,
    /// The file holds this now.
    Stored { found: &'a Found, by_fault: bool },
    /// The file is read; the core is told when the process gets to it.
    Read,
    /// A write was applied to the Lease, which a process asked for in that name; it may not live
    /// any more.
    Applied { record: Option<&'a Record>, replaced: Option<&'a Content>, me: &'a str },
    /// Somebody else changed the Lease.
    Edited,
    /// The Lease is deleted, no replica runs, and clocks may be behind: numbers may fall.
    Fell,
    /// A worker believes that it leads.
    Believes { worker: usize, election: &'a ElectionName, token: FencingToken, until: Option<Time> },
    /// A worker doesn't believe that it leads.
    Doubts { worker: usize },
    /// An observer was told this.
    Observed { observer: usize, batch: &'a Batch },
    /// An observer's stream begins: after what it was told last, or anew.
    ObserverConnects { observer: usize, resumes: Option<Revision> },
    /// Faults have ended; no replica renews its right more often than this.
    FaultsEnded { renew_interval: Millis },
    /// Workers must be back after a restore: the highest tenures that they have heard of.
    BackDue { heard: &'a [(usize, Tenure)] },
    /// Faults have ended long enough ago for every election with a live candidate to have a leader.
    ProgressDue { wanted: &'a [ElectionName] },
    /// The end: what each live worker takes for its candidacy, and the tokens with which workers
    /// believe that they lead.
    TheEnd { candidacies: &'a [(usize, Enrolment)], led: &'a [FencingToken] },
}
