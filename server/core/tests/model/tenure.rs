//! The naive model of a process: what it reads, claims, renews and releases, and when its right
//! ends.

use crate::naive::Elections;
use leasehold_core::{
    AHEAD_WHEN_LOST, Ask, Ceiling, Config, Found, HEADROOM, Handover, Input, Millis, Outcome, Output, Over, Record,
    RecordParts, Reject, Reply, Revision, Status, StreamId, Tenure, TenureEnd, Ticket, Time, WriteId,
};

/// A write that is under way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    write: WriteId,
    at: Time,
    ceiling: Ceiling,
}

#[derive(Debug)]
enum Role {
    Reading,
    Paused(Time),
    Claiming(Sent, Elections, Handover, Option<Revision>),
    Active(Elections),
    Stopping(Option<WriteId>, WriteId, Box<Record>),
    Stopped,
}

#[derive(Debug)]
pub(crate) struct Model {
    config: Config,
    role: Role,
    seen: Ceiling,
    writes: u64,
    /// What the clock vouched for, and when.
    floor: (u64, Time),
    /// Of the tenure under way.
    right_until: Time,
    renew_at: Time,
    pending: Option<Sent>,
    ceiling: Ceiling,
    longest_ttl: Millis,
    /// What the last claim wrote, what it had found, and whether that was outdated.
    claimed: Option<(Record, Found, bool)>,
    /// Streams that were closed while the right had lapsed.
    closed: Vec<StreamId>,
    now: Time,
    out: Vec<Output>,
}

impl Model {
    pub(crate) fn new(config: Config) -> Self {
        let longest_ttl = config.max_ttl;
        Self {
            config,
            role: Role::Reading,
            seen: Ceiling(0),
            writes: 0,
            claimed: None,
            closed: Vec::new(),
            floor: (0, Time(0)),
            right_until: Time(0),
            renew_at: Time(0),
            pending: None,
            ceiling: Ceiling(0),
            longest_ttl,
            now: Time(0),
            out: vec![Output::Read],
        }
    }

    pub(crate) fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    pub(crate) fn elections(&self) -> Option<&Elections> {
        if let Role::Active(elections) = &self.role { Some(elections) } else { None }
    }

    /// The first moment at which anything would happen by itself: found by looking at everything.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        match &self.role {
            Role::Paused(until) => Some(*until),
            Role::Active(elections) => {
                let renewal = self.pending.is_none().then_some(self.renew_at);
                if self.right_until <= self.now {
                    return renewal;
                }
                let due = elections.everybody.iter().filter_map(|c| c.due());
                let holds = elections.holds.iter().map(|(_, until)| *until);
                due.chain(holds).chain(renewal).chain(elections.settles).min()
            }
            _ => None,
        }
    }

    pub(crate) fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        self.pass_time();
        self.compare(&input);
        match input {
            Input::Tick => {}
            Input::Found { found, clock_floor } => self.found(found, clock_floor.0),
            Input::Written { write, outcome } => self.written(write, &outcome),
            Input::ReadFailed
            | Input::FoundLease { .. }
            | Input::Watched { .. }
            | Input::Forwarded { .. }
            | Input::MirrorOpened
            | Input::MirrorClosed
            | Input::MirrorSnapshot(_)
            | Input::MirrorChanged(_) => unreachable!("a file has one replica"),
            Input::Shutdown => self.shutdown(),
            Input::Campaign { stream, entry } => match self.active() {
                Ok(elections) => elections.campaign(stream, entry),
                Err(why) => self.out.push(Output::Close { stream, why: Some(why) }),
            },
            Input::Reopen { stream, ticket } => match self.active() {
                Ok(elections) => elections.reopen(stream, &ticket),
                Err(why) => self.out.push(Output::Close { stream, why: Some(why) }),
            },
            Input::StreamClosed { stream } => {
                if let Ok(elections) = self.active() {
                    elections.stream_closed(stream);
                } else if matches!(self.role, Role::Active(_)) {
                    self.closed.push(stream);
                }
            }
            Input::Call { call, ask } => {
                let reply = match (self.active(), ask) {
                    (Ok(elections), ask) => elections.answer(ask),
                    (Err(_), Ask::Status) => Ok(Reply::Status(Box::<Status>::default())),
                    (Err(why), _) => Err(why),
                };
                self.collect();
                self.out.push(Output::Reply { call, reply });
            }
        }
        self.collect();
    }

    /// Tickets that show higher numbers than this tenure can know end it; the next one begins above
    /// them.
    fn compare(&mut self, input: &Input) {
        let tickets: Vec<&Ticket> = match input {
            Input::Reopen { ticket, .. } => vec![ticket],
            Input::Call { ask: Ask::KeepAlive(tickets), .. } => tickets.iter().collect(),
            Input::Call { ask: Ask::Resign(ticket) | Ask::Proclaim(ticket, _), .. } => vec![ticket],
            _ => Vec::new(),
        };
        let Role::Active(elections) = &self.role else { return };
        if self.right_until <= self.now {
            return;
        }
        let mine = |ticket: &Ticket| ticket.issued == elections.tenure && ticket.highest() < elections.next;
        let strange = tickets.iter().filter(|ticket| !mine(ticket) && ticket.highest() >= elections.tenure.0);
        let Some(highest) = strange.map(|ticket| ticket.highest()).max() else { return };
        let (floor, at) = self.floor;
        let floor = floor + self.now.since(at).0 * ((1 << 20) / 1000);
        self.seen = self.seen.max(Ceiling(highest + AHEAD_WHEN_LOST + floor % AHEAD_WHEN_LOST));
        self.out.push(Output::TenureEnded { tenure: elections.tenure, why: TenureEnd::Behind });
        self.read();
    }

    /// Takes over what the elections said.
    fn collect(&mut self) {
        if let Role::Active(elections) = &mut self.role {
            elections.forget_the_empty();
            self.out.append(&mut elections.out);
        }
    }

    fn active(&mut self) -> Result<&mut Elections, Reject> {
        match &mut self.role {
            Role::Active(elections) if self.right_until > self.now => Ok(elections),
            Role::Stopping(..) | Role::Stopped => Err(Reject::ShuttingDown),
            _ => Err(Reject::NotActive),
        }
    }

    fn pass_time(&mut self) {
        let now = self.now;
        match &mut self.role {
            Role::Paused(until) if *until <= now => self.read(),
            // Nothing happens but that it tries to get its right back.
            Role::Active(_) if self.right_until <= now => self.renew_if_due(),
            Role::Active(elections) => {
                elections.now = now;
                let settles = elections.settles.is_some_and(|at| at <= now);
                if settles {
                    elections.settles = None;
                }
                elections.expire();
                if settles {
                    elections.out.push(Output::Settled);
                    let names = elections.names();
                    elections.grant_all(&names);
                }
                self.collect();
                self.renew_if_due();
            }
            _ => {}
        }
    }

    fn renew_if_due(&mut self) {
        if self.pending.is_none() && self.renew_at <= self.now {
            self.renew();
        }
    }

    fn read(&mut self) {
        self.role = Role::Reading;
        self.out.push(Output::Read);
    }

    fn next_write(&mut self) -> WriteId {
        self.writes += 1;
        WriteId(self.writes)
    }

    fn right(&self, sent: Time) -> Time {
        sent + (self.config.duration - self.config.margin)
    }

    fn record(&self, tenure: Tenure, ceiling: Ceiling, renewed_at: Millis) -> RecordParts {
        RecordParts {
            tenure,
            ceiling,
            duration: self.config.duration,
            margin: self.config.margin,
            renewed_at,
            ended_at: None,
            longest_ttl: self.longest_ttl,
            last_change: None,
            handover: None,
            last_revision: None,
        }
    }

    fn found(&mut self, found: Found, floor: u64) {
        if !matches!(self.role, Role::Reading) {
            return;
        }
        self.floor = (floor, self.now);
        let mut found = found;
        if let Found::Record(record) = &found {
            self.seen = self.seen.max(record.ceiling);
            self.longest_ttl = self.longest_ttl.max(record.longest_ttl);
            let ceiling = record.ceiling;
            if let Some((_, before, outdated)) = self.claimed.take().filter(|(claim, _, _)| claim == record) {
                found = before;
                if let (Found::Record(record), false) = (&mut found, outdated) {
                    *record = lawful(RecordParts { ceiling, ..(**record).clone() });
                }
            }
        }
        let base = found.clone();
        let record = if let Found::Record(record) = &found { Some(record.clone()) } else { None };
        let ceiling = record.as_ref().map_or(Ceiling(0), |record| record.ceiling);
        let outdated = ceiling < self.seen && record.is_some();
        self.seen = self.seen.max(ceiling);
        let floor = if found == Found::Lost { floor + AHEAD_WHEN_LOST } else { floor };
        let tenure = Tenure(self.seen.0.max(floor).max(1));
        let right_ended =
            |record: &Record| record.ended_at.unwrap_or(record.renewed_at + (record.duration - record.margin));
        let trusted = record.filter(|_| !outdated);
        let wait = match (&found, &trusted) {
            (Found::Fresh, _) => Millis(0),
            (_, Some(record)) if record.handover.is_some() => Millis(0),
            (_, Some(record)) => record.longest_ttl.with_drift(),
            _ => self.longest_ttl.with_drift(),
        };
        let elections = Elections {
            config: self.config.clone(),
            now: self.now,
            tenure,
            began: self.now,
            next: tenure.0 + 1,
            settles: Some(self.now + wait),
            former: trusted.as_ref().map(|record| (record.tenure, right_ended(record))),
            everybody: Vec::new(),
            ended: Vec::new(),
            forgot: false,
            refused: Vec::new(),
            last: Vec::new(),
            holds: Vec::new(),
            told: None,
            out: Vec::new(),
        };
        let sent = Sent { write: self.next_write(), at: self.now, ceiling: Ceiling(tenure.0 + HEADROOM) };
        let record = Box::new(lawful(self.record(tenure, sent.ceiling, Millis(0))));
        self.claimed = Some((*record.clone(), base, outdated));
        self.out.push(Output::Write { write: sent.write, over: Over::Anything, record });
        let resumes = trusted.as_ref().and_then(|record| record.last_revision);
        let handover = trusted.and_then(|record| record.handover.clone()).unwrap_or_default();
        self.role = Role::Claiming(sent, elections, handover, resumes);
    }

    fn written(&mut self, write: WriteId, outcome: &Outcome) {
        let ok = matches!(outcome, Outcome::Stored(_));
        let soon = self.now + Millis(self.config.renew_interval.0 / 5);
        match std::mem::replace(&mut self.role, Role::Stopped) {
            Role::Claiming(sent, mut elections, handover, resumes_after) if sent.write == write => {
                if ok {
                    self.seen = self.seen.max(sent.ceiling);
                }
                if !ok || self.right(sent.at) <= self.now {
                    self.role = Role::Paused(soon);
                    return;
                }
                self.claimed = None;
                self.right_until = self.right(sent.at);
                self.renew_at = sent.at + self.config.renew_interval;
                self.pending = None;
                self.ceiling = sent.ceiling;
                elections.now = self.now;
                let (tenure, began, settles_in) = (elections.tenure, elections.began, elections.settling());
                self.out.push(Output::RightUntil(self.right_until));
                self.out.push(Output::TenureBegan { tenure, began, settles_in, resumes_after });
                elections.take_over(&handover);
                self.role = Role::Active(elections);
                self.collect();
                self.pass_time();
            }
            Role::Stopping(before, last, record) => {
                self.role = if before == Some(write) {
                    self.out.push(Output::Write { write: last, over: Over::Anything, record: record.clone() });
                    Role::Stopping(None, last, record)
                } else if last == write {
                    self.out.push(Output::Stopped);
                    Role::Stopped
                } else {
                    Role::Stopping(before, last, record)
                };
            }
            role => {
                self.role = role;
                let Some(sent) = self.pending.filter(|sent| sent.write == write) else { return };
                if !matches!(self.role, Role::Active(_)) {
                    return;
                }
                self.pending = None;
                let lapsed = self.right_until <= self.now;
                match outcome {
                    Outcome::Stored(_) => {
                        self.seen = self.seen.max(sent.ceiling);
                        self.ceiling = self.ceiling.max(sent.ceiling);
                        self.right_until = self.right_until.max(self.right(sent.at));
                    }
                    Outcome::Held => self.right_until = self.right_until.max(self.right(sent.at)),
                    Outcome::Lost => return self.lost(),
                    Outcome::Conflict | Outcome::Unknown => self.renew_at = soon,
                }
                self.out.push(Output::RightUntil(self.right_until));
                if lapsed && self.right_until > self.now {
                    self.pass_time();
                    for stream in std::mem::take(&mut self.closed) {
                        if let Ok(elections) = self.active() {
                            elections.stream_closed(stream);
                        }
                    }
                }
            }
        }
    }

    fn lost(&mut self) {
        let Role::Active(elections) = &self.role else { return };
        self.out.push(Output::TenureEnded { tenure: elections.tenure, why: TenureEnd::Lost });
        self.closed.clear();
        self.read();
    }

    fn wanted(&self, elections: &Elections) -> Ceiling {
        Ceiling(elections.next + HEADROOM).max(self.ceiling)
    }

    fn renew(&mut self) {
        let write = self.next_write();
        let Role::Active(elections) = &self.role else { return };
        let sent = Sent { write, at: self.now, ceiling: self.wanted(elections) };
        let record = lawful(self.record(elections.tenure, sent.ceiling, self.now.since(elections.began)));
        self.pending = Some(sent);
        self.renew_at = self.now + self.config.renew_interval;
        self.out.push(Output::Write { write, over: Over::Anything, record: Box::new(record) });
    }

    fn shutdown(&mut self) {
        let last = self.next_write();
        match std::mem::replace(&mut self.role, Role::Stopped) {
            Role::Active(mut elections) => {
                let settled = elections.settles.is_none();
                // While the right has lapsed observers aren't told anything.
                let tells = settled && self.right_until > self.now;
                if tells {
                    elections.vacate();
                }
                self.out.append(&mut elections.out);
                // It may have looked at the time last when its right lapsed.
                elections.now = self.now;
                let ended = self.now.since(elections.began);
                let record = Box::new(lawful(RecordParts {
                    ended_at: Some(ended),
                    handover: settled.then(|| elections.hand_over()),
                    last_revision: tells.then(|| elections.told.unwrap_or(Revision(elections.tenure.0))),
                    ..self.record(elections.tenure, self.wanted(&elections), ended)
                }));
                self.out.push(Output::TenureEnded { tenure: elections.tenure, why: TenureEnd::Shutdown });
                let before = self.pending.map(|sent| sent.write);
                if before.is_none() {
                    self.out.push(Output::Write { write: last, over: Over::Anything, record: record.clone() });
                }
                self.role = Role::Stopping(before, last, record);
            }
            role @ Role::Stopping(..) => self.role = role,
            _ => self.out.push(Output::Stopped),
        }
    }
}

/// Whatever the core writes, the model writes as well: so each record of the core passes the door.
fn lawful(parts: RecordParts) -> Record {
    Record::from_parts(parts).expect("records are lawful")
}
