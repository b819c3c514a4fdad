//! The world of a transcript: one replica, its store, the clock, and what each worker was told
//! last.

use crate::render::{Numbers, end, seconds};
use crate::store::Store;
use leasehold_core::{
    Ask, CallId, Config, Ended, Event, FencingToken, Found, Handover, Input, LONGEST, Millis, Outcome, Output, Record,
    Replica, Reply, StreamId, Tenure, TenureEnd, Ticket, Time,
};
use std::collections::BTreeMap;

/// What the bench remembers of a worker.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    /// The latest ticket that it was given.
    pub(crate) ticket: Option<Ticket>,
    /// The latest token that it was given.
    pub(crate) token: Option<FencingToken>,
    pub(crate) stream: Option<StreamId>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) store: Store,
    pub(crate) replica: Option<Replica>,
    pub(crate) workers: BTreeMap<String, Worker>,
    pub(crate) tickets: BTreeMap<String, Ticket>,
    pub(crate) records: BTreeMap<String, Found>,
    pub(crate) numbers: Numbers,
    /// Whether reads, writes and the right are shown.
    pub(crate) show_store: bool,
    /// Outputs are counted, not shown.
    pub(crate) quiet: bool,
    /// Whose ticket the call under way carries.
    callers: Vec<String>,
    streams: BTreeMap<StreamId, String>,
    last_id: u64,
    stamped: bool,
    lines: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            now: Time(0),
            store: Store::new(),
            replica: None,
            workers: BTreeMap::new(),
            tickets: BTreeMap::new(),
            records: BTreeMap::new(),
            numbers: Numbers::default(),
            show_store: false,
            quiet: false,
            callers: Vec::new(),
            streams: BTreeMap::new(),
            last_id: 0,
            stamped: false,
            lines: String::new(),
        }
    }

    pub(crate) fn take_lines(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    pub(crate) fn say(&mut self, line: &str) {
        if self.quiet {
            return;
        }
        if self.stamped {
            self.lines.push_str(&format!("{:>8} ", seconds(Millis(self.now.0))));
        }
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    pub(crate) fn start(&mut self, config: Config) {
        config.validate().expect("the transcript's settings fit together");
        self.store.drop_jobs(false);
        self.replica = Some(Replica::new(config));
        self.act();
    }

    /// Tells the replica something, and acts on what it says.
    pub(crate) fn tell(&mut self, input: Input) {
        let now = self.now;
        if let Some(replica) = &mut self.replica {
            replica.handle(now, input);
            if !self.quiet {
                replica.check();
            }
        } else {
            self.say("nobody is there");
        }
        self.act();
    }

    pub(crate) fn new_stream(&mut self, worker: &str) -> StreamId {
        self.last_id += 1;
        let stream = StreamId(self.last_id);
        self.streams.insert(stream, worker.to_owned());
        self.workers.entry(worker.to_owned()).or_default().stream = Some(stream);
        stream
    }

    /// Makes a call for these workers: one for each ticket in it.
    pub(crate) fn call(&mut self, callers: Vec<String>, ask: Ask) {
        self.last_id += 1;
        self.callers = callers;
        self.tell(Input::Call { call: CallId(self.last_id), ask });
    }

    /// Lets time pass, with a look whenever the replica wants one.
    pub(crate) fn advance(&mut self, time: Millis) {
        let end = self.now + time;
        self.stamped = true;
        loop {
            let wants = self.replica.as_ref().and_then(Replica::next_deadline);
            let next = wants.into_iter().chain(self.store.next_at()).min().unwrap_or(end).min(end);
            self.now = self.now.max(next);
            if self.replica.is_none() {
                break;
            }
            self.tell(Input::Tick);
            if self.now == end {
                break;
            }
        }
        self.now = end;
        self.stamped = false;
    }

    /// Does what the replica wants until it wants nothing more and the store is quiet.
    /// By itself, and not with the shell: a transcript shows each output as the core says it.
    fn act(&mut self) {
        let mut over = None;
        loop {
            while let Some(output) = self.replica.as_mut().and_then(Replica::poll_output) {
                if let Output::Ended(ended) = output {
                    over = Some(ended);
                    continue;
                }
                self.say_over(over.take(), &output);
                self.output(output);
            }
            self.say_over(over.take(), &Output::Read);
            let Some(answer) = self.store.answer(self.now) else { return };
            if let Input::Written { write, outcome } = &answer
                && self.show_store
            {
                let outcome = match outcome {
                    Outcome::Stored(_) => "ok",
                    Outcome::Held => "not, but held",
                    Outcome::Lost => "not, the place is another's",
                    Outcome::Conflict | Outcome::Unknown => "failed",
                };
                self.say(&format!("written {} {outcome}", write.0));
            }
            let Some(replica) = &mut self.replica else { return };
            replica.handle(self.now, answer);
            replica.check();
        }
    }

    /// An end is said once: on the stream, if what comes next says it there.
    fn say_over(&mut self, over: Option<Box<Ended>>, next: &Output) {
        if let Some(over) = over
            && !matches!(next, Output::Event { event: Event::Ended(_), .. })
        {
            self.say(&format!("{} has ended, {}", over.candidate, end(over.reason)));
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Read => {
                self.store.read(self.now);
                self.say_store("read");
            }
            Output::Write { write, record, .. } => {
                self.numbers.learn(record.tenure.0);
                let line = format!("write {}: {}", write.0, record_words(&self.numbers, &record));
                self.say_store(&line);
                self.store.write(self.now, write, record);
            }
            Output::RightUntil(at) => self.say_store(&format!("right until {}", seconds(Millis(at.0)))),
            Output::TenureBegan { tenure: Tenure(tenure), began: _, settles_in, resumes_after } => {
                let wait = if settles_in == Millis(0) {
                    String::new()
                } else {
                    format!(", grants nothing for {}", seconds(settles_in))
                };
                let resumes = resumes_after.filter(|_| self.numbers.show_versions);
                let resumes = resumes
                    .map_or(String::new(), |last| format!(", observers resume after {}", self.numbers.show(last.0)));
                self.say(&format!("tenure {} began{wait}{resumes}", self.numbers.show(tenure)));
            }
            Output::Settled => self.say("settled"),
            Output::TenureEnded { tenure, why } => {
                let why = match why {
                    TenureEnd::RightEnded => "its right ended",
                    TenureEnd::Lost => "its place is another's",
                    TenureEnd::Behind => "a ticket shows higher numbers",
                    TenureEnd::Shutdown => "shut down",
                };
                self.say(&format!("tenure {} ended, {why}", self.numbers.show(tenure.0)));
            }
            Output::Stopped => {
                self.say("stopped");
                self.replica = None;
            }
            Output::Reply { reply, .. } => self.replied(&reply),
            Output::Event { stream, version, event } => {
                let worker = self.streams.get(&stream).expect("the stream was opened").clone();
                self.hear(&worker, &event);
                let version = self.numbers.version(version);
                self.say(&format!("{worker}: {}{version}", self.numbers.event(&event)));
            }
            Output::Close { stream, why } => {
                let worker = self.streams.get(&stream).expect("the stream was opened").clone();
                let why = why.map_or(String::new(), |why| format!(": {why}"));
                self.say(&format!("{worker}: stream closed{why}"));
            }
            // Whoever has to know is told by other outputs.
            Output::Changed(change) => self.say(&self.numbers.change(&change)),
            Output::Ended(_) => unreachable!("said before"),
            Output::WriteUnsigned { .. } | Output::Follow(_) | Output::MirrorSnapshot(_) | Output::MirrorChanged(_) => {
                unreachable!("a file has one replica")
            }
        }
    }

    fn say_store(&mut self, line: &str) {
        if self.show_store {
            self.say(line);
        }
    }

    fn replied(&mut self, reply: &Result<Reply, leasehold_core::Reject>) {
        let callers = std::mem::take(&mut self.callers);
        match reply {
            Ok(Reply::KeptAlive(kept)) => {
                for (caller, kept) in callers.iter().zip(kept) {
                    if let Some(ticket) = kept.ticket() {
                        self.give(caller, ticket.clone());
                    }
                }
            }
            Ok(Reply::Proclaimed { ticket, .. }) => self.give(&callers[0], ticket.clone()),
            _ => {}
        }
        self.say(&self.numbers.reply(reply));
    }

    fn hear(&mut self, worker: &str, event: &Event) {
        match event {
            Event::Enrolled { ticket: Some(ticket), .. } => self.give(worker, (**ticket).clone()),
            Event::Elected(lead) => {
                self.workers.entry(worker.to_owned()).or_default().token = Some(lead.token);
                if let Some(ticket) = &lead.ticket {
                    self.give(worker, ticket.clone());
                }
            }
            _ => {}
        }
    }

    fn give(&mut self, worker: &str, ticket: Ticket) {
        let worker = self.workers.entry(worker.to_owned()).or_default();
        worker.token = ticket.token.or(worker.token);
        worker.ticket = Some(ticket);
    }
}

fn record_words(numbers: &Numbers, record: &Record) -> String {
    let ended = match record.ended_at {
        None => String::new(),
        Some(LONGEST) => ", nobody knows when it ended".to_owned(),
        Some(at) => format!(", ended at {}", seconds(at)),
    };
    let handover = match &record.handover {
        None => "nothing handed over".to_owned(),
        Some(handover) if handover.holds.is_empty() => format!("hands over {}", handover.candidacies.len()),
        Some(Handover { candidacies, holds }) => {
            format!("hands over {} and {} on hold", candidacies.len(), holds.len())
        }
    };
    format!(
        "{}, ceiling {}, renewed at {}{ended}, longest ttl {}, {handover}",
        numbers.show(record.tenure.0),
        numbers.show(record.ceiling.0),
        seconds(record.renewed_at),
        seconds(record.longest_ttl)
    )
}

pub(crate) fn found_words(numbers: &Numbers, found: &Found) -> String {
    match found {
        Found::Record(record) => record_words(numbers, record),
        Found::Fresh => "fresh".to_owned(),
        Found::Lost => "lost".to_owned(),
    }
}
