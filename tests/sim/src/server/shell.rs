//! The shell: feeds the core one input at a time, and does what it says.

use crate::checks::Violation;
use crate::plan::Fault;
use crate::store::Job;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{
    Board, Change, ChangeReason as Why, EndReason as End, Found, Input, Lease, Millis, Output, Over, Record, Reject,
    Replica, Revision, Tenure, TenureEnd, WriteId,
};

impl World {
    /// The core handles one input, and what it says is done.
    pub(crate) fn tell(&mut self, at: usize, input: Input) -> Result<(), Violation> {
        self.note(at, &Fact::Told(&input))?;
        self.remember_what_it_hears(at, &input);
        let now = self.servers[at].local(self.now);
        let Some(replica) = &mut self.servers[at].replica else { return Ok(()) };
        replica.handle(now, input);
        replica.check();
        self.say(at)
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

    pub(super) fn say(&mut self, at: usize) -> Result<(), Violation> {
        while let Some(output) = self.servers[at].replica.as_mut().and_then(Replica::poll_output) {
            self.trace(|| format!("    r{at}: {output:?}"));
            if matches!(output, Output::TenureEnded { why: TenureEnd::Shutdown, .. }) {
                self.last_words_to_observers(at)?;
            }
            self.note(at, &Fact::Said(&output))?;
            self.act(at, output);
        }
        self.note(at, &Fact::SaidAll)?;
        self.wake_later(at);
        Ok(())
    }

    fn act(&mut self, at: usize, output: Output) {
        self.remember_tickets(&output);
        match output {
            Output::Read => self.push_job(at, Job::Read),
            Output::Write { write, over, record } => self.write(at, write, over, Some(record)),
            Output::WriteUnsigned { write, over } => self.write(at, write, over, None),
            Output::TenureBegan { tenure, settles_in, resumes_after, .. } => {
                self.tenure_began(at, (tenure, resumes_after), settles_in);
            }
            Output::RightUntil(until) => self.servers[at].right_until = until,
            Output::Follow(active) => self.follow(at, active),
            Output::MirrorSnapshot(batch) => self.tell_new_mirror(at, Input::MirrorSnapshot(*batch)),
            Output::MirrorChanged(batch) => self.tell_mirrors(at, &batch),
            Output::Ended(_) => {}
            Output::Settled => {
                if let Some(board) = &mut self.servers[at].board {
                    board.settle();
                }
            }
            Output::TenureEnded { why, .. } => {
                self.reach(match why {
                    TenureEnd::RightEnded => "right ended",
                    TenureEnd::Lost => "lost to another holder",
                    TenureEnd::Behind => "a ticket showed higher numbers",
                    TenureEnd::Shutdown => "shut down while active",
                });
                (self.servers[at].board, self.servers[at].tenure) = (None, None);
                self.end_streams_handled_by(at);
                self.end_mirrors_of(at);
            }
            Output::Stopped => self.process_gone(at),
            Output::Reply { call, reply } => self.reply(at, call, reply),
            Output::Event { stream, version, event } => self.send_event(at, stream, version, event),
            Output::Close { stream, why } => {
                let superseded = why == Some(Reject::Superseded);
                if superseded {
                    self.reach("stream superseded");
                }
                self.end_stream(stream, superseded);
            }
            Output::Changed(change) => {
                self.reach_change(&change);
                if let Some(board) = &mut self.servers[at].board {
                    board.apply(change);
                }
            }
        }
    }

    fn write(&mut self, at: usize, write: WriteId, over: Over, record: Option<Box<Record>>) {
        let sent = self.servers[at].local(self.now);
        self.push_job(at, Job::Write { write, over, record, sent });
    }

    fn tenure_began(&mut self, at: usize, (tenure, resumes_after): (Tenure, Option<Revision>), settles_in: Millis) {
        self.reach(if settles_in == Millis(0) { "tenure began settled" } else { "tenure began with a wait" });
        let history = self.rng.index(40) + 3;
        let server = &mut self.servers[at];
        (server.was_active, server.tenure) = (true, Some(tenure));
        server.knows = server.knows.max((tenure, Millis(0)));
        server.board = Some(Board::resuming(tenure, history, resumes_after));
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
