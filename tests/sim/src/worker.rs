//! A worker: what an honest client makes of what it is told.
//!
//! Its deadline counts from before the send of the last KeepAlive that was accepted. It sends its latest ticket, drops what comes
//! from lower tenures than it has seen, and never uses a ticket again after Ended or from the moment it resigns.

use crate::plan::Candidate;
use leasehold_core::{
    CallId, ElectionName, Enrolment, Event, FencingToken, Kept, Millis, StreamId, Tenure, Ticket, Time,
};
use std::collections::BTreeMap;

/// What reaches a worker.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Event { stream: StreamId, tenure: Tenure, event: Event },
    StreamOver { stream: StreamId },
    Answer { call: CallId, tenure: Tenure, kept: Kept },
}

#[derive(Debug)]
pub(crate) struct Candidacy {
    /// When it sent Campaign.
    pub(crate) entered: Time,
    pub(crate) enrolment: Option<Enrolment>,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) token: Option<FencingToken>,
    /// When it learned that it leads, and from which tenure.
    led_since: Option<(Time, Tenure)>,
    /// `None`: stream-bound.
    pub(crate) deadline: Option<Time>,
    pub(crate) stream: Option<StreamId>,
    stream_opened: Time,
    pub(crate) draining: bool,
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
    highest: Tenure,
    /// KeepAlives without an answer, and when they were sent.
    calls: BTreeMap<CallId, Time>,
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

    pub(crate) fn entered(&mut self, now: Time, stream: StreamId) {
        self.candidacy = Some(Candidacy {
            entered: now,
            enrolment: None,
            ticket: None,
            token: None,
            led_since: None,
            deadline: self.who.manners.ttl.map(|ttl| self.deadline(now, ttl)),
            stream: Some(stream),
            stream_opened: now,
            draining: false,
        });
        self.calls.clear();
    }

    pub(crate) fn reopened(&mut self, now: Time, stream: StreamId) {
        if let Some(candidacy) = &mut self.candidacy {
            (candidacy.stream, candidacy.stream_opened) = (Some(stream), now);
        }
    }

    /// Something that it asked wasn't answered in time.
    pub(crate) fn unanswered(&mut self, now: Time) -> bool {
        let before = self.calls.len();
        let patience = self.who.manners.patience;
        self.calls.retain(|_, sent| now.since(*sent) <= patience);
        self.calls.len() < before
    }

    pub(crate) fn asked(&mut self, now: Time, call: CallId) {
        self.calls.insert(call, now);
    }

    /// The token with which it believes that it leads, and until when; a stream-bound one as long as its stream.
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

    /// The candidacy that it believes to have.
    pub(crate) fn counts_on(&self, now: Time) -> Option<Enrolment> {
        let candidacy = self.candidacy.as_ref().filter(|_| self.up)?;
        let alive = candidacy.deadline.map_or(candidacy.stream.is_some(), |deadline| deadline > now);
        candidacy.enrolment.filter(|_| alive)
    }

    pub(crate) fn hear(&mut self, now: Time, message: Message) {
        match message {
            Message::StreamOver { stream } => self.stream_over(stream),
            Message::Event { stream, tenure, event } => {
                let ours = self.candidacy.as_ref().is_some_and(|candidacy| candidacy.stream == Some(stream));
                if ours && tenure >= self.highest {
                    self.highest = tenure;
                    self.on_event(now, tenure, event);
                }
            }
            Message::Answer { call, tenure, kept } => {
                let Some(sent) = self.calls.remove(&call) else { return };
                if tenure >= self.highest && now.since(sent) <= self.who.manners.patience {
                    self.highest = tenure;
                    self.on_answer((now, tenure), sent, kept);
                }
            }
        }
    }

    fn stream_over(&mut self, stream: StreamId) {
        let leased = self.who.manners.ttl.is_some();
        let Some(candidacy) = self.candidacy.as_mut().filter(|candidacy| candidacy.stream == Some(stream)) else {
            return;
        };
        candidacy.stream = None;
        if !leased || candidacy.ticket.is_none() {
            self.candidacy = None;
        }
    }

    fn on_event(&mut self, now: Time, tenure: Tenure, event: Event) {
        let heard = (now, tenure);
        let Some(candidacy) = &mut self.candidacy else { return };
        match event {
            Event::Enrolled { enrolment, ticket } => {
                candidacy.enrolment = Some(enrolment);
                candidacy.take(ticket.map(|ticket| *ticket));
            }
            // It was asked when the lead was known already: the lead is gone.
            Event::Waiting { .. } => candidacy.waits(candidacy.stream_opened, tenure),
            Event::Elected(lead) => {
                candidacy.leads(heard, Some(lead.token));
                candidacy.take(lead.ticket);
            }
            Event::Draining { token, .. } => {
                candidacy.leads(heard, Some(token));
                candidacy.draining = true;
            }
            Event::Ended(_) => self.candidacy = None,
        }
    }

    fn on_answer(&mut self, heard: (Time, Tenure), sent: Time, kept: Kept) {
        let extended = self.who.manners.ttl.map(|ttl| self.deadline(sent, ttl));
        let Some(candidacy) = &mut self.candidacy else { return };
        match kept {
            Kept::Waiting(ticket) => {
                candidacy.waits(sent, heard.1);
                candidacy.deadline = candidacy.deadline.max(extended);
                candidacy.take(Some(ticket));
            }
            Kept::Leading(ticket) => {
                candidacy.leads(heard, ticket.token);
                candidacy.deadline = candidacy.deadline.max(extended);
                candidacy.take(Some(ticket));
            }
            Kept::Draining { ticket, .. } => {
                candidacy.leads(heard, ticket.token);
                candidacy.draining = true;
                candidacy.take(Some(ticket));
            }
            Kept::Ended(_) => self.candidacy = None,
        }
    }
}

impl Candidacy {
    /// It was told that it leads, then and by that tenure.
    fn leads(&mut self, heard: (Time, Tenure), token: Option<FencingToken>) {
        if token > self.token {
            (self.token, self.led_since) = (token, Some(heard));
        }
    }

    /// It was told by a tenure that it waits, on asking at that moment. What was asked before it learned of its lead says nothing,
    /// unless a later tenure says it: that one doesn't know of the lead, and will grant it to whoever is first.
    fn waits(&mut self, asked: Time, tenure: Tenure) {
        if self.led_since.is_some_and(|(since, told_by)| asked >= since || tenure > told_by) {
            (self.token, self.led_since, self.draining) = (None, None, false);
        }
    }

    /// Keeps the latest ticket: answers overtake each other.
    fn take(&mut self, ticket: Option<Ticket>) {
        let age = |ticket: &Ticket| (ticket.tenure, ticket.token, ticket.accepted_at);
        if let Some(ticket) = ticket
            && self.ticket.as_ref().is_none_or(|held| age(held) <= age(&ticket))
        {
            self.ticket = Some(ticket);
        }
    }
}
