//! How a target reads what the fuzzer made up: a byte decides, more bytes fill in. What isn't there any more is zero, so that every
//! input means something, and cutting or joining inputs makes new ones that do as well.

use leasehold_core::{
    Attempt, CandidateName, Carried, ElectionName, Enrolment, FencingToken, Handover, Held, HeldElection, MAX_MAX_TTL,
    Millis, NUMBER_LIMIT, Record, Revision, Subject, Tenure, Ticket, Value,
};

/// Numbers around which something changes.
const EDGES: [u64; 16] = [
    0,
    1,
    999,
    1000,
    15_000,
    MAX_MAX_TTL.0,
    MAX_MAX_TTL.0 + 1,
    1 << 20,
    1 << 50,
    (1 << 50) + 1,
    NUMBER_LIMIT - 2,
    NUMBER_LIMIT - 1,
    NUMBER_LIMIT,
    NUMBER_LIMIT + 1,
    1 << 63,
    u64::MAX,
];

/// Lengths around which something changes, in bytes.
const LENGTHS: [usize; 16] = [0, 1, 64, 255, 256, 257, 258, 300, 512, 4095, 4096, 4097, 8192, 8193, 20_000, 100_000];

/// The rest of an input.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// Reads these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    #[must_use]
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// True for every second byte.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A length, then so many bytes.
    pub fn blob(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()) << 8 | usize::from(self.byte());
        let (blob, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        blob
    }

    /// Any number; often a small one, or one around which something changes.
    pub fn number(&mut self) -> u64 {
        let kind = self.byte();
        match kind >> 5 {
            0..=2 => u64::from(kind & 0x7f),
            3 => EDGES[usize::from(kind & 0xf)],
            4 => self.little(2),
            5 => self.little(4),
            6 => EDGES[usize::from(kind & 0xf)].wrapping_sub(u64::from(self.byte())),
            _ => self.little(8),
        }
    }

    fn little(&mut self, bytes: usize) -> u64 {
        (0..bytes).fold(0, |sum, _| sum << 8 | u64::from(self.byte()))
    }

    /// A number below `end`, which isn't 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Any text, sometimes a very long one.
    pub fn text(&mut self) -> String {
        let mut text = String::from_utf8_lossy(self.blob()).into_owned();
        self.stretch(&mut text);
        text
    }

    /// Makes a text as long as one of [`LENGTHS`], sometimes, so that short inputs reach the limits.
    pub fn stretch(&mut self, text: &mut String) {
        let kind = self.byte();
        if kind < 0xc0 {
            return;
        }
        let length = LENGTHS[usize::from(kind & 15)];
        if text.is_empty() {
            text.push('x');
        }
        *text = text.repeat(length.div_ceil(text.len()));
        text.truncate(text.floor_char_boundary(length));
    }

    /// A few names are drawn again and again, so that candidacies meet.
    pub fn election(&mut self) -> ElectionName {
        let kind = self.byte();
        let text = if kind < 0xf0 { format!("e{}", kind % 4) } else { self.text() };
        ElectionName::new(&text).unwrap_or_else(|_| fixed(ElectionName::new("e/0")))
    }

    /// Likewise.
    pub fn candidate(&mut self) -> CandidateName {
        let kind = self.byte();
        let text = if kind < 0xf0 { format!("c{}", kind % 4) } else { self.text() };
        CandidateName::new(&text).unwrap_or_else(|_| fixed(CandidateName::new("ü")))
    }

    /// Likewise.
    pub fn subject(&mut self) -> Subject {
        let kind = self.byte();
        let text = if kind < 0xf0 { format!("s{}", kind % 2) } else { self.text() };
        Subject::new(&text).unwrap_or_else(|_| Subject::anonymous())
    }

    /// Any value that is one.
    pub fn value(&mut self) -> Value {
        let text = if self.byte() < 0xf0 { String::new() } else { self.text() };
        Value::new(&text).unwrap_or_else(|_| fixed(Value::new("v")))
    }

    /// A ticket as it comes out of its seal: see [`lawful::ticket`](crate::lawful::ticket).
    pub fn ticket(&mut self) -> Ticket {
        let number = |script: &mut Self| 1 + script.below(NUMBER_LIMIT - 1);
        let mut ticket = Ticket {
            election: self.election(),
            candidate: self.candidate(),
            subject: self.subject(),
            value: self.value(),
            ttl: Millis(1 + self.below(MAX_MAX_TTL.0)),
            enrolment: Enrolment(number(self)),
            place: Enrolment(number(self)),
            token: self.flag().then(|| FencingToken(number(self))),
            tenure: Tenure(number(self)),
            accepted_at: Millis(self.below(NUMBER_LIMIT)),
            hold: Millis(if self.flag() { self.below(NUMBER_LIMIT) } else { 0 }),
            issued: Tenure(0),
        };
        ticket.place = ticket.place.min(ticket.enrolment);
        ticket.issued = ticket.tenure.max(Tenure(if self.flag() { number(self) } else { 0 }));
        ticket
    }

    /// A record without a handover: see [`lawful::record`](crate::lawful::record).
    pub fn record(&mut self) -> Record {
        let ceiling = 1 + self.below(NUMBER_LIMIT);
        let duration = self.below(1 << 50);
        Record {
            tenure: Tenure(self.below(ceiling)),
            ceiling,
            duration: Millis(duration),
            margin: Millis(self.below(duration + 1)),
            renewed_at: Millis(self.below(1 << 50)),
            ended_at: self.flag().then(|| Millis(self.below(1 << 50))),
            longest_ttl: Millis(self.below(1 << 50)),
            last_change: None,
            handover: None,
            last_revision: self.flag().then(|| Revision(self.below(NUMBER_LIMIT))),
        }
    }

    /// The name of an entry, or none.
    pub fn attempt(&mut self) -> Option<Attempt> {
        self.flag().then(|| fixed(Attempt::new(["a", "b", "~", "6f1c2b1e-31f7"][usize::from(self.byte() % 4)])))
    }

    /// Elections whose hold began or ended.
    pub fn holds(&mut self) -> Vec<Held> {
        let count = self.byte() % 4;
        (0..count).map(|_| Held { election: self.election(), until: Millis(self.below(NUMBER_LIMIT)) }).collect()
    }

    /// The handover of a record: see [`lawful::record`](crate::lawful::record).
    pub fn handover(&mut self, record: &Record) -> Handover {
        let mut all: Vec<Carried> = Vec::new();
        for _ in 0..self.byte() % 8 {
            let mut ticket = self.ticket();
            let numbers = [&mut ticket.enrolment.0, &mut ticket.place.0, &mut ticket.tenure.0, &mut ticket.issued.0];
            for number in numbers {
                *number %= record.ceiling;
            }
            ticket.place = ticket.place.min(ticket.enrolment);
            ticket.issued = ticket.issued.max(ticket.tenure);
            ticket.token = ticket.token.map(|token| FencingToken(token.0 % record.ceiling));
            let drain_left = self.flag().then(|| Millis(self.below(NUMBER_LIMIT)));
            if all.iter().all(|other| other.ticket.enrolment != ticket.enrolment) {
                all.push(Carried { ticket, drain_left, attempt: self.attempt() });
            }
        }
        let held = |Held { election, until }| HeldElection { election, left: until };
        Handover { candidacies: all, holds: self.holds().into_iter().map(held).collect() }
    }
}

fn fixed<T, E: std::fmt::Debug>(word: Result<T, E>) -> T {
    word.expect("this word is within every limit")
}
