//! A replica, its twin and the model side by side: each is told the same, and must say the same.

use crate::history::History;
use crate::step::{Step, Wait};
use crate::store::{Mode, Store};
use crate::tenure::Model;
use leasehold_core::{
    Ask, Attempt, CallId, CandidateName, ClockFloor, Config, ElectionName, Entry, Event, FencingToken, Found, Input,
    Limits, Millis, Output, PodUid, Replica, Reply, StreamId, Subject, Ticket, Time, Value,
};

#[derive(Debug)]
pub(crate) struct Pair {
    limits: Limits,
    now: Time,
    store: Store,
    running: Option<(Replica, Replica, Model)>,
    pub(crate) history: History,
    last_id: u64,
    /// All that were ever given, oldest first.
    tickets: Vec<Ticket>,
    tokens: Vec<FencingToken>,
    streams: Vec<StreamId>,
    entries: Vec<Entry>,
    records: Vec<Found>,
    /// Seconds that the wall clock is ahead. A lost or older record leaves only the clock to tell
    /// which numbers were used, and each start takes a million, a second of it: the clock must have
    /// moved on further than there were starts.
    clock_ahead: u64,
}

impl Pair {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut pair = Self {
            limits,
            now: Time(0),
            store: Store::new(),
            running: None,
            history: History::default(),
            last_id: 0,
            tickets: Vec::new(),
            tokens: Vec::new(),
            streams: Vec::new(),
            entries: Vec::new(),
            records: Vec::new(),
            clock_ahead: 0,
        };
        pair.start(Millis(15_000), false);
        pair
    }

    fn start(&mut self, max_ttl: Millis, same_boot: bool) {
        if self.running.is_some() {
            return;
        }
        let config = Config { limits: self.limits.clone(), ..Config::embedded(max_ttl) };
        self.store.bound(self.now, same_boot);
        config.validate().expect("the test's settings fit together");
        self.store.drop_jobs(false);
        self.history.starts();
        self.records.push(self.store.found.clone());
        self.running = Some((Replica::new(config.clone()), Replica::new(config.clone()), Model::new(config)));
        self.settle();
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Campaign { election, label, subject, pod, ttl, wait, replace_former, attempt, hold } => {
                let stream = self.stream();
                let (no_wait, max_wait) = match wait {
                    Wait::Forever => (false, None),
                    Wait::Not => (true, None),
                    Wait::For(time) => (false, Some(time)),
                };
                let entry = Entry {
                    election: name(election),
                    candidate: CandidateName::new(&format!("c{label}")).expect("a fair name"),
                    subject: Subject::new(&format!("s{subject}")).expect("a fair name"),
                    pod: pod.map(|n| PodUid::new(&format!("p{n}")).expect("a fair name")),
                    ttl,
                    value: Value::new(&format!("v{}", stream.0)).expect("a short value"),
                    no_wait,
                    max_wait,
                    replace_former,
                    attempt: attempt.map(|n| Attempt::new(&format!("a{n}")).expect("a fair name")),
                    hold,
                };
                self.entries.push(entry.clone());
                self.tell(Input::Campaign { stream, entry });
            }
            Step::Again(entry) => {
                if let Some(entry) = newest(&self.entries, entry) {
                    let stream = self.stream();
                    self.tell(Input::Campaign { stream, entry });
                }
            }
            Step::Reopen(ticket) => {
                if let Some(ticket) = newest(&self.tickets, ticket) {
                    let stream = self.stream();
                    self.tell(Input::Reopen { stream, ticket });
                }
            }
            Step::Close(stream) => {
                if let Some(stream) = newest(&self.streams, stream) {
                    self.tell(Input::StreamClosed { stream });
                }
            }
            Step::Advance(time) => self.advance(time),
            Step::Pause(time) => {
                self.now = self.now + time;
                self.tell(Input::Tick);
            }
            Step::Store(..)
            | Step::Crash { .. }
            | Step::Failover { .. }
            | Step::Shutdown
            | Step::Start { .. }
            | Step::Remove
            | Step::Fall(_)
            | Step::Restart(_)
            | Step::Restore(_) => self.at_the_process(step),
            step => {
                if let Some(ask) = self.ask(step) {
                    self.last_id += 1;
                    self.tell(Input::Call { call: CallId(self.last_id), ask });
                }
            }
        }
    }

    /// What happens to the process and its store.
    fn at_the_process(&mut self, step: Step) {
        match step {
            Step::Store(mode, latency) => {
                (self.store.mode, self.store.latency) = (mode, latency);
                self.tell(Input::Tick);
            }
            Step::Crash { stored } => {
                self.store.drop_jobs(stored);
                self.running = None;
            }
            Step::Failover { same_boot, tickets } => {
                self.step(Step::Crash { stored: false });
                self.store.mode = Mode::Works;
                self.start(Millis(15_000), same_boot);
                self.step(Step::KeepAlive(tickets));
            }
            Step::Shutdown => self.tell(Input::Shutdown),
            Step::Start { max_ttl, same_boot } => self.start(max_ttl, same_boot),
            Step::Remove => {
                self.history.restores();
                self.clock_ahead += 3600;
                self.store.found = Found::Lost;
            }
            Step::Restore(index) => {
                if let Some(found) = newest(&self.records, index) {
                    self.history.restores();
                    self.clock_ahead += 3600;
                    self.store.found = found;
                }
            }
            Step::Fall(index) => {
                let older = index.and_then(|index| newest(&self.records, index));
                self.store.found = older.unwrap_or(Found::Lost);
                self.history.falls();
            }
            Step::Restart(count) => {
                self.step(Step::Crash { stored: false });
                self.start(Millis(15_000), false);
                self.step(Step::KeepMany(count));
            }
            _ => unreachable!("the others are the workers'"),
        }
    }

    fn ask(&self, step: Step) -> Option<Ask> {
        let ticket = |index| newest(&self.tickets, index);
        Some(match step {
            Step::KeepAlive(picks) => {
                let tickets: Vec<_> = picks.into_iter().filter_map(ticket).collect();
                Ask::KeepAlive(tickets)
            }
            Step::KeepMany(count) => {
                let from = self.tickets.len().saturating_sub(count);
                Ask::KeepAlive(self.tickets.get(from..)?.to_vec())
            }
            Step::Resign(index) => Ask::Resign(ticket(index)?),
            Step::Proclaim(index, value) => {
                Ask::Proclaim(ticket(index)?, Value::new(&value.to_string()).expect("a short value"))
            }
            Step::Depose { election, token } => {
                Ask::StepDown(name(election), token.and_then(|token| newest(&self.tokens, token)))
            }
            Step::Get(election) => Ask::Get(name(election)),
            Step::List { prefix, after, limit } => Ask::List {
                prefix: if prefix { "e1".to_owned() } else { String::new() },
                after: after.map(|after| format!("e{after}")),
                limit,
            },
            Step::Verify { election, token } => Ask::Verify(name(election), newest(&self.tokens, token)?),
            _ => Ask::Status,
        })
    }

    fn stream(&mut self) -> StreamId {
        self.last_id += 1;
        self.streams.push(StreamId(self.last_id));
        StreamId(self.last_id)
    }

    /// Lets time pass from one deadline to the next.
    fn advance(&mut self, time: Millis) {
        let end = self.now + time;
        while self.now < end {
            let wants = self.running.as_ref().and_then(|(replica, _, _)| replica.next_deadline());
            let next = wants.into_iter().chain(self.store.next_at()).min().unwrap_or(end);
            self.now = next.max(self.now).min(end);
            self.tell(Input::Tick);
            if self.running.is_none() {
                self.now = end;
            }
        }
    }

    fn tell(&mut self, input: Input) {
        self.feed(input);
        self.settle();
    }

    /// Lets the store answer until it is quiet.
    fn settle(&mut self) {
        self.collect();
        while let Some(mut answer) = self.store.answer(self.now) {
            if let Input::Found { clock_floor, .. } = &mut answer {
                *clock_floor = ClockFloor((self.now.0 / 1000 + self.clock_ahead) << 20);
            }
            self.feed(answer);
        }
    }

    fn feed(&mut self, input: Input) {
        self.history.shows(&input);
        let Some((replica, twin, model)) = &mut self.running else { return };
        replica.handle(self.now, input.clone());
        twin.handle(self.now, input.clone());
        model.handle(self.now, input);
        replica.check();
        assert_eq!(replica.next_deadline(), model.next_deadline(), "what happens next");
        assert_eq!(replica.tenure(), model.elections().map(|elections| elections.tenure));
        self.collect();
    }

    fn collect(&mut self) {
        let Some((replica, twin, model)) = &mut self.running else { return };
        let said: Vec<_> = std::iter::from_fn(|| replica.poll_output()).collect();
        let twin: Vec<_> = std::iter::from_fn(|| twin.poll_output()).collect();
        assert_eq!(said, twin, "the same inputs give the same outputs");
        assert_eq!(said, model.take_outputs(), "what the replica says, and what the model says");
        for output in said {
            self.history.note(&output);
            self.act(output);
        }
        self.history.said_all();
    }

    /// Without the shell: the model compares each output with its own.
    fn act(&mut self, output: Output) {
        match output {
            Output::Read => self.store.read(self.now),
            Output::Write { write, record, .. } => {
                self.store.write(self.now, write, record);
            }
            Output::Stopped => self.running = None,
            Output::Event { event: Event::Enrolled { ticket, .. }, .. } => {
                self.tickets.extend(ticket.map(|ticket| *ticket))
            }
            Output::Event { event: Event::Elected(lead), .. } => {
                self.tokens.push(lead.token);
                self.tickets.extend(lead.ticket);
            }
            Output::Reply { reply: Ok(Reply::Proclaimed { ticket, .. }), .. } => self.tickets.push(ticket),
            Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. } => {
                self.tickets.extend(kept.iter().filter_map(|kept| kept.ticket().cloned()));
            }
            _ => {}
        }
    }
}

fn name(election: u8) -> ElectionName {
    ElectionName::new(&format!("e{election}")).expect("a fair name")
}

fn newest<T: Clone>(all: &[T], index: usize) -> Option<T> {
    all.len().checked_sub(1 + index % all.len().max(1)).and_then(|at| all.get(at)).cloned()
}
