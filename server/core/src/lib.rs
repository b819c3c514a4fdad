//! The replica of Leasehold as a pure state machine: no async, no I/O, no clock, no random source.
//!
//! The same state and the same input give the same outputs. Time is an argument.
//!
//! ```text
//!  Found, Watched, Written ──▶ replica.rs ──▶ sight.rs       what was seen of the Lease, and when it may be taken over
//!  Campaign, Reopen ─────────▶     │     └──▶ tenure.rs      the right to be active, the line of numbers, the wait
//!  StreamClosed, Call ───────▶     └────────▶ elections.rs   candidacies, queues, leaders, deadlines
//!  Tick, Shutdown ───────────▶                     └──▶ mirror.rs   what a standby knows of them
//!                                  ◀──────── Read, Write, Follow, TenureBegan, RightUntil, Settled, TenureEnded, Stopped
//!                                  ◀──────── Reply, Event, Close, Changed ──▶ board.rs: what observers read
//! ```
//!
//! Verbs of [`Replica`]: [`new`](Replica::new), [`handle`](Replica::handle),
//! [`poll_output`](Replica::poll_output), [`next_deadline`](Replica::next_deadline),
//! [`check`](Replica::check). Call `poll_output` until it is empty after each `handle`, and act on
//! the outputs in their order; call `handle` with [`Input::Tick`] when the deadline has come.
//! Lawful input never makes the core fail; a broken invariant panics.

mod address;
mod board;
mod config;
mod elections;
mod input;
mod lawful;
mod lease;
mod mirror;
mod must;
mod name;
mod number;
mod output;
mod reason;
mod record;
mod reject;
mod replica;
mod sight;
mod tenure;
mod ticket;
mod time;

pub use address::{Address, BadAddress};
pub use board::{Batch, Board, Cursor, Seen, Selection};
pub use config::{
    BadConfig, CANDIDACY_BYTES, Config, Limits, MAX_LEASE_DURATION, MAX_MAX_CANDIDACIES, MIN_LEASE_DURATION, MIN_TTL,
    Store,
};
pub use input::{Ask, CallId, Entry, Input, Replace, StreamId, WriteId};
pub use lawful::{LONGEST, MAX_HOLD, MAX_MAX_TTL, Unlawful};
pub use lease::{Content, Holder, Lease, Newer, Outcome, Over, Signed, Version};
pub use mirror::{BatchParts, MirrorBatch};
pub use name::{
    Attempt, BadWord, CandidateName, ElectionName, MAX_ATTEMPT_BYTES, MAX_NAME_BYTES, MAX_VALUE_BYTES, PodUid, Subject,
    Value,
};
pub use number::{
    AHEAD_WHEN_LOST, Ceiling, ChangeNumber, ClockFloor, Enrolment, FencingToken, HEADROOM, NUMBER_LIMIT, Revision,
    StateVersion, Tenure,
};
pub use output::{
    Active, Change, ChangeReason, ElectionState, Ended, Event, Kept, Lead, Leader, Output, Reply, Status, TenureEnd,
};
pub use reason::EndReason;
pub use record::{Found, Handover, Record, RecordParts};
pub use reject::Reject;
pub use replica::Replica;
pub use ticket::{Carried, Held, Ticket, TicketParts};
pub use time::{Millis, Time};
