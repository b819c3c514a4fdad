//! Campaign streams: what is sent on one arrives in order, through a standby or not; each side
//! notices its end when it does.

use super::Party;
use crate::observers::Observer;
use crate::server::{Parcel, Proc};
use crate::worker::Message;
use crate::world::{Event, World};
use leasehold_core::{Entry, Input, Millis, StateVersion, StreamId, Ticket, Time};
use leasehold_shell::Word;

/// A Campaign stream.
#[derive(Debug)]
pub(super) struct Pipe {
    /// `None`: somebody who only sends.
    owner: Option<(usize, u64)>,
    /// The process that the worker has called.
    entry: Proc,
    /// The process whose core handles it.
    handler: Option<Proc>,
    up_last: Time,
    /// From the standby to the active replica.
    up_hop: Time,
    down_last: Time,
    /// The last hop to the worker.
    last_hop: Time,
    cut: bool,
}

impl World {
    pub(crate) fn open(&mut self, owner: Option<(usize, u64)>, ask: Result<Entry, Ticket>) -> StreamId {
        let stream = StreamId(self.new_id());
        let at = self.entry(owner);
        let named = ask.as_ref().is_ok_and(|entry| entry.attempt.is_some());
        let (now, delay, entry) = (self.now, self.delay_of_opening(named), self.proc(at));
        let up_last = now + delay;
        let pipe =
            Pipe { owner, entry, handler: None, up_last, up_hop: now, down_last: now, last_hop: now, cut: false };
        self.network.pipes.insert(stream, pipe);
        if !self.lost(owner.map(|(worker, _)| Party::Worker(worker)), Party::Replica(at)) {
            let input = match ask {
                Ok(entry) => Input::Campaign { stream, entry },
                Err(ticket) => Input::Reopen { stream, ticket },
            };
            self.at(up_last, Event::Arrive { at, parcel: Parcel::Ask(input) });
        }
        stream
    }

    /// A Campaign with a name may come when its sender has sent it once more.
    fn delay_of_opening(&mut self, named: bool) -> Millis {
        if named && !self.calm && self.rng.chance(self.plan.late) {
            self.reach("Campaign held up");
            return self.rng.millis(500, 12_000);
        }
        self.delay()
    }

    /// The worker is gone from a stream, or it broke: each side notices when it does.
    pub(crate) fn cut(&mut self, stream: StreamId) {
        let slow = if self.calm || self.rng.chance(700) { 100 } else { 10_000 };
        let (up, down) = (self.rng.millis(1, slow), self.rng.millis(1, slow));
        let now = self.now;
        let Some(pipe) = self.network.pipes.get_mut(&stream).filter(|pipe| !pipe.cut) else { return };
        pipe.cut = true;
        pipe.up_last = pipe.up_last.max(now + up);
        let (owner, at, up, down) = (pipe.owner, pipe.entry.at, pipe.up_last, now + down);
        self.at(up, Event::Arrive { at, parcel: Parcel::Ask(Input::StreamClosed { stream }) });
        if let Some((worker, life)) = owner {
            self.at(down, Event::Deliver { worker, life, message: Message::StreamOver { stream, superseded: false } });
        }
    }

    pub(crate) fn streams_of(&self, worker: usize) -> Vec<StreamId> {
        let open = self.network.pipes.iter().filter(|(_, pipe)| !pipe.cut);
        open.filter(|(_, pipe)| pipe.owner.is_some_and(|(owner, _)| owner == worker)).map(|(id, _)| *id).collect()
    }

    /// A worker notices the end of its streams that are over, though the word of it is far behind.
    pub(super) fn late_streams_of(&mut self, worker: usize) {
        let now = self.now;
        let mine = |pipe: &Pipe| pipe.owner.filter(|(owner, _)| *owner == worker);
        let pipes = self.network.pipes.iter().filter(|(_, pipe)| pipe.cut && pipe.down_last.max(pipe.last_hop) > now);
        let late: Vec<_> = pipes.filter_map(|(stream, pipe)| Some((*stream, mine(pipe)?))).collect();
        for (stream, owner) in late {
            self.tell_over(owner, stream);
        }
    }

    /// The core of this replica takes what opens a stream.
    pub(crate) fn handled_by(&mut self, input: &Input, at: usize) {
        let handler = self.proc(at);
        if let Input::Campaign { stream, .. } | Input::Reopen { stream, .. } = input
            && let Some(pipe) = self.network.pipes.get_mut(stream)
        {
            pipe.handler = Some(handler);
        }
    }

    pub(super) fn stream_entered(&mut self, stream: StreamId, entry: Proc) {
        if let Some(pipe) = self.network.pipes.get_mut(&stream) {
            pipe.entry = entry;
        }
    }

    pub(crate) fn handler_of(&self, stream: StreamId) -> Option<Proc> {
        self.network.pipes.get(&stream)?.handler
    }

    pub(super) fn is_cut(&self, stream: StreamId) -> bool {
        self.network.pipes.get(&stream).is_none_or(|pipe| pipe.cut)
    }

    /// When what is sent now arrives at the active replica, after all that a standby has passed on
    /// before.
    pub(super) fn up_hop(&mut self, stream: StreamId, delay: Millis) -> Time {
        let due = self.now + delay;
        let Some(pipe) = self.network.pipes.get_mut(&stream) else { return due };
        pipe.up_hop = pipe.up_hop.max(due);
        pipe.up_hop
    }

    pub(super) fn down_last_hop(&mut self, stream: StreamId, delay: Millis) -> Time {
        let due = self.now + delay;
        let Some(pipe) = self.network.pipes.get_mut(&stream) else { return due };
        pipe.last_hop = pipe.last_hop.max(due);
        pipe.last_hop
    }

    /// The tenure is over, and so are the streams that this replica's core handled.
    pub(crate) fn end_streams_handled_by(&mut self, at: usize) {
        let proc = self.proc(at);
        self.observers.iter_mut().for_each(|observer: &mut Observer| observer.disconnect(at));
        for stream in self.open_streams(|pipe| pipe.handler == Some(proc)) {
            self.end_stream(stream, false);
        }
    }

    /// The process is gone: the streams of its own break, and those that it passed on.
    pub(crate) fn break_streams_of(&mut self, at: usize) {
        self.end_streams_handled_by(at);
        for stream in self.open_streams(|pipe| pipe.entry.at == at) {
            let Some(pipe) = self.network.pipes.get_mut(&stream) else { continue };
            pipe.cut = true;
            let (owner, handler, up) = (pipe.owner, pipe.handler, pipe.up_last);
            if let Some(owner) = owner {
                self.tell_over(owner, stream);
            }
            // What opens it may still be on its way, to the next process.
            if up > self.now {
                self.at(up, Event::Arrive { at, parcel: Parcel::Ask(Input::StreamClosed { stream }) });
            }
            if let Some(handler) = handler {
                self.forward_close(at, handler, stream);
            }
        }
        // Those that were over are forgotten once nothing of them can still be on its way.
        let now = self.now;
        self.network
            .pipes
            .retain(|_, pipe| !pipe.cut || pipe.down_last.max(pipe.up_last).max(pipe.up_hop) + Millis(60_000) > now);
    }

    /// What was said on a stream can't be passed on: whoever said it notices.
    pub(crate) fn give_up(&mut self, stream: StreamId) {
        let Some(pipe) = self.network.pipes.get_mut(&stream).filter(|pipe| !pipe.cut) else { return };
        pipe.cut = true;
        let (entry, handler) = (pipe.entry, pipe.handler);
        if let Some(handler) = handler {
            self.forward_close(entry.at, handler, stream);
        }
    }

    fn open_streams(&self, which: impl Fn(&Pipe) -> bool) -> Vec<StreamId> {
        let open = self.network.pipes.iter().filter(|(_, pipe)| !pipe.cut && which(pipe));
        open.map(|(stream, _)| *stream).collect()
    }

    /// The server ends a stream: what was said on it arrives before that.
    pub(crate) fn end_stream(&mut self, stream: StreamId, superseded: bool) {
        let now = self.now;
        let Some(pipe) = self.network.pipes.get_mut(&stream).filter(|pipe| !pipe.cut) else { return };
        pipe.cut = true;
        let (owner, at, up) = (pipe.owner, pipe.entry.at, pipe.up_last);
        // What the worker sent on it may still be on its way; then the server has to be told that
        // nobody listens.
        if up > now {
            self.at(up, Event::Arrive { at, parcel: Parcel::Ask(Input::StreamClosed { stream }) });
        }
        if owner.is_some() {
            self.say_on(stream, Message::StreamOver { stream, superseded });
        }
    }

    /// Whether the server finds that nobody reads the stream, as it sends a word: the connection is
    /// gone, or its reader too slow. Mostly it is told of the end of a stream otherwise.
    pub(crate) fn loses_a_reader(&mut self, stream: StreamId) -> bool {
        let gone = !self.calm && self.rng.chance(self.plan.lost / 20);
        if gone {
            self.reach("reader gone at a word");
            self.end_stream(stream, false);
        }
        gone
    }

    pub(crate) fn send_event(
        &mut self,
        at: usize,
        stream: StreamId,
        word: Word<(StateVersion, leasehold_core::Event)>,
    ) {
        let (server, tenure) = (&self.servers[at], word.tenure());
        let Ok((version, event)) = word.open(&server.right, server.local(self.now)) else { return };
        if !self.is_cut(stream) {
            self.say_on(stream, Message::Event { stream, tenure, version, event });
        }
    }

    /// Sends a message to the worker at the other end of a stream.
    fn say_on(&mut self, stream: StreamId, message: Message) {
        let delay = self.delay();
        let Some(pipe) = self.network.pipes.get(&stream) else { return };
        let (Some(owner), entry) = (pipe.owner, pipe.entry) else { return };
        let handler = pipe.handler.filter(|handler| *handler != entry);
        let from = handler.map_or(entry, |handler| handler);
        let to = if handler.is_some() { Party::Replica(entry.at) } else { Party::Worker(owner.0) };
        let apart = self.parted(Party::Replica(from.at), to).unwrap_or_default();
        let now = self.now;
        let Some(pipe) = self.network.pipes.get_mut(&stream) else { return };
        pipe.down_last = pipe.down_last.max(now + delay).max(apart);
        let due = pipe.down_last;
        if handler.is_some() {
            self.at(due, Event::Arrive { at: entry.at, parcel: Parcel::Back { life: entry.life, to: owner, message } });
        } else {
            self.at(due, Event::Deliver { worker: owner.0, life: owner.1, message });
        }
    }
}
