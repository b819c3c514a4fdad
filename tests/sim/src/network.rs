//! The network between workers and the server: it delays, drops, cuts streams, and parts workers from the server.

use crate::observers::Observer;
use crate::worker::Message;
use crate::world::{Event, World};
use leasehold_core::{Ask, CallId, Entry, Input, Kept, Millis, Output, Reject, Reply, StreamId, Ticket, Time};
use std::collections::BTreeMap;

/// A Campaign stream. What is sent on it arrives in order.
#[derive(Debug)]
struct Pipe {
    /// `None`: somebody who only sends.
    owner: Option<(usize, u64)>,
    up_last: Time,
    down_last: Time,
    cut: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pipes: BTreeMap<StreamId, Pipe>,
    calls: BTreeMap<CallId, (usize, u64)>,
    /// Workers that nothing reaches, until then.
    pub(crate) apart: BTreeMap<usize, Time>,
}

impl World {
    fn delay(&mut self) -> Millis {
        if !self.calm && self.rng.chance(self.plan.late) {
            self.reach("message late");
            return self.rng.millis(200, 8000);
        }
        self.rng.millis(1, 30)
    }

    fn lost(&mut self, worker: Option<usize>) -> bool {
        let apart = worker.and_then(|worker| self.network.apart.get(&worker)).is_some_and(|until| *until > self.now);
        let lost = apart || (!self.calm && self.rng.chance(self.plan.lost));
        if lost {
            self.reach("message lost");
        }
        lost
    }

    pub(crate) fn open(&mut self, owner: Option<(usize, u64)>, ask: Result<Entry, Ticket>) -> StreamId {
        let stream = StreamId(self.new_id());
        let (now, delay) = (self.now, self.delay());
        let up_last = now + delay;
        self.network.pipes.insert(stream, Pipe { owner, up_last, down_last: now, cut: false });
        if !self.lost(owner.map(|(worker, _)| worker)) {
            let input = match ask {
                Ok(entry) => Input::Campaign { stream, entry },
                Err(ticket) => Input::Reopen { stream, ticket },
            };
            self.at(up_last, Event::Arrive(input));
        }
        stream
    }

    /// The worker is gone from a stream, or it broke: each side notices when it does.
    pub(crate) fn cut(&mut self, stream: StreamId) {
        let slow = if self.calm || self.rng.chance(700) { 100 } else { 10_000 };
        let (up, down) = (self.rng.millis(1, slow), self.rng.millis(1, slow));
        let now = self.now;
        let Some(pipe) = self.network.pipes.get_mut(&stream).filter(|pipe| !pipe.cut) else { return };
        pipe.cut = true;
        let (owner, up, down) = (pipe.owner, pipe.up_last.max(now + up), now + down);
        self.at(up, Event::Arrive(Input::StreamClosed { stream }));
        if let Some((worker, life)) = owner {
            self.at(down, Event::Deliver { worker, life, message: Message::StreamOver { stream } });
        }
    }

    pub(crate) fn streams_of(&self, worker: usize) -> Vec<StreamId> {
        let open = self.network.pipes.iter().filter(|(_, pipe)| !pipe.cut);
        open.filter(|(_, pipe)| pipe.owner.is_some_and(|(owner, _)| owner == worker)).map(|(id, _)| *id).collect()
    }

    /// The server ends all streams, or is gone.
    pub(crate) fn break_all_streams(&mut self) {
        self.observers.iter_mut().for_each(Observer::disconnect);
        let open: Vec<_> = self.network.pipes.iter().filter(|(_, pipe)| !pipe.cut).map(|(stream, _)| *stream).collect();
        for stream in open {
            self.end_stream(stream);
        }
    }

    /// The server ends a stream: what was said on it arrives before that.
    pub(crate) fn end_stream(&mut self, stream: StreamId) {
        let delay = self.delay();
        let now = self.now;
        let Some(pipe) = self.network.pipes.get_mut(&stream).filter(|pipe| !pipe.cut) else { return };
        pipe.cut = true;
        pipe.down_last = pipe.down_last.max(now + delay);
        let (owner, at, up) = (pipe.owner, pipe.down_last, pipe.up_last);
        // What the worker sent on it may still be on its way; then the server has to be told that nobody listens.
        if up > now {
            self.at(up, Event::Arrive(Input::StreamClosed { stream }));
        }
        if let Some((worker, life)) = owner {
            self.at(at, Event::Deliver { worker, life, message: Message::StreamOver { stream } });
        }
    }

    pub(crate) fn send_event(&mut self, stream: StreamId, event: leasehold_core::Event) {
        let delay = self.delay();
        let (now, tenure) = (self.now, self.checks.truth.tenure.unwrap_or_default());
        let Some(pipe) = self.network.pipes.get_mut(&stream).filter(|pipe| !pipe.cut) else { return };
        let Some((worker, life)) = pipe.owner else { return };
        let apart = self.network.apart.get(&worker).copied().unwrap_or_default();
        pipe.down_last = pipe.down_last.max(now + delay).max(apart);
        let message = Message::Event { stream, tenure, event };
        let at = pipe.down_last;
        self.at(at, Event::Deliver { worker, life, message });
    }

    pub(crate) fn call(&mut self, caller: Option<(usize, u64)>, ask: Ask) -> CallId {
        let call = CallId(self.new_id());
        if let Some(caller) = caller {
            self.network.calls.insert(call, caller);
        }
        if !self.lost(caller.map(|(worker, _)| worker)) {
            let delay = self.delay();
            self.after(delay, Event::Arrive(Input::Call { call, ask }));
        }
        call
    }

    /// Workers act on the answers to KeepAlive only; an error is like no answer.
    pub(crate) fn reply(&mut self, call: CallId, reply: Result<Reply, Reject>) {
        let Some((worker, life)) = self.network.calls.remove(&call) else { return };
        let (Ok(Reply::KeptAlive(kept)), Some(tenure)) = (reply, self.checks.truth.tenure) else { return };
        let kept: Option<Kept> = kept.into_iter().next();
        if let Some(kept) = kept
            && !self.lost(Some(worker))
        {
            let delay = self.delay();
            self.after(delay, Event::Deliver { worker, life, message: Message::Answer { call, tenure, kept } });
        }
    }

    /// A Campaign that says its sender's former self is dead, and comes after the sender has given it up and entered again:
    /// the word isn't true any more, so what follows from it is outside the promise.
    pub(crate) fn is_void(&self, input: &Input) -> bool {
        let Input::Campaign { stream, entry } = input else { return false };
        entry.replace_former && self.network.pipes.get(stream).is_none_or(|pipe| pipe.cut)
    }

    /// Nobody is there to take it.
    pub(crate) fn refuse(&mut self, input: &Input) {
        if let Input::Campaign { stream, .. } | Input::Reopen { stream, .. } = input {
            self.end_stream(*stream);
        }
    }

    pub(crate) fn remember_tickets(&mut self, output: &Output) {
        use leasehold_core::Event as Told;
        match output {
            Output::Event { event: Told::Enrolled { ticket, .. }, .. } => {
                self.tickets.extend(ticket.as_deref().cloned())
            }
            Output::Event { event: Told::Elected(lead), .. } => self.tickets.extend(lead.ticket.clone()),
            Output::Reply { reply: Ok(Reply::Proclaimed { ticket, .. }), .. } => self.tickets.push(ticket.clone()),
            Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. } => {
                for kept in kept {
                    if let Kept::Waiting(ticket) | Kept::Leading(ticket) | Kept::Draining { ticket, .. } = kept {
                        self.tickets.push(ticket.clone());
                    }
                }
            }
            _ => {}
        }
    }
}
