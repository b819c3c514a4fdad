//! The real shell of a process, and the world as its ports: files, the API server and the network.

use crate::checks::Violation;
use crate::plan::Fault;
use crate::store::Job;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{
    Active, CallId, Change, ChangeReason as Why, EndReason as End, Found, Input, Lease, Millis, Output, Over, Reject,
    StreamId, Tenure, TenureEnd, Time, WriteId,
};
use leasehold_shell::{
    Answer, BoardNews, Fact as TenureFact, Gone, News, Ports, Shell, StreamItem, TenureBoard, Write,
};

type SimShell = Shell<(), CallId, u64>;

/// A process that says something.
pub(crate) struct Speaker<'a> {
    world: &'a mut World,
    at: usize,
    /// The first promise that it breaks.
    broken: Option<Violation>,
}

impl World {
    /// The shell of this process hears one thing, and what it says is done.
    pub(crate) fn tell(&mut self, at: usize, input: Input) -> Result<(), Violation> {
        self.remember_what_it_hears(at, &input);
        self.run_shell(at, |shell, now, ports| shell.tell(now, input, ports))
    }

    /// Lets the shell of this process do something, and then what its core says.
    pub(crate) fn run_shell(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut SimShell, Time, &mut Speaker<'_>),
    ) -> Result<(), Violation> {
        let now = self.servers[at].local(self.now);
        let Some(mut shell) = self.servers[at].shell.take() else { return Ok(()) };
        let mut speaker = Speaker { world: self, at, broken: None };
        act(&mut shell, now, &mut speaker);
        if speaker.broken.is_none() {
            shell.check();
            shell.send_outputs(now, &mut speaker);
        }
        if let Some(violation) = speaker.broken {
            return Err(violation);
        }
        if self.servers[at].up {
            self.servers[at].shell = Some(shell);
        }
        self.note(at, &Fact::SaidAll)?;
        self.wake_later(at);
        Ok(())
    }

    fn remember_what_it_hears(&mut self, at: usize, input: &Input) {
        let server = &mut self.servers[at];
        server.has_read |= matches!(input, Input::Found { found: Found::Record(_), .. });
        let lease: Option<&Lease> = match input {
            Input::FoundLease { lease, .. } | Input::Watched { lease, .. } => lease.as_ref(),
            _ => None,
        };
        if let Some(signed) = lease.and_then(|lease| lease.content.signed.as_ref()) {
            server.knows = server.knows.max((signed.record.tenure, signed.record.renewed_at));
        }
    }

    fn tenure_began(&mut self, at: usize, tenure: Tenure, settles_in: Millis) {
        self.reach(if settles_in == Millis(0) { "tenure began settled" } else { "tenure began with a wait" });
        let history = self.rng.index(40) + 3;
        let server = &mut self.servers[at];
        (server.was_active, server.tenure) = (true, Some(tenure));
        server.knows = server.knows.max((tenure, Millis(0)));
        server.board = TenureBoard::remembering(history);
        // What was handed over is put to the test by a crash soon after.
        if settles_in == Millis(0) && self.plan.faults.contains(&Fault::Crash) && !self.calm && self.rng.chance(200) {
            let soon = if self.rng.chance(500) { 400 } else { 5000 };
            let delay = self.rng.millis(0, soon);
            self.after(delay, Event::Kill(self.proc(at)));
        }
        // In the wait old tickets are worth most.
        if self.plan.faults.contains(&Fault::Replay) && !self.calm {
            let delay = self.rng.millis(0, settles_in.0);
            self.after(delay, Event::Replay);
        }
    }

    fn tenure_ended(&mut self, at: usize, why: TenureEnd) {
        self.reach(match why {
            TenureEnd::RightEnded => "right ended",
            TenureEnd::Lost => "lost to another holder",
            TenureEnd::Behind => "a ticket showed higher numbers",
            TenureEnd::Shutdown => "shut down while active",
        });
        self.servers[at].tenure = None;
        self.end_streams_handled_by(at);
        self.end_mirrors_of(at);
    }

    fn reach_change(&mut self, change: &Change) {
        self.reach(match change.reason {
            Why::Elected => "elected",
            Why::Proclaimed => "proclaimed",
            Why::Draining => "told to hand over",
            Why::Restored => "leader put back",
            Why::Held => "hold put back",
            Why::Ended(End::Resigned) => "leader resigned",
            Why::Ended(End::Expired) => "leader expired",
            Why::Ended(End::Replaced) => "leader replaced",
            Why::Ended(End::Overtaken) => "leader overtaken",
            Why::Ended(End::SteppedDown) => "leader stepped down",
            Why::Ended(End::NotGranted) => "leader not granted",
        });
    }
}

impl Speaker<'_> {
    fn note(&mut self, fact: &Fact<'_>) {
        let noted = self.world.note(self.at, fact);
        self.broken = self.broken.take().or(noted.err());
    }
}

impl Ports<(), CallId, u64> for Speaker<'_> {
    fn told(&mut self, _: Time, input: &Input) {
        self.note(&Fact::Told(input));
    }

    fn said(&mut self, output: &Output) {
        let at = self.at;
        self.world.trace(|| format!("    r{at}: {output:?}"));
        if matches!(output, Output::TenureEnded { why: TenureEnd::Shutdown, .. }) {
            let read = self.world.last_words_to_observers(at);
            self.broken = self.broken.take().or(read.err());
        }
        self.note(&Fact::Said(output));
        self.world.remember_tickets(output);
        match output {
            Output::Changed(change) => self.world.reach_change(change),
            // Nobody hears what a process says of itself when it exits.
            Output::Stopped => self.world.process_gone(at),
            _ => {}
        }
    }

    fn read(&mut self) {
        self.world.push_job(self.at, Job::Read);
    }

    fn write(&mut self, Write { write, over, record, sent }: Write) {
        self.world.push_job(self.at, Job::Write { write, over, record: Some(record), sent });
    }

    fn write_unsigned(&mut self, write: WriteId, over: Over, sent: Time) {
        self.world.push_job(self.at, Job::Write { write, over, record: None, sent });
    }

    fn answer(&mut self, call: CallId, answer: Answer) {
        self.world.reply(self.at, call, answer);
    }

    fn send(&mut self, (stream, ()): (StreamId, &mut ()), item: StreamItem) -> Result<(), Gone> {
        match item {
            StreamItem::Event(_) if self.world.loses_a_reader(stream) => return Err(Gone),
            StreamItem::Event(word) => self.world.send_event(self.at, stream, word),
            StreamItem::Close(why) => {
                let superseded = why.as_deref() == Some(&Reject::Superseded);
                if superseded {
                    self.world.reach("stream superseded");
                }
                self.world.end_stream(stream, superseded);
            }
        }
        Ok(())
    }

    fn mirror(&mut self, stream: &u64, news: News) -> Result<(), Gone> {
        self.world.tell_news(self.at, *stream, news)
    }

    fn board(&mut self, news: &BoardNews<'_>) {
        self.world.servers[self.at].board.apply(news);
    }

    fn follow(&mut self, active: Option<Active>) {
        self.world.follow(self.at, active);
    }

    fn fact(&mut self, fact: TenureFact) {
        match fact {
            TenureFact::Began { tenure, settles_in } => self.world.tenure_began(self.at, tenure, settles_in),
            TenureFact::Ended(_, why) => self.world.tenure_ended(self.at, why),
        }
    }
}
