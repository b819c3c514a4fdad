//! A worker: what a client makes of what it is told.
//!
//! The rules are those of election.proto. How much of them a worker heeds is part of its manners.

use crate::plan::{Candidate, Reads};
use leasehold_core::{
    CallId, ElectionName, Enrolment, Entry, Event, FencingToken, Kept, Millis, StateVersion, StreamId, Tenure, Ticket,
    Time,
};
use std::collections::BTreeMap;

/// What reaches a worker.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Event {
        stream: StreamId,
        tenure: Tenure,
        version: StateVersion,
        event: Event,
    },
    /// Superseded: the stream of the candidacy was opened somewhere else.
    StreamOver {
        stream: StreamId,
        superseded: bool,
    },
    Answer {
        call: CallId,
        tenure: Tenure,
        kept: Kept,
    },
}

#[derive(Debug)]
pub(crate) struct Candidacy {
    /// When it sent Campaign.
    pub(crate) entered: Time,
    /// What it asked for. With an attempt it may ask once more, until it is told that it is a
    /// candidate.
    pub(crate) entry: Entry,
    pub(crate) enrolment: Option<Enrolment>,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) token: Option<FencingToken>,
    /// `None`: stream-bound.
    pub(crate) deadline: Option<Time>,
    pub(crate) stream: Option<StreamId>,
    /// Its stream was opened somewhere else: it doesn't take it back.
    pub(crate) superseded: bool,
    pub(crate) draining: bool,
    /// The highest that it has seen.
    version: StateVersion,
}

/// A KeepAlive without an answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    sent: Time,
    /// With a leader's ticket.
    as_leader: bool,
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) who: Candidate,
    /// The replica that it talks to.
    pub(crate) home: usize,
    /// Counts its processes.
    pub(crate) life: u64,
    pub(crate) up: bool,
    pub(crate) paused: bool,
    pub(crate) mailbox: Vec<Message>,
    pub(crate) candidacy: Option<Candidacy>,
    /// Its former process crashed.
    pub(crate) died: bool,
    /// The highest tenure that it has seen as this candidate.
    highest: Tenure,
    calls: BTreeMap<CallId, Asked>,
}

impl Worker {
    pub(crate) fn new(who: Candidate) -> Self {
        Self {
            who,
            home: 0,
            life: 0,
            up: false,
            paused: false,
            mailbox: Vec::new(),
            candidacy: None,
            died: false,
            highest: Tenure(0),
            calls: BTreeMap::new(),
        }
    }

    /// A new process of the same name knows nothing of the old one's.
    pub(crate) fn start(&mut self) {
        self.life += 1;
        (self.up, self.paused, self.candidacy, self.highest) = (true, false, None, Tenure(0));
        self.mailbox.clear();
        self.calls.clear();
    }

    /// When `ttl` has passed by its own clock.
    fn deadline(&self, sent: Time, ttl: Millis) -> Time {
        sent + Millis(ttl.0 * 1_000_000 / self.who.manners.rate)
    }

    /// It sends Campaign, which counts as the first KeepAlive.
    pub(crate) fn entered(&mut self, now: Time, stream: StreamId, entry: Entry) {
        let deadline = entry.ttl.map(|ttl| self.deadline(now, ttl));
        self.candidacy = Some(Candidacy {
            entered: now,
            entry,
            enrolment: None,
            ticket: None,
            token: None,
            deadline,
            stream: Some(stream),
            superseded: false,
            draining: false,
            version: StateVersion(0),
        });
        self.highest = Tenure(0);
        self.calls.clear();
    }

    pub(crate) fn reopened(&mut self, stream: StreamId) {
        if let Some(candidacy) = &mut self.candidacy {
            candidacy.stream = Some(stream);
        }
    }

    /// Something that it asked wasn't answered in time.
    pub(crate) fn unanswered(&mut self, now: Time) -> bool {
        let before = self.calls.len();
        let patience = self.who.manners.patience;
        self.calls.retain(|_, asked| now.since(asked.sent) <= patience);
        self.calls.len() < before
    }

    pub(crate) fn asked(&mut self, now: Time, call: CallId, as_leader: bool) {
        self.calls.insert(call, Asked { sent: now, as_leader });
    }

    /// The token with which it believes that it leads, and until when; a stream-bound one as long
    /// as its stream.
    pub(crate) fn lead(&self, now: Time) -> Option<(FencingToken, Option<Time>)> {
        let candidacy = self.candidacy.as_ref().filter(|_| self.up)?;
        let alive = candidacy.deadline.map_or(candidacy.stream.is_some(), |deadline| deadline > now);
        candidacy.token.filter(|_| alive).map(|token| (token, candidacy.deadline))
    }

    /// The election that it wants to lead, if it was told that it is a candidate.
    pub(crate) fn wants(&self) -> Option<&ElectionName> {
        let candidacy = self.candidacy.as_ref().filter(|_| self.up)?;
        candidacy.enrolment.map(|_| &self.who.election)
    }

    /// The highest tenure that it has heard of as the candidate that it is.
    pub(crate) fn heard_of(&self) -> Option<Tenure> {
        self.candidacy.as_ref().filter(|_| self.up).map(|_| self.highest)
    }

    /// The candidacy that it believes to have.
    pub(crate) fn counts_on(&self, now: Time) -> Option<Enrolment> {
        let candidacy = self.candidacy.as_ref().filter(|_| self.up)?;
        let alive = candidacy.deadline.map_or(candidacy.stream.is_some(), |deadline| deadline > now);
        candidacy.enrolment.filter(|_| alive)
    }

    pub(crate) fn hear(&mut self, now: Time, message: Message) {
        match message {
            Message::StreamOver { stream, superseded } => self.stream_over(stream, superseded),
            Message::Event { stream, tenure, version, event } => {
                let ours = self.candidacy.as_ref().is_some_and(|candidacy| candidacy.stream == Some(stream));
                if ours && self.heeds(tenure, version) {
                    self.on_event(event);
                }
            }
            Message::Answer { call, tenure, kept } => {
                let Some(asked) = self.calls.remove(&call) else { return };
                let in_time = now.since(asked.sent) <= self.who.manners.patience;
                if in_time && self.heeds(tenure, version_of(&kept)) {
                    self.on_answer(asked, kept);
                }
            }
        }
    }

    /// Whether a word counts that comes from this tenure, and is about this state of its candidacy.
    /// 0 is final.
    fn heeds(&mut self, tenure: Tenure, version: StateVersion) -> bool {
        if tenure < self.highest {
            return false;
        }
        self.highest = self.highest.max(tenure);
        let Some(candidacy) = self.candidacy.as_mut().filter(|_| version > StateVersion(0)) else { return true };
        let newest = candidacy.version.max(version);
        candidacy.version = newest;
        self.who.manners.reads != Reads::Everything || version == newest
    }

    fn stream_over(&mut self, stream: StreamId, superseded: bool) {
        let Some(candidacy) = self.candidacy.as_mut().filter(|candidacy| candidacy.stream == Some(stream)) else {
            return;
        };
        (candidacy.stream, candidacy.superseded) = (None, superseded);
        let asks_again = candidacy.entry.attempt.is_some() && candidacy.enrolment.is_none();
        if !asks_again && candidacy.ticket.is_none() {
            self.candidacy = None;
        }
    }

    fn on_event(&mut self, event: Event) {
        let old_contract = self.who.manners.reads == Reads::OldContract;
        let Some(candidacy) = &mut self.candidacy else { return };
        match event {
            Event::Enrolled { enrolment, ticket } => {
                candidacy.enrolment = Some(enrolment);
                if !old_contract || !candidacy.has_led() {
                    candidacy.ticket = ticket.map(|ticket| *ticket).or(candidacy.ticket.take());
                }
            }
            Event::Waiting { .. } if old_contract => {}
            Event::Waiting { .. } => candidacy.waits(),
            Event::Elected(lead) => {
                candidacy.token = Some(lead.token);
                candidacy.ticket = lead.ticket.or(candidacy.ticket.take());
            }
            Event::Draining { token, .. } => (candidacy.token, candidacy.draining) = (Some(token), true),
            Event::Ended(_) => self.candidacy = None,
        }
    }

    fn on_answer(&mut self, asked: Asked, kept: Kept) {
        let extended = self.who.manners.ttl.map(|ttl| self.deadline(asked.sent, ttl));
        let old_contract = self.who.manners.reads == Reads::OldContract;
        let Some(candidacy) = &mut self.candidacy else { return };
        if old_contract && candidacy.has_led() && !asked.as_leader {
            return;
        }
        match kept {
            Kept::Waiting { ticket, .. } => {
                if !old_contract {
                    candidacy.waits();
                }
                candidacy.deadline = candidacy.deadline.max(extended);
                candidacy.ticket = Some(ticket);
            }
            Kept::Leading { ticket, .. } => {
                candidacy.token = ticket.token;
                candidacy.deadline = candidacy.deadline.max(extended);
                candidacy.ticket = Some(ticket);
            }
            Kept::Draining { ticket, .. } => {
                (candidacy.token, candidacy.draining) = (ticket.token, true);
                candidacy.ticket = Some(ticket);
            }
            Kept::Ended(_) => self.candidacy = None,
        }
    }
}

fn version_of(kept: &Kept) -> StateVersion {
    match kept {
        Kept::Waiting { version, .. } | Kept::Leading { version, .. } | Kept::Draining { version, .. } => *version,
        Kept::Ended(_) => StateVersion(0),
    }
}

impl Candidacy {
    /// Its ticket is a leader's.
    fn has_led(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.token.is_some())
    }

    /// It doesn't lead, from now on.
    fn waits(&mut self) {
        (self.token, self.draining) = (None, false);
    }
}
