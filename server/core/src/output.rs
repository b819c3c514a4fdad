//! What a replica wants done or told. Outputs are to be acted on in the order in which they come.

use crate::{
    Address, CallId, CandidateName, ElectionName, EndReason, Enrolment, FencingToken, Millis, MirrorBatch, Over,
    Record, Reject, Revision, StateVersion, StreamId, Tenure, Ticket, Time, Value, WriteId,
};
use std::sync::Arc;

/// Something to do or to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Read the record, then say [`Input::Found`](crate::Input::Found) or
    /// [`Input::FoundLease`](crate::Input::FoundLease). Reads and writes happen one after the
    /// other.
    Read,
    /// Store the record, then say [`Input::Written`](crate::Input::Written).
    Write {
        /// Which write.
        write: WriteId,
        /// What it replaces.
        over: Over,
        /// What to store. In a Lease it stands in this replica's name, and makes this replica the
        /// holder unless the record tells of an end.
        record: Box<Record>,
    },
    /// Store a Lease without annotations of ours, its `spec` as it was, then say
    /// [`Input::Written`](crate::Input::Written). A file is never written so.
    WriteUnsigned {
        /// Which write.
        write: WriteId,
        /// What it replaces.
        over: Over,
    },
    /// Another replica is active, as far as this one knows: forward calls to it. `None`: nobody is
    /// known to be.
    Follow(Option<Active>),
    /// All that the tenure knows, for a mirror that was opened.
    MirrorSnapshot(Box<MirrorBatch>),
    /// Something changed, for all mirrors.
    MirrorChanged(Arc<MirrorBatch>),
    /// A tenure begins: the replica is active.
    TenureBegan {
        /// Which one.
        tenure: Tenure,
        /// When it began.
        began: Time,
        /// How long it grants nothing.
        settles_in: Millis,
        /// Observers that have seen this change of the former tenure can resume here.
        resumes_after: Option<Revision>,
    },
    /// Unless extended again, the right to be active ends then: after it nothing may be answered
    /// from this tenure's state. With a file it only lapses: another of these may bring it back, in
    /// the same tenure.
    RightUntil(Time),
    /// The tenure has settled: whoever hasn't come back won't.
    Settled,
    /// The tenure is over: end all streams, answer nothing more from its state.
    TenureEnded {
        /// Which one.
        tenure: Tenure,
        /// Why.
        why: TenureEnd,
    },
    /// The record of an orderly end is stored, or can't be: the process may exit.
    Stopped,
    /// The answer to a call.
    Reply {
        /// Which call.
        call: CallId,
        /// What to say.
        reply: Result<Reply, Reject>,
    },
    /// An event on a Campaign stream.
    Event {
        /// Which stream.
        stream: StreamId,
        /// Which state of the candidacy this is about; 0 at its end.
        version: StateVersion,
        /// What happened.
        event: Event,
    },
    /// The last thing on a Campaign stream: `Ended` was its last event if there is no reason here.
    Close {
        /// Which stream.
        stream: StreamId,
        /// Why, if it isn't the end of the candidacy.
        why: Option<Reject>,
    },
    /// A change that observers see.
    Changed(Arc<Change>),
    /// A candidacy is over: for logs and counts. Whoever has to know is told by other outputs.
    Ended(Box<Ended>),
}

/// Another replica that is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Its tenure.
    pub tenure: Tenure,
    /// Where it serves gRPC.
    pub address: Address,
}

/// A candidacy that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its number.
    pub enrolment: Enrolment,
    /// The election.
    pub election: ElectionName,
    /// The candidate's label.
    pub candidate: CandidateName,
    /// Its token, if it led.
    pub token: Option<FencingToken>,
    /// Why.
    pub reason: EndReason,
}

/// Why a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenureEnd {
    /// Its right ran out before a renewal succeeded.
    RightEnded,
    /// Somebody else holds the Lease, or has the place of the file.
    Lost,
    /// A ticket has shown that higher numbers than its own were handed out: the record was lost or
    /// restored. The next tenure begins above them.
    Behind,
    /// The process is shut down.
    Shutdown,
}

/// What happened to a candidacy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It exists. `ticket` is `None` for a stream-bound one.
    Enrolled {
        /// Its number.
        enrolment: Enrolment,
        /// What it carries.
        ticket: Option<Box<Ticket>>,
    },
    /// Others are before it.
    Waiting {
        /// How many.
        ahead: usize,
        /// How long nothing is granted at all; zero once the tenure has settled.
        settling: Millis,
        /// How long the election is on hold; zero if it isn't.
        hold: Millis,
    },
    /// It leads.
    Elected(Box<Lead>),
    /// It has to hand over.
    Draining {
        /// The token of the leadership that ends.
        token: FencingToken,
        /// Left of it.
        remaining: Millis,
    },
    /// It is over.
    Ended(EndReason),
}

/// What the shell needs to make a task token and a ticket for a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The election.
    pub election: ElectionName,
    /// The leader's label.
    pub candidate: CandidateName,
    /// Its token.
    pub token: FencingToken,
    /// What it carries; `None` for a stream-bound one.
    pub ticket: Option<Ticket>,
    /// Until the worker's own deadline, as far as the server knows; `None` for a stream-bound one.
    pub lease_left: Option<Millis>,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To KeepAlive: one for each ticket, in their order.
    KeptAlive(Vec<Kept>),
    /// To Resign.
    Resigned {
        /// Whether it led.
        was_leading: bool,
        /// Whether it was over before.
        already_ended: bool,
    },
    /// To Proclaim.
    Proclaimed {
        /// The number of the change.
        revision: Revision,
        /// The new ticket. Its version is the revision.
        ticket: Ticket,
    },
    /// To StepDown.
    SteppingDown {
        /// Whose leadership ends.
        token: FencingToken,
        /// Left of it.
        remaining: Millis,
    },
    /// To Get.
    Election(ElectionState),
    /// To List, in the order of names. `more` says whether there are more after the last one.
    Elections {
        /// The page.
        elections: Vec<ElectionState>,
        /// Whether it isn't the last page.
        more: bool,
    },
    /// To Verify.
    Verified {
        /// Whether the token is the leader's.
        current: bool,
        /// The leader.
        leader: Option<Leader>,
    },
    /// To Status.
    Status(Box<Status>),
}

/// The state of one candidacy, for KeepAlive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Waits, and lives for another TTL.
    Waiting {
        /// What it carries.
        ticket: Ticket,
        /// Which state this is.
        version: StateVersion,
    },
    /// Leads, and lives for another TTL.
    Leading {
        /// What it carries.
        ticket: Ticket,
        /// Which state this is.
        version: StateVersion,
    },
    /// Leads, and isn't kept alive any more.
    Draining {
        /// What it carries: as before.
        ticket: Ticket,
        /// Which state this is.
        version: StateVersion,
        /// Left of it.
        remaining: Millis,
    },
    /// Is over.
    Ended(EndReason),
}

impl Kept {
    /// What it carries, unless it is over.
    #[must_use]
    pub fn ticket(&self) -> Option<&Ticket> {
        match self {
            Kept::Waiting { ticket, .. } | Kept::Leading { ticket, .. } | Kept::Draining { ticket, .. } => Some(ticket),
            Kept::Ended(_) => None,
        }
    }
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its label.
    pub candidate: CandidateName,
    /// Its token.
    pub token: FencingToken,
    /// What it shows.
    pub value: Value,
    /// Whether it was told to hand over.
    pub draining: bool,
    /// Whether it is leased.
    pub leased: bool,
}

/// A change that observers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which election.
    pub election: ElectionName,
    /// The number of this change.
    pub revision: Revision,
    /// Who leads after it; `None`: vacant.
    pub leader: Option<Leader>,
    /// Why.
    pub reason: ChangeReason,
    /// Until then the election isn't granted again.
    pub held_until: Option<Time>,
}

/// Why an election changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeReason {
    /// A grant.
    Elected,
    /// A new value.
    Proclaimed,
    /// The leadership ended.
    Ended(EndReason),
    /// The leader was told to hand over.
    Draining,
    /// The leader was put back after a change of tenure.
    Restored,
    /// Nobody leads, and it is on hold, since before a change of tenure.
    Held,
}

/// The state of an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionState {
    /// Its name.
    pub name: ElectionName,
    /// Its last change, if one is known.
    pub last: Option<Arc<Change>>,
    /// How many wait.
    pub waiting: usize,
    /// No leader is known, but one of the former tenure may still be out there for this long; zero
    /// if none can be.
    pub settling: Millis,
    /// How long it is on hold; zero if it isn't.
    pub hold: Millis,
}

/// What a replica is and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The tenure; `None` when it isn't active.
    pub tenure: Option<Tenure>,
    /// How long the tenure has lasted.
    pub age: Millis,
    /// How long it grants nothing yet.
    pub settling: Millis,
    /// Elections with a candidate, or on hold.
    pub elections: usize,
    /// Candidacies.
    pub candidacies: usize,
    /// Those that lead or drain.
    pub leaders: usize,
    /// The last number that was handed out.
    pub revision: Revision,
    /// Candidacies of the active replica that this standby knows of.
    pub mirrored: usize,
}
