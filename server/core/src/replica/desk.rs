//! The desk: the one request to the store that may be under way.

use super::sent::SentClaim;
use crate::WriteId;
use crate::tenure::Pending;

/// What is under way, and the numbers of writes. A store does one request after the other, so its
/// answers come in order.
#[derive(Debug, Default)]
pub(super) struct Desk {
    last: WriteId,
    under_way: Option<Request>,
}

#[derive(Debug)]
enum Request {
    Read,
    Write(WriteId, Write),
}

/// What a write is for, with what its answer is about.
#[derive(Debug)]
pub(super) enum Write {
    /// The first write of a tenure.
    Claim(Box<SentClaim>),
    Renewal(Pending),
    /// A Lease without annotations: one that is made, or one that was restored and is stripped.
    Unsigned,
    /// The last words of a tenure.
    Release,
}

impl Desk {
    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    pub(super) fn begin_read(&mut self) {
        debug_assert!(self.is_idle(), "a read while {:?} is under way", self.under_way);
        self.under_way = Some(Request::Read);
    }

    pub(super) fn begin_write(&mut self, what: Write) -> WriteId {
        debug_assert!(self.is_idle(), "{what:?} while {:?} is under way", self.under_way);
        self.last.0 += 1;
        self.under_way = Some(Request::Write(self.last, what));
        self.last
    }

    /// A read was answered. Whether one is waited for. It may be one that was abandoned: then it
    /// tells as much as the one that is waited for, and that one's answer comes unasked.
    pub(super) fn read_answered(&mut self) -> bool {
        self.under_way.take_if(|request| matches!(request, Request::Read)).is_some()
    }

    /// A write was answered. What it was for, unless it was abandoned.
    pub(super) fn written(&mut self, write: WriteId) -> Option<Write> {
        let request = self.under_way.take_if(|request| matches!(request, Request::Write(this, _) if *this == write));
        if let Some(Request::Write(_, what)) = request { Some(what) } else { None }
    }

    /// The role that has sent it is over: nobody waits for the answer any more. The request itself
    /// may still be carried out.
    pub(super) fn abandon(&mut self) {
        self.under_way = None;
    }
}
