//! What goes in and out of the shell, as data, and what it needs of whoever runs it.

use crate::{Answer, BoardNews, Phase, StreamItem};
use leasehold_core::{
    Active, Ask, Entry, Input, Millis, MirrorBatch, Output, Over, Record, StreamId, Tenure, TenureEnd, Ticket, Time,
    WriteId,
};
use std::sync::Arc;

/// What the core asks to be stored.
#[derive(Clone, Debug)]
pub struct Write {
    /// Names the write in its answer.
    pub write: WriteId,
    /// What it replaces.
    pub over: Over,
    /// What to store.
    pub record: Box<Record>,
    /// Not later than the moment at which the core made the record.
    pub sent: Time,
}

/// What a mirror is told.
#[derive(Clone, Debug)]
pub enum News {
    /// All that the tenure knows.
    Snapshot(Arc<MirrorBatch>),
    /// What has changed.
    Changed(Arc<MirrorBatch>),
}

/// What whoever looks at a replica may want to know of its tenures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// This replica became active.
    Began {
        /// In this tenure.
        tenure: Tenure,
        /// The tenure grants nothing for so long.
        settles_in: Millis,
    },
    /// This replica isn't active any more.
    Ended(Tenure, TenureEnd),
}

/// What happens to the right to be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightNews {
    /// The right of this tenure was extended, and lasts so much longer.
    Extended(Tenure, Millis),
    /// It has lapsed for longer than calls wait for it.
    Lapsed(Tenure),
    /// It is back: it had lapsed so long ago.
    Back(Tenure, Millis),
    /// It was given back.
    Ended,
}

/// Whoever was to be told is gone, or too slow to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What a Campaign stream is opened for.
#[derive(Debug)]
pub enum Opening {
    /// To enter an election.
    Enter(Box<Entry>),
    /// To hear of a candidacy again.
    Reopen(Box<Ticket>),
}

/// What a caller, or another replica, asks of this one. The types are those of [`Ports`].
#[derive(Debug)]
pub enum Message<S, C, M> {
    /// Open a Campaign stream.
    Open {
        /// The new stream.
        stream: StreamId,
        /// What it is opened for.
        opening: Opening,
        /// Where its items go.
        items: S,
        /// The tenure that a standby has forwarded it to.
        meant_for: Option<Tenure>,
    },
    /// A call with one answer.
    Ask {
        /// What is asked.
        ask: Ask,
        /// Whoever waits for the answer.
        call: C,
        /// The tenure that a standby has forwarded it to.
        meant_for: Option<Tenure>,
    },
    /// A standby wants to know everything.
    Mirror(M),
    /// The active replica told this standby something.
    Mirrored(Box<Input>),
    /// The process is to end.
    Shutdown,
}

/// What the shell needs of whoever runs it. Nothing here may wait. `S` is where the items of one
/// Campaign stream go, `C` is whoever waits for the answer to a call, and `M` is a standby that
/// mirrors this replica.
pub trait Ports<S, C, M> {
    /// The core is told this, in a moment.
    fn told(&mut self, now: Time, input: &Input) {
        let _ = (now, input);
    }

    /// The core says this. Nothing has been done about it yet.
    fn said(&mut self, output: &Output) {
        let _ = output;
    }

    /// Read the record: [`Input::Found`], or that it can't be read, is to follow.
    fn read(&mut self);

    /// Store the record: [`Input::Written`] is to follow.
    fn write(&mut self, write: Write);

    /// Make the Lease, or take our annotations off it: [`Input::Written`] is to follow. Never asked
    /// of a file. `sent` isn't later than the moment at which the core decided that.
    fn write_unsigned(&mut self, write: WriteId, over: Over, sent: Time);

    /// A call is answered.
    fn answer(&mut self, call: C, answer: Answer);

    /// Whether nobody reads this stream any more. Its end may be told before its beginning.
    fn is_gone(&self, stream: &S) -> bool {
        let _ = stream;
        false
    }

    /// Something for a Campaign stream.
    ///
    /// # Errors
    /// [`Gone`]: the stream is over.
    fn send(&mut self, stream: (StreamId, &mut S), item: StreamItem) -> Result<(), Gone>;

    /// Something for a mirror.
    ///
    /// # Errors
    /// [`Gone`]: it has to begin anew.
    fn mirror(&mut self, mirror: &M, news: News) -> Result<(), Gone>;

    /// Something changes on the board. Observers see it before anybody is told of its cause.
    fn board(&mut self, news: &BoardNews<'_>);

    /// Another replica is active, or none is known to be.
    fn follow(&mut self, active: Option<Active>) {
        let _ = active;
    }

    /// Something is so of this replica's tenures. Streams and mirrors of one that has ended are to
    /// hear of it next.
    fn fact(&mut self, fact: Fact) {
        let _ = fact;
    }

    /// Something happened to the right.
    fn right(&mut self, news: RightNews) {
        let _ = news;
    }

    /// What everybody may know has changed.
    fn phase(&mut self, phase: &Phase) {
        let _ = phase;
    }
}
