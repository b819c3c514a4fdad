//! The core and its shell: any sequence of what its shell may tell it, with whatever the decoders
//! let through, at any time.

use crate::script::{Script, fixed, ticket};
use crate::trace;
use leasehold_core::{
    Address, Ask, BatchParts, CallId, ChangeNumber, ClockFloor, Config, Content, Enrolment, Entry, Event, FencingToken,
    Found, Holder, Input, LONGEST, Lease, Limits, MAX_MAX_TTL, Millis, MirrorBatch, Newer, Outcome, Output, Over,
    Record, RecordParts, Replace, Reply, Signed, StreamId, Subject, Tenure, Ticket, Time, Version, WriteId,
};
use leasehold_shell::{Answer, BoardNews, Gone, Message, News, Ports, Right, Shell, StreamItem, TenureBoard, Write};
use std::sync::Arc;

/// An input's length is bounded by the fuzzer; this bounds what a short one can cost.
const MOST_STEPS: usize = 256;
/// Between two inputs at most so much passes: a month.
const LONGEST_PAUSE: u64 = 1 << 32;

/// A change that mirrors and releases agree on, more often than by chance.
const LAST_CHANGE: ChangeNumber = ChangeNumber(7);

/// After that, adding to a time may give the same one.
const END_OF_TIME: Time = Time(1 << 63);

/// Reads and writes that may follow from each other.
const MOST_ROUNDS: usize = 32;

/// A replica, and what stands in its store.
struct World {
    shell: Shell<(), CallId, ()>,
    said: Said,
    now: Time,
    lease: Option<Lease>,
    record: Found,
    versions: u64,
    streams: u64,
    calls: u64,
    with_lease: bool,
}

/// What the replica has said, and what the store wasn't asked yet.
#[derive(Default)]
struct Said {
    reading: bool,
    /// The order of outputs is the order of writes.
    writes: Vec<(WriteId, Over, Option<Record>)>,
    tickets: Vec<Ticket>,
    board: TenureBoard,
    news: u64,
}

impl Ports<(), CallId, ()> for Said {
    fn told(&mut self, now: Time, input: &Input) {
        trace(&(now, input));
    }

    fn said(&mut self, output: &Output) {
        trace(output);
        match output {
            Output::Event { event: Event::Enrolled { ticket: Some(ticket), .. }, .. } => {
                self.tickets.push((**ticket).clone());
            }
            Output::Event { event: Event::Elected(lead), .. } => self.tickets.extend(lead.ticket.clone()),
            Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. } => {
                self.tickets.extend(kept.iter().filter_map(|kept| kept.ticket().cloned()));
            }
            _ => {}
        }
    }

    fn read(&mut self) {
        self.reading = true;
    }

    fn write(&mut self, Write { write, over, record, .. }: Write) {
        self.writes.push((write, over, Some(*record)));
    }

    fn write_unsigned(&mut self, write: WriteId, over: Over, _: Time) {
        self.writes.push((write, over, None));
    }

    fn answer(&mut self, _: CallId, _: Answer) {}

    /// The readers of a few streams are gone, without a word.
    fn send(&mut self, (stream, ()): (StreamId, &mut ()), _: StreamItem) -> Result<(), Gone> {
        if stream.0 % 16 == 15 { Err(Gone) } else { Ok(()) }
    }

    /// A mirror is too slow now and then.
    fn mirror(&mut self, (): &(), _: News) -> Result<(), Gone> {
        self.news += 1;
        if self.news.is_multiple_of(16) { Err(Gone) } else { Ok(()) }
    }

    fn board(&mut self, news: &BoardNews<'_>) {
        self.board.apply(news);
    }
}

/// A replica with a file or a Lease, and everything that can happen to it.
///
/// # Panics
/// If the core does, or [`Replica::check`], or if the core asks to be woken in the past for ever.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let with_lease = script.flag();
    let config = config(&mut script, with_lease);
    config.validate().expect("every config that is made here is valid");
    let now = Time(script.number() >> 8);
    let mut world = World {
        shell: Shell::new(config, Arc::new(Right::new(!with_lease)), now),
        said: Said::default(),
        now,
        lease: None,
        record: if script.flag() { Found::Fresh } else { Found::Lost },
        versions: 0,
        streams: 0,
        calls: 0,
        with_lease,
    };
    world.outputs();
    for _ in 0..MOST_STEPS {
        if script.is_over() {
            break;
        }
        world.step(&mut script);
    }
    world.wake_for_a_while();
}

fn config(script: &mut Script<'_>, with_lease: bool) -> Config {
    let max_ttl = Millis(1000 + script.below(MAX_MAX_TTL.0 - 999));
    let base = if with_lease { Config::replica(me(), max_ttl) } else { Config::embedded(max_ttl) };
    if !script.flag() {
        return base;
    }
    let mut few = || usize::from(script.byte() % 8) + 1;
    let limits = Limits {
        elections: few(),
        candidacies: few(),
        candidacies_per_election: few(),
        candidacies_per_subject: few(),
        bytes: few() * 1500,
        remembered_ends: few(),
    };
    Config { limits, ..base }
}

fn address(text: &str) -> Address {
    fixed(Address::new(text))
}

fn me() -> Holder {
    Holder("me".to_owned())
}

impl World {
    fn step(&mut self, script: &mut Script<'_>) {
        let kind = script.byte();
        let pause = match kind >> 5 {
            0..=3 => 0,
            4 => u64::from(script.byte()),
            5 => u64::from(script.byte()) * 100,
            6 => self.until_deadline(),
            _ => script.below(LONGEST_PAUSE),
        };
        self.now = self.now + Millis(pause);
        let input = match kind & 31 {
            0 => Input::Tick,
            1..=5 => self.store(script),
            6 => Input::Written { write: WriteId(script.number()), outcome: self.outcome(script) },
            7 => Input::ReadFailed,
            8 => self.watched(script),
            9 => self.edited(script),
            10 => {
                let batch = self.batch(script);
                if script.flag() { Input::MirrorSnapshot(batch) } else { Input::MirrorChanged(batch) }
            }
            11 => Input::MirrorOpened,
            12 => Input::MirrorClosed,
            13 => Input::Shutdown,
            14 => {
                let tenure =
                    if script.flag() { self.shell.tenure().unwrap_or_default() } else { Tenure(script.number()) };
                Input::Forwarded { tenure, input: Box::new(self.call(script)) }
            }
            15 => self.released(script),
            _ => self.call(script),
        };
        self.handle(input);
    }

    fn until_deadline(&self) -> u64 {
        self.shell.next_deadline().map_or(1, |at| at.since(self.now).0).min(LONGEST_PAUSE)
    }

    fn handle(&mut self, input: Input) {
        let (now, said) = (self.now, &mut self.said);
        match input {
            Input::MirrorOpened => self.shell.receive(now, Message::Mirror(()), said),
            Input::MirrorClosed => self.shell.close_mirror(now, |()| true, said),
            input => self.shell.tell(now, input, said),
        }
        self.shell.check();
        self.outputs();
    }

    /// However long it is left alone, with a store that works, a replica doesn't ask to be woken
    /// again and again in one moment.
    fn wake_for_a_while(&mut self) {
        let began = self.now;
        for _ in 0..32 {
            let at = self.shell.next_deadline().unwrap_or(self.now);
            // No tenure lasts that long.
            if at.since(began) > Millis(LONGEST.0 / 2) {
                return;
            }
            self.now = self.now.max(at);
            let later = |next: Option<Time>, now| next.is_none_or(|next| next > now);
            let comes_to_rest = (0..8).any(|_| {
                self.handle(Input::Tick);
                self.answer_all();
                later(self.shell.next_deadline(), self.now)
            });
            // At the end of time there is no later.
            assert!(comes_to_rest || self.now > END_OF_TIME, "wakes at {:?} for ever", self.now);
        }
    }

    /// A store that answers at once isn't asked for ever, all in one moment.
    fn answer_all(&mut self) {
        for _ in 0..MOST_ROUNDS {
            if self.said.writes.is_empty() && !self.said.reading {
                return;
            }
            let input = self.store(&mut Script::new(&[]));
            self.handle(input);
        }
        panic!("{MOST_ROUNDS} reads and writes at {:?}", self.now);
    }

    fn outputs(&mut self) {
        self.shell.send_outputs(self.now, &mut self.said);
        let surplus = self.said.tickets.len().saturating_sub(64);
        drop(self.said.tickets.drain(..surplus));
    }

    /// The store answers what was asked of it, if anything was; and does it, or not.
    fn store(&mut self, script: &mut Script<'_>) -> Input {
        let clock_floor = ClockFloor(if script.flag() { script.number() >> 8 } else { 1 << 40 });
        if !self.said.writes.is_empty() {
            let (write, over, record) = self.said.writes.remove(0);
            let outcome = match script.byte() % 8 {
                7 => Outcome::Unknown,
                // It was done, and nobody says so.
                6 => {
                    self.write(over, record);
                    Outcome::Unknown
                }
                // A full disk, and a folder that somebody has replaced.
                5 if !self.with_lease => Outcome::Held,
                4 if !self.with_lease => Outcome::Lost,
                _ => self.write(over, record),
            };
            return Input::Written { write, outcome };
        }
        if !self.said.reading {
            return Input::Tick;
        }
        self.said.reading = false;
        if self.with_lease {
            Input::FoundLease { lease: self.lease.clone(), clock_floor }
        } else {
            Input::Found { found: self.record.clone(), clock_floor }
        }
    }

    fn write(&mut self, over: Over, record: Option<Record>) -> Outcome {
        if !self.with_lease {
            self.record = record.map_or(Found::Lost, Found::Record);
            return Outcome::Stored(None);
        }
        let fits = match &over {
            Over::Anything => true,
            Over::Nothing => self.lease.is_none(),
            Over::Version(version) => self.lease.as_ref().is_some_and(|lease| lease.version == *version),
        };
        if !fits {
            return Outcome::Conflict;
        }
        let holder = record.as_ref().filter(|record| record.ended_at.is_none()).map(|_| me());
        let signed = record.map(|record| Signed { by: me(), address: address("a:1"), record });
        let content = Content { holder, duration: Some(Millis(8000)), renew_time: String::new(), signed, newer: None };
        let version = self.next_version();
        self.lease = Some(Lease { version: version.clone(), content });
        Outcome::Stored(Some(version))
    }

    fn next_version(&mut self) -> Version {
        self.versions += 1;
        Version(self.versions.to_string())
    }

    fn outcome(&mut self, script: &mut Script<'_>) -> Outcome {
        match script.byte() % 5 {
            0 => Outcome::Stored(self.with_lease.then(|| self.next_version())),
            1 => Outcome::Conflict,
            3 if !self.with_lease => Outcome::Held,
            4 if !self.with_lease => Outcome::Lost,
            _ => Outcome::Unknown,
        }
    }

    fn watched(&mut self, script: &mut Script<'_>) -> Input {
        if !self.with_lease {
            return Input::Tick;
        }
        let lease = if script.flag() { self.lease.clone() } else { Some(self.foreign(script)) };
        Input::Watched { lease, clock_floor: ClockFloor(script.number() >> 8) }
    }

    /// Somebody else has been at the store: another replica, an operator, a restore.
    fn edited(&mut self, script: &mut Script<'_>) -> Input {
        if self.with_lease {
            self.lease = script.flag().then(|| self.foreign(script));
            if script.flag() {
                return self.watch();
            }
        } else {
            let parts = script.record();
            let handover = script.flag().then(|| script.handover(parts.ceiling));
            self.record = Found::Record(fixed(Record::from_parts(RecordParts { handover, ..parts })));
        }
        Input::Tick
    }

    /// Whoever wrote the Lease releases it, and says how far its mirrors have to be.
    fn released(&mut self, script: &mut Script<'_>) -> Input {
        let version = self.next_version();
        if let Some(lease) = &mut self.lease
            && let Some(signed) = &mut lease.content.signed
        {
            lease.version = version;
            lease.content.holder = None;
            let (ended_at, last_change) = (Some(script.time()), Some(LAST_CHANGE));
            signed.record =
                fixed(Record::from_parts(RecordParts { ended_at, last_change, ..(*signed.record).clone() }));
        }
        self.watch()
    }

    fn watch(&self) -> Input {
        if self.with_lease {
            Input::Watched { lease: self.lease.clone(), clock_floor: ClockFloor(1 << 40) }
        } else {
            Input::Tick
        }
    }

    fn foreign(&mut self, script: &mut Script<'_>) -> Lease {
        let before = self.lease.as_ref().and_then(|lease| lease.content.signed.as_ref());
        let near = before.map(|signed| (*signed.record).clone());
        let mut parts = script.record();
        if let Some(near) = near.filter(|_| script.flag()) {
            let last_change = script.flag().then(|| ChangeNumber(script.number() >> 14));
            parts = RecordParts { ended_at: parts.ended_at, last_change, ..near };
        }
        let holders = [None, Some(me()), Some(Holder("other".to_owned()))];
        let holder = holders[usize::from(script.byte()) % 3].clone();
        let by = if script.flag() { me() } else { Holder("other".to_owned()) };
        let (address, written) = (address("b:1"), script.byte() % 8);
        let (tenure, ceiling, duration, longest_ttl) = (parts.tenure, parts.ceiling, parts.duration, parts.longest_ttl);
        let newer = Newer { by: by.clone(), address: address.clone(), tenure, ceiling, duration, longest_ttl };
        let newer = (written == 4).then_some(newer);
        let signed =
            (!written.is_multiple_of(4)).then(|| Signed { by, address, record: fixed(Record::from_parts(parts)) });
        let duration = script.flag().then(|| Millis::from_secs(script.number() & 0x7fff_ffff));
        let content = Content { holder, duration, renew_time: script.byte().to_string(), signed, newer };
        Lease { version: self.next_version(), content }
    }

    fn batch(&mut self, script: &mut Script<'_>) -> MirrorBatch {
        let followed = self.lease.as_ref().and_then(|lease| lease.content.signed.as_ref());
        let near = followed.map_or(0, |signed| signed.record.tenure.0);
        let tenure = if script.flag() { Tenure(near) } else { Tenure(script.number()) };
        let after = ChangeNumber(script.number());
        let number = if script.flag() { LAST_CHANGE } else { ChangeNumber(script.number()) };
        let there = (0..script.byte() % 4)
            .map(|_| {
                let ticket = self.ticket(script);
                script.carried(ticket)
            })
            .collect();
        let gone = (0..script.byte() % 4).map(|_| Enrolment(script.number())).collect();
        let parts = BatchParts { tenure, after, number, there, gone, holds: script.holds() };
        fixed(MirrorBatch::from_parts(parts))
    }

    /// One that was handed out, one like it, or one that only a replica with other ideas can have
    /// sealed.
    fn ticket(&self, script: &mut Script<'_>) -> Ticket {
        let kind = script.byte();
        let Some(known) = self.said.tickets.iter().rev().nth(usize::from(kind & 15)).filter(|_| kind < 0xe0) else {
            return script.ticket();
        };
        if kind < 0xc0 {
            return known.clone();
        }
        let (mut parts, other) = ((**known).clone(), script.ticket());
        match script.byte() % 4 {
            0 => parts.token = other.token,
            1 => (parts.tenure, parts.issued) = (other.tenure, other.issued),
            2 => parts.accepted_at = other.accepted_at,
            _ => parts.enrolment = other.enrolment,
        }
        ticket(parts)
    }

    fn call(&mut self, script: &mut Script<'_>) -> Input {
        self.streams += 1;
        self.calls += 1;
        let (stream, call) = (StreamId(self.streams), CallId(self.calls));
        let kind = script.byte() % 16;
        let ask = match kind {
            0..=4 => return Input::Campaign { stream, entry: entry(script) },
            5 => return Input::Reopen { stream, ticket: self.ticket(script) },
            6 => return Input::StreamClosed { stream: StreamId(self.streams.saturating_sub(script.number())) },
            7..=9 => {
                let count = script.byte() % 4;
                Ask::KeepAlive((0..count).map(|_| self.ticket(script)).collect())
            }
            10 => Ask::Resign(self.ticket(script)),
            11 => Ask::Proclaim(self.ticket(script), script.value()),
            12 => Ask::StepDown(script.election(), script.flag().then(|| FencingToken(script.number()))),
            13 => Ask::Verify(script.election(), FencingToken(script.number())),
            14 => {
                let (prefix, after) = (script.text(), script.flag().then(|| script.text()));
                Ask::List { prefix, after, limit: usize::from(script.byte()) + 1 }
            }
            _ if script.flag() => Ask::Get(script.election()),
            _ => Ask::Status,
        };
        Input::Call { call, ask }
    }
}

fn entry(script: &mut Script<'_>) -> Entry {
    let flags = script.byte();
    Entry {
        election: script.election(),
        candidate: script.candidate(),
        subject: if flags & 1 == 0 { Subject::anonymous() } else { script.subject() },
        ttl: if flags & 2 == 0 { Some(Millis(15_000)) } else { script.flag().then(|| Millis(script.number())) },
        value: script.value(),
        no_wait: flags & 4 != 0,
        max_wait: (flags & 8 != 0).then(|| Millis(script.number())),
        pod: (flags & 128 != 0).then(|| script.pod()),
        replace_former: match (flags & 16 != 0, flags & 128 != 0) {
            (false, _) => Replace::Nobody,
            (true, false) => Replace::All,
            (true, true) => Replace::OfItsPod,
        },
        attempt: if flags & 32 == 0 { None } else { script.attempt() },
        hold: if flags & 64 == 0 { Millis(0) } else { Millis(script.number()) },
    }
}

/// Short lives of replicas with a file and with a Lease.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    // Reads, claims, settles; two candidates; one resigns.
    let life = b"\x01\x00\x00\x01\x00\x00\xe1\x60\x00\x00\x0f\x00\x00\x01\x02\x00\x0f\x00\x00\x01\x01\x00\xc0\xc1\x00\x00\x00\x0f\x0a\x00\x0d";
    let busy = b"\x01\x00\x00\x01\x00\x00\x0f\x07\x02\x00\x01\x0f\x0c\x01\x00\xc0\xc0\x0f\x05\x00\x0b\x0a\x01\x03\x04\x01\x00\x00\x01\x05\x0d\x01\x00\x00";
    let touched = b"\x09\x01\x20\x30\x01\x02\x00\x01\x00\x01\x00\x01\x00\x00\xc0\x01\x00\x00\xe1\x64\x00\x00\x0f\x00\x00\x01\x02\x00";
    let start =
        [b"\x00\x64\x00\x40\x01".as_slice(), b"\x01\x64\x00\x40\x01", b"\x01\x64\x01\x04\x04\x04\x04\x04\x40\x00"];
    // Another replica holds the Lease, tells its mirror of one leader, and releases.
    let handover = b"\x09\x01\xa0\x00\x00\x07\xd0\x40\x20\x01\x02\x00\x35\x02\x00\x01\x00\x00\x01\x0a\x01\x06\x01\x01\x00\x00\x00\x00\x00\x20\x30\x30\x01\x31\x1f\x05\x00\x00\x01\x0f\x40\x01\x00\x01\x00\x00";
    let lives = [life.as_slice(), busy, touched, handover];
    start.iter().flat_map(|start| lives.iter().map(|life| [*start, *life, *life].concat())).collect()
}
