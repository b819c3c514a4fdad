//! Calls and their answers, some of them through a standby.

use super::Party;
use crate::mirrors::replica_at;
use crate::server::{Parcel, Proc};
use crate::worker::Message;
use crate::world::{Event, World};
use leasehold_core::{Active, Ask, CallId, Input, Kept, Millis, Output, Replace, Reply, StreamId};
use leasehold_shell::Answer;

/// A call under way.
#[derive(Debug)]
pub(super) struct Asked {
    worker: usize,
    life: u64,
    /// The process that the worker has called.
    entry: Proc,
}

impl World {
    pub(crate) fn call(&mut self, caller: Option<(usize, u64)>, ask: Ask) -> CallId {
        let call = CallId(self.new_id());
        let at = self.entry(caller);
        if let Some((worker, life)) = caller {
            let entry = self.proc(at);
            self.network.calls.insert(call, Asked { worker, life, entry });
        }
        let from = caller.map(|(worker, _)| Party::Worker(worker));
        if !self.lost(from, Party::Replica(at)) {
            let delay = self.delay();
            self.after(delay, Event::Arrive { at, parcel: Parcel::Ask(Input::Call { call, ask }) });
        }
        call
    }

    /// The replica that a worker talks to.
    pub(super) fn entry(&mut self, caller: Option<(usize, u64)>) -> usize {
        match caller {
            Some((worker, _)) => self.workers[worker].home,
            None => self.rng.index(self.servers.len()),
        }
    }

    /// The process that a worker has called, now that its call is there.
    pub(crate) fn entered_at(&mut self, input: &Input, at: usize) {
        let entry = self.proc(at);
        match input {
            Input::Call { call, .. } => {
                if let Some(asked) = self.network.calls.get_mut(call) {
                    asked.entry = entry;
                }
            }
            Input::Campaign { stream, .. } | Input::Reopen { stream, .. } => self.stream_entered(*stream, entry),
            _ => {}
        }
    }

    /// A standby passes a call on.
    pub(crate) fn forward(&mut self, at: usize, active: &Active, input: Input) {
        self.reach("forwarded by a standby");
        let to = replica_at(&active.address);
        let held = !self.calm && self.rng.chance(self.plan.held);
        let delay = if held {
            self.reach("held up in a standby");
            self.rng.millis(500, 12_000)
        } else {
            self.hop_delay()
        };
        if self.lost_hop(at, to) {
            return self.refuse(&input);
        }
        self.handled_by(&input, to);
        let due = match input {
            Input::Campaign { stream, .. } | Input::Reopen { stream, .. } => self.up_hop(stream, delay),
            _ => self.now + delay,
        };
        self.at(due, Event::Arrive { at: to, parcel: Parcel::Forwarded { tenure: active.tenure, input } });
    }

    /// Between replicas only a partition loses what was sent.
    fn lost_hop(&mut self, from: usize, to: usize) -> bool {
        let lost = self.parted(Party::Replica(from), Party::Replica(to)).is_some();
        if lost {
            self.reach("message between replicas lost");
        }
        lost
    }

    /// Workers act on the answers to KeepAlive only; an error is like no answer.
    pub(crate) fn reply(&mut self, at: usize, call: CallId, answer: Answer) {
        let Some(Asked { worker, life, entry }) = self.network.calls.remove(&call) else { return };
        let (server, tenure) = (&self.servers[at], answer.tenure());
        let Ok(Ok(Reply::KeptAlive(kept))) = answer.open(&server.right, server.local(self.now)) else { return };
        let Some(kept): Option<Kept> = kept.into_iter().next() else { return };
        let message = Message::Answer { call, tenure, kept };
        if entry.at == at {
            return self.pass_back(at, (worker, life), message);
        }
        if !self.lost_hop(at, entry.at) {
            let delay = self.hop_delay();
            let parcel = Parcel::Back { life: entry.life, to: (worker, life), message };
            self.after(delay, Event::Arrive { at: entry.at, parcel });
        }
    }

    /// The last hop to the worker.
    pub(crate) fn pass_back(&mut self, at: usize, to: (usize, u64), message: Message) {
        let (worker, life) = to;
        let delay = self.delay();
        let due = match &message {
            Message::Event { stream, .. } | Message::StreamOver { stream, .. } => {
                let apart = self.parted(Party::Replica(at), Party::Worker(worker)).unwrap_or_default();
                self.down_last_hop(*stream, delay).max(apart)
            }
            Message::Answer { .. } => {
                if self.lost(Some(Party::Replica(at)), Party::Worker(worker)) {
                    return;
                }
                self.now + delay
            }
        };
        self.at(due, Event::Deliver { worker, life, message });
    }

    /// A Campaign that says its sender's former self is dead, and comes after the sender has given
    /// it up and entered again: the word isn't true any more, so what follows from it is outside
    /// the promise.
    pub(crate) fn is_void(&self, input: &Input) -> bool {
        let Input::Campaign { stream, entry } = input else { return false };
        entry.replace_former != Replace::Nobody && self.is_cut(*stream)
    }

    /// Nobody is there to take it.
    pub(crate) fn refuse(&mut self, input: &Input) {
        if let Input::Campaign { stream, .. } | Input::Reopen { stream, .. } = input {
            self.end_stream(*stream, false);
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
                self.tickets.extend(kept.iter().filter_map(|kept| kept.ticket().cloned()));
            }
            _ => {}
        }
    }

    /// A standby tells the replica that handles a stream that its worker is gone.
    pub(crate) fn forward_close(&mut self, at: usize, handler: Proc, stream: StreamId) {
        let delay = self.hop_delay();
        let apart = self.parted(Party::Replica(at), Party::Replica(handler.at)).unwrap_or_default();
        let due = self.up_hop(stream, delay).max(apart);
        let input = Input::StreamClosed { stream };
        self.at(due, Event::Arrive { at: handler.at, parcel: Parcel::Own { life: handler.life, input } });
    }

    /// How long a message may still be on its way when faults have ended.
    pub(crate) fn latest(&self) -> Millis {
        if self.plan.replicas == 0 { Millis(12_000) } else { Millis(12_000 + 12_000) }
    }
}
