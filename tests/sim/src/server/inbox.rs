//! What reaches a replica's machine: for its core, or to be passed on.

use crate::checks::Violation;
use crate::server::Proc;
use crate::worker::Message;
use crate::world::{Event, World};
use leasehold_core::{Input, StreamId, Tenure};

/// Something that reaches a replica.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// For the core of this life: what it asked the store for, what a watch tells.
    Own { life: u64, input: Input },
    /// How a request to the API server went; its sender may have given it up by now.
    Answer { life: u64, serial: u64, input: Input },
    /// What a worker asks for, or the end of its stream.
    Ask(Input),
    /// What a worker asked a standby for.
    Forwarded { tenure: Tenure, input: Input },
    /// What the active replica says to a worker through this life of a standby.
    Back { life: u64, to: (usize, u64), message: Message },
    /// A standby wants to mirror this replica.
    MirrorAsked { from: Proc, stream: u64 },
    /// What is told through a mirror's stream.
    Mirror { stream: u64, input: Input },
    /// The end of it.
    MirrorOver { stream: u64 },
    /// A mirror of this one is gone.
    MirrorLeft { stream: u64 },
}

impl World {
    /// Something reaches a replica's machine.
    pub(crate) fn arrive(&mut self, at: usize, parcel: Parcel) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        let asleep = server.suspended && !matches!(parcel, Parcel::Own { .. } | Parcel::Answer { .. });
        if !server.up || asleep {
            self.undelivered(parcel);
            return Ok(());
        }
        if server.paused {
            server.inbox.push_back(parcel);
            return Ok(());
        }
        self.take(at, parcel)
    }

    /// The process takes it from its inbox.
    pub(super) fn take(&mut self, at: usize, parcel: Parcel) -> Result<(), Violation> {
        let life = self.servers[at].life;
        match parcel {
            Parcel::Own { life: meant, input } if meant == life => self.tell(at, input),
            Parcel::Answer { life: meant, serial, input }
                if (meant, serial) == (life, self.servers[at].jobs.serial) =>
            {
                self.next_job(at);
                self.tell(at, input)
            }
            Parcel::Ask(input) => self.asked(at, input),
            Parcel::Forwarded { tenure, input } => {
                if self.is_void(&input) {
                    self.refuse(&input);
                    return Ok(());
                }
                self.handled_by(&input, at);
                self.tell(at, Input::Forwarded { tenure, input: Box::new(input) })
            }
            Parcel::Back { life: meant, to, message } if meant == life => {
                self.pass_back(at, to, message);
                Ok(())
            }
            Parcel::MirrorAsked { from, stream } => self.mirror_asked(at, from, stream),
            Parcel::Mirror { stream, input } if self.servers[at].mirror == Some(stream) => self.tell(at, input),
            Parcel::MirrorOver { stream } if self.servers[at].mirror == Some(stream) => {
                self.mirror_again(at);
                Ok(())
            }
            Parcel::MirrorLeft { stream } => self.mirror_left(at, stream),
            gone => {
                self.undelivered(gone);
                Ok(())
            }
        }
    }

    /// What a worker asks for: this replica answers, or passes it on to the one that is active,
    /// with the tenure that it knows now.
    fn asked(&mut self, at: usize, input: Input) -> Result<(), Violation> {
        if self.is_void(&input) {
            self.refuse(&input);
            return Ok(());
        }
        self.entered_at(&input, at);
        if let Input::StreamClosed { stream } = input
            && let Some(other) = self.handler_of(stream).filter(|other| *other != self.proc(at))
        {
            self.forward_close(at, other, stream);
            return Ok(());
        }
        if self.servers[at].tenure.is_none()
            && !matches!(input, Input::StreamClosed { .. })
            && let Some(active) = self.servers[at].followed.clone()
        {
            self.forward(at, &active, input);
            return Ok(());
        }
        self.handled_by(&input, at);
        self.tell(at, input)
    }

    /// Nobody is there to take it.
    pub(crate) fn undelivered(&mut self, parcel: Parcel) {
        match parcel {
            // Whoever would have passed it on is gone: the end of that connection tells as much.
            Parcel::Ask(Input::StreamClosed { stream }) => {
                if let Some(handler) = self.handler_of(stream) {
                    self.forward_close(handler.at, handler, stream);
                }
            }
            Parcel::Ask(input) | Parcel::Forwarded { input, .. } => self.refuse(&input),
            Parcel::Back { to, message, .. } => {
                if let Message::Event { stream, .. } | Message::StreamOver { stream, .. } = message {
                    self.tell_over(to, stream);
                    self.give_up(stream);
                }
            }
            // Asks again.
            Parcel::MirrorAsked { from, stream } => {
                let delay = self.rng.millis(200, 1000);
                self.after(delay, Event::Arrive { at: from.at, parcel: Parcel::MirrorOver { stream } });
            }
            Parcel::Mirror { stream, .. } => self.abandon_mirror(stream),
            Parcel::Own { .. } | Parcel::Answer { .. } | Parcel::MirrorOver { .. } | Parcel::MirrorLeft { .. } => {}
        }
    }

    /// A worker notices that a stream is over, because whoever passed it on is gone.
    pub(crate) fn tell_over(&mut self, (worker, life): (usize, u64), stream: StreamId) {
        let delay = self.rng.millis(1, if self.calm { 100 } else { 5000 });
        self.after(delay, Event::Deliver { worker, life, message: Message::StreamOver { stream, superseded: false } });
    }
}
