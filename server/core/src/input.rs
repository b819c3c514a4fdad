//! What a replica is told.

use crate::{
    Attempt, CandidateName, ClockFloor, ElectionName, FencingToken, Found, Lease, Millis, MirrorBatch, Outcome, PodUid,
    Subject, Tenure, Ticket, Value,
};

/// Names a Campaign stream; chosen by the shell, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// Names a unary call; chosen by the shell, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names a write of the record; chosen by the core, rising.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The answer to [`Output::Read`](crate::Output::Read) of a file.
    Found {
        /// What stands in the file.
        found: Found,
        /// What the clock vouches for.
        clock_floor: ClockFloor,
    },
    /// The answer to [`Output::Read`](crate::Output::Read) of a Lease.
    FoundLease {
        /// The Lease; `None` if there is none.
        lease: Option<Lease>,
        /// What the clock vouches for.
        clock_floor: ClockFloor,
    },
    /// The answer to [`Output::Write`](crate::Output::Write).
    Written {
        /// Which write.
        write: WriteId,
        /// How it went.
        outcome: Outcome,
    },
    /// The answer to [`Output::Read`](crate::Output::Read) when the Lease couldn't be read: nobody
    /// knows what stands there.
    ReadFailed,
    /// What stands in the Lease, told without having been asked for: by a watch. It may be older
    /// than what was read since.
    Watched {
        /// The Lease; `None` if it is gone.
        lease: Option<Lease>,
        /// What the clock vouches for.
        clock_floor: ClockFloor,
    },
    /// A call or a stream that a standby has forwarded: only for the tenure that it knew when the
    /// call reached it.
    Forwarded {
        /// Whom it is meant for.
        tenure: Tenure,
        /// The call.
        input: Box<Input>,
    },
    /// A standby wants to mirror this replica. The first answer is a snapshot.
    MirrorOpened,
    /// A mirror is gone.
    MirrorClosed,
    /// The active replica told this standby all that it has.
    MirrorSnapshot(MirrorBatch),
    /// The active replica told this standby what changed.
    MirrorChanged(MirrorBatch),
    /// A worker enters an election. Its outcomes are events on `stream`.
    Campaign {
        /// The stream.
        stream: StreamId,
        /// What it asks for.
        entry: Entry,
    },
    /// A worker opens the stream of its candidacy again.
    Reopen {
        /// The new stream.
        stream: StreamId,
        /// The ticket.
        ticket: Ticket,
    },
    /// A Campaign stream is gone.
    StreamClosed {
        /// Which one.
        stream: StreamId,
    },
    /// A unary call. Its outcome is a [`Output::Reply`](crate::Output::Reply).
    Call {
        /// Which call.
        call: CallId,
        /// What it asks for.
        ask: Ask,
    },
    /// Only time passed.
    Tick,
    /// The process is to end: stop serving, and hand over.
    Shutdown,
}

/// What a worker asks for that enters an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The election.
    pub election: ElectionName,
    /// The candidate's label.
    pub candidate: CandidateName,
    /// Who asks.
    pub subject: Subject,
    /// The TTL of a leased candidacy; `None` for a stream-bound one.
    pub ttl: Option<Millis>,
    /// What observers see when it leads.
    pub value: Value,
    /// End as NOT_GRANTED unless it can be granted at once.
    pub no_wait: bool,
    /// End as NOT_GRANTED unless it can be granted within this time.
    pub max_wait: Option<Millis>,
    /// The pod that it runs in, as far as it was established.
    pub pod: Option<PodUid>,
    /// Which former candidacies of the same name and subject are dead.
    pub replace_former: Replace,
    /// Names this entry: a second one with the same name finds the candidacy that the first one
    /// made.
    pub attempt: Option<Attempt>,
    /// For how long from the grant the election isn't granted again. Zero: it is as soon as it is
    /// vacant.
    pub hold: Millis,
}

/// Which former candidacies of a worker are dead. Their worker says so, and whoever hands its word
/// to the core believes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// None is known to be.
    Nobody,
    /// Those of its own pod.
    OfItsPod,
    /// All.
    All,
}

impl Input {
    /// The tickets that it carries.
    pub(crate) fn tickets(&self) -> &[Ticket] {
        match self {
            Input::Reopen { ticket, .. } | Input::Call { ask: Ask::Resign(ticket) | Ask::Proclaim(ticket, _), .. } => {
                std::slice::from_ref(ticket)
            }
            Input::Call { ask: Ask::KeepAlive(tickets), .. } => tickets,
            _ => &[],
        }
    }
}

/// A unary call.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Keep candidacies alive.
    KeepAlive(Vec<Ticket>),
    /// Leave an election.
    Resign(Ticket),
    /// Change the leader's value.
    Proclaim(Ticket, Value),
    /// End a leadership: only the one with this token, if one is given.
    StepDown(ElectionName, Option<FencingToken>),
    /// The state of an election.
    Get(ElectionName),
    /// The states of up to `limit` elections whose names begin with `prefix` and come after
    /// `after`.
    List {
        /// What their names begin with.
        prefix: String,
        /// The last name of the page before.
        after: Option<String>,
        /// How many.
        limit: usize,
    },
    /// Whether a token is the current leader's.
    Verify(ElectionName, FencingToken),
    /// What the replica is and holds.
    Status,
}
