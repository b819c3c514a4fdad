//! How a target reads what the fuzzer made up: a byte decides, more bytes fill in. What isn't there
//! any more is zero, so that every input means something, and cutting or joining inputs makes new
//! ones that do as well.

use leasehold_core::{
    Attempt, CandidateName, Carried, Ceiling, ElectionName, Enrolment, FencingToken, Handover, Held, LONGEST, MAX_HOLD,
    MAX_MAX_TTL, Millis, NUMBER_LIMIT, PodUid, RecordParts, Revision, Subject, Tenure, Ticket, TicketParts, Value,
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

    /// Makes a text as long as one of [`LENGTHS`], sometimes, so that short inputs reach the
    /// limits.
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

    /// One of few pods.
    pub fn pod(&mut self) -> PodUid {
        fixed(PodUid::new(if self.flag() { "p" } else { "q" }))
    }

    /// Any value that is one.
    pub fn value(&mut self) -> Value {
        let text = if self.byte() < 0xf0 { String::new() } else { self.text() };
        Value::new(&text).unwrap_or_else(|_| fixed(Value::new("v")))
    }

    /// Any ticket.
    pub fn ticket(&mut self) -> Ticket {
        let mut parts = TicketParts {
            election: self.election(),
            candidate: self.candidate(),
            subject: self.subject(),
            pod: self.flag().then(|| self.pod()),
            value: self.value(),
            ttl: Millis(1 + self.below(MAX_MAX_TTL.0)),
            enrolment: Enrolment(self.drawn(NUMBER_LIMIT)),
            place: Enrolment(self.drawn(NUMBER_LIMIT)),
            token: self.flag().then(|| FencingToken(self.drawn(NUMBER_LIMIT))),
            tenure: Tenure(self.drawn(NUMBER_LIMIT)),
            accepted_at: self.time(),
            hold: if self.flag() { self.time() } else { Millis(0) },
            issued: Tenure(0),
        };
        parts.issued = Tenure(if self.flag() { self.drawn(NUMBER_LIMIT) } else { 0 });
        ticket(parts)
    }

    /// A number that may have been handed out below this ceiling.
    pub fn drawn(&mut self, ceiling: u64) -> u64 {
        1 + self.below(ceiling - 1)
    }

    /// Any time that a ticket or a record can tell of.
    pub fn time(&mut self) -> Millis {
        Millis(self.below(LONGEST.0 + 1))
    }

    /// Any record without a handover.
    pub fn record(&mut self) -> RecordParts {
        let ceiling = 2 + self.below(NUMBER_LIMIT - 1);
        let duration = self.time();
        RecordParts {
            tenure: Tenure(self.drawn(ceiling)),
            ceiling: Ceiling(ceiling),
            duration,
            margin: Millis(self.below(duration.0 + 1)),
            renewed_at: self.time(),
            ended_at: self.flag().then(|| self.time()),
            longest_ttl: self.time(),
            last_change: None,
            handover: None,
            last_revision: self.flag().then(|| Revision(self.drawn(ceiling))),
        }
    }

    /// The name of an entry, or none.
    pub fn attempt(&mut self) -> Option<Attempt> {
        self.flag().then(|| fixed(Attempt::new(["a", "b", "~", "6f1c2b1e-31f7"][usize::from(self.byte() % 4)])))
    }

    /// Elections whose hold began or ended.
    pub fn holds(&mut self) -> Vec<Held> {
        let count = self.byte() % 4;
        (0..count).map(|_| Held { election: self.election(), until: self.time() }).collect()
    }

    /// What others are told of a candidacy.
    pub fn carried(&mut self, ticket: Ticket) -> Carried {
        let drains_until = (self.flag() && ticket.token.is_some()).then(|| self.time());
        Carried { ticket, drains_until, attempt: self.attempt() }
    }

    /// A handover of a record with this ceiling.
    pub fn handover(&mut self, ceiling: Ceiling) -> Handover {
        let mut all: Vec<Carried> = Vec::new();
        for _ in 0..self.byte() % 8 {
            let mut parts = (*self.ticket()).clone();
            let numbers = [&mut parts.enrolment.0, &mut parts.place.0, &mut parts.tenure.0, &mut parts.issued.0];
            for number in numbers.into_iter().chain(parts.token.as_mut().map(|token| &mut token.0)) {
                *number = 1 + *number % (ceiling.0 - 1);
            }
            let carried = self.carried(ticket(parts));
            if all.iter().all(|other| other.ticket.enrolment != carried.ticket.enrolment) {
                all.push(carried);
            }
        }
        Handover { candidacies: all, holds: self.holds() }
    }
}

/// The ticket of these parts, once they fit together.
#[must_use]
pub fn ticket(mut parts: TicketParts) -> Ticket {
    parts.place = parts.place.min(parts.enrolment);
    parts.issued = parts.issued.max(parts.tenure);
    if parts.token.is_none() {
        parts.hold = parts.hold.min(MAX_HOLD);
    }
    fixed(Ticket::from_parts(parts))
}

/// What was made such that it is lawful.
///
/// # Panics
/// If it isn't.
pub fn fixed<T, E: std::fmt::Debug>(made: Result<T, E>) -> T {
    made.expect("this is within every limit")
}
