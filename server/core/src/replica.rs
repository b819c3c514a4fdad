//! The replica: which role it has, and who gets to handle an input.

use crate::elections::{Elections, Turn};
use crate::tenure::{Active, Claim, right};
use crate::{
    Ask, Config, Found, Input, Millis, Output, Record, Reject, Reply, Status, StreamId, Tenure, TenureEnd, Time,
    WriteId,
};
use std::collections::VecDeque;

/// One `leasehold-server` process as a state machine.
#[derive(Debug)]
pub struct Replica {
    config: Config,
    role: Role,
    elections: Elections,
    out: VecDeque<Output>,
    writes: u64,
    /// The highest ceiling that this process has seen stored, by itself or by another.
    seen: u64,
    /// The longest TTL that this process knows of: a leader with that one may be out there, whatever the record says by now.
    longest_ttl: Millis,
    /// A claim whose tenure never began, though it may be stored: what it wrote, what it had found, and the highest ceiling that
    /// had been seen then.
    unused: Option<(Record, Found, u64)>,
    now: Time,
}

#[derive(Debug)]
enum Role {
    /// Waits for what stands in the store.
    Reading,
    /// Reads again then: the last claim failed.
    Paused {
        until: Time,
    },
    /// Waits for the first write of its tenure.
    Claiming(Box<Claim>),
    Active(Box<Active>),
    /// Waits for a write that is under way, then for its last one.
    Stopping {
        before: Option<WriteId>,
        last: WriteId,
        record: Option<Box<Record>>,
    },
    Stopped,
}

impl Replica {
    /// A replica that begins by reading the record. `config` must be [valid](Config::validate).
    #[must_use]
    pub fn new(config: Config) -> Self {
        let elections = Elections::new(config.limits.remembered_ends);
        let out = VecDeque::from([Output::Read]);
        let longest_ttl = config.max_ttl;
        Self {
            config,
            role: Role::Reading,
            elections,
            out,
            writes: 0,
            seen: 0,
            longest_ttl,
            unused: None,
            now: Time(0),
        }
    }

    /// Something happened at `now`. Time that seems to go back stands still.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = now.max(self.now);
        self.pass_time();
        match input {
            Input::Tick => {}
            Input::Found { found, clock_floor } => {
                if matches!(self.role, Role::Reading) {
                    self.found(found, clock_floor);
                }
            }
            Input::Written { write, ok } => self.written(write, ok),
            Input::Shutdown => self.shutdown(),
            Input::Campaign { stream, entry } => match self.turn() {
                Ok((elections, mut turn)) => {
                    if let Err(why) = elections.campaign(&mut turn, stream, entry) {
                        self.out.push_back(Output::Close { stream, why: Some(why) });
                    }
                }
                Err(why) => self.out.push_back(Output::Close { stream, why: Some(why) }),
            },
            Input::Reopen { stream, ticket } => match self.turn() {
                Ok((elections, mut turn)) => elections.reopen(&mut turn, stream, &ticket),
                Err(why) => self.out.push_back(Output::Close { stream, why: Some(why) }),
            },
            Input::StreamClosed { stream } => self.stream_closed(stream),
            Input::Call { call, ask } => {
                let reply = self.answer(ask);
                self.out.push_back(Output::Reply { call, reply });
            }
        }
        self.renew_if_numbers_run_low();
    }

    /// The next thing to do or to tell, if there is one.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`handle`](Self::handle) again at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        match &self.role {
            Role::Active(active) => {
                let own = active.next_deadline();
                Some(self.elections.next_deadline().map_or(own, |at| own.min(at)))
            }
            Role::Paused { until } => Some(*until),
            Role::Reading | Role::Claiming(_) | Role::Stopping { .. } | Role::Stopped => None,
        }
    }

    /// Panics if an invariant is broken. For tests and simulations: it looks at everything.
    ///
    /// # Panics
    /// When state that must agree doesn't.
    pub fn check(&self) {
        match &self.role {
            Role::Active(active) => {
                assert!(active.line.last() >= active.tenure.0);
                assert!(self.now < active.right_until, "active past its right");
                self.elections.check(active, self.now);
            }
            _ => assert!(self.elections.is_empty(), "elections without a tenure"),
        }
    }

    fn pass_time(&mut self) {
        let now = self.now;
        match &mut self.role {
            Role::Active(active) if active.right_until <= now => self.end_tenure(TenureEnd::RightEnded),
            Role::Active(active) => {
                let settles = active.settles_at.is_some_and(|at| at <= now);
                if settles {
                    active.settles_at = None;
                }
                if let Ok((elections, mut turn)) = self.turn() {
                    elections.expire(&mut turn);
                    if settles {
                        turn.out.push_back(Output::Settled);
                        elections.grant_all(&mut turn);
                    }
                }
                if let Role::Active(active) = &self.role
                    && active.pending.is_none()
                    && active.renew_at <= now
                {
                    self.renew();
                }
            }
            Role::Paused { until } if *until <= now => self.read(),
            _ => {}
        }
    }

    /// The elections and what they need, if this replica may act as active.
    fn turn(&mut self) -> Result<(&mut Elections, Turn<'_>), Reject> {
        match &mut self.role {
            Role::Active(active) => {
                let turn = Turn { now: self.now, config: &self.config, active, out: &mut self.out };
                Ok((&mut self.elections, turn))
            }
            Role::Stopping { .. } | Role::Stopped => Err(Reject::ShuttingDown),
            Role::Reading | Role::Paused { .. } | Role::Claiming(_) => Err(Reject::NotActive),
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<Reply, Reject> {
        match (self.turn(), ask) {
            (Ok((elections, mut turn)), ask) => elections.answer(&mut turn, ask),
            (Err(_), Ask::Status) => Ok(Reply::Status(Box::default())),
            (Err(why), _) => Err(why),
        }
    }

    /// What this replica is and holds, as of the last [`handle`](Self::handle).
    #[must_use]
    pub fn status(&mut self) -> Status {
        self.turn().map_or_else(|_| Status::default(), |(elections, turn)| elections.status(&turn))
    }

    fn stream_closed(&mut self, stream: StreamId) {
        if let Ok((elections, mut turn)) = self.turn() {
            elections.stream_closed(&mut turn, stream);
        }
    }

    /// Claims the next tenure on what was found. A claim of this process that was stored too late handed out nothing: what it had
    /// replaced still counts, or a slow disk would cost every leader its place.
    fn found(&mut self, found: Found, clock_floor: u64) {
        if let Found::Record(record) = &found {
            self.seen = self.seen.max(record.ceiling);
            self.longest_ttl = self.longest_ttl.max(record.longest_ttl);
        }
        let found = match (found, self.unused.take()) {
            (Found::Record(record), Some((claim, before, seen_before))) if record == claim => match before {
                // One that was restored in another's place says as little as it did then.
                Found::Record(before) if before.ceiling >= seen_before => {
                    Found::Record(Record { ceiling: record.ceiling, ..before })
                }
                before => before,
            },
            (found, _) => found,
        };
        let write = self.next_write();
        let claim = Claim::new(self.longest_ttl, found.clone(), clock_floor, self.seen, write, self.now);
        let record = claim.record(&self.config);
        self.unused = Some((record.clone(), found, self.seen));
        self.write(write, record);
        self.role = Role::Claiming(Box::new(claim));
    }

    fn written(&mut self, write: WriteId, ok: bool) {
        let now = self.now;
        match &mut self.role {
            Role::Claiming(claim) if claim.pending.write == write => {
                if ok {
                    self.seen = self.seen.max(claim.pending.ceiling);
                }
                if ok && right(&self.config, claim.pending.sent) > now {
                    self.begin();
                } else {
                    self.role = Role::Paused { until: now + Millis(self.config.renew_interval.0 / 5) };
                }
            }
            Role::Active(active) => {
                if let Some(pending) = active.pending.filter(|pending| pending.write == write) {
                    if ok {
                        self.seen = self.seen.max(pending.ceiling);
                    }
                    active.renewed(&self.config, pending, ok, now);
                    self.out.push_back(Output::RightUntil(active.right_until));
                }
            }
            Role::Stopping { before, last, record } => {
                if *before == Some(write) {
                    *before = None;
                    if let Some(record) = record.take() {
                        self.out.push_back(Output::Write { write: *last, record });
                    }
                } else if *last == write {
                    self.role = Role::Stopped;
                    self.out.push_back(Output::Stopped);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self) {
        let role = std::mem::replace(&mut self.role, Role::Reading);
        let Role::Claiming(mut claim) = role else { unreachable!("only a claim begins a tenure") };
        self.unused = None;
        let carried = std::mem::take(&mut claim.carried);
        let active = Active::new(&self.config, &claim);
        let (tenure, began, settles_in) = (active.tenure, active.began, active.settling(self.now));
        self.out.push_back(Output::RightUntil(active.right_until));
        self.out.push_back(Output::TenureBegan { tenure, began, settles_in });
        self.role = Role::Active(Box::new(active));
        if let Ok((elections, mut turn)) = self.turn() {
            elections.take_over(&mut turn, carried);
        }
        self.pass_time();
    }

    fn end_tenure(&mut self, why: TenureEnd) {
        let Role::Active(active) = &self.role else { return };
        self.out.push_back(Output::TenureEnded { tenure: active.tenure, why });
        self.elections = Elections::new(self.config.limits.remembered_ends);
        if why == TenureEnd::RightEnded {
            self.read();
        }
    }

    fn shutdown(&mut self) {
        let last = self.next_write();
        match &self.role {
            Role::Active(active) => {
                let before = active.pending.map(|pending| pending.write);
                // What a tenure inside its wait knows isn't all there is: the next one has to wait as well.
                let handover = active.settles_at.is_none().then(|| self.elections.hand_over(active, self.now));
                let record = Box::new(active.release(&self.config, handover, self.now));
                self.end_tenure(TenureEnd::Shutdown);
                if before.is_none() {
                    self.out.push_back(Output::Write { write: last, record });
                    self.role = Role::Stopping { before, last, record: None };
                } else {
                    self.role = Role::Stopping { before, last, record: Some(record) };
                }
            }
            Role::Stopping { .. } => {}
            Role::Reading | Role::Paused { .. } | Role::Claiming(_) | Role::Stopped => {
                self.role = Role::Stopped;
                self.out.push_back(Output::Stopped);
            }
        }
    }

    fn renew_if_numbers_run_low(&mut self) {
        if let Role::Active(active) = &self.role
            && active.pending.is_none()
            && !active.failing
            && active.line.runs_low()
        {
            self.renew();
        }
    }

    fn renew(&mut self) {
        let write = self.next_write();
        if let Role::Active(active) = &mut self.role {
            let record = active.renew(&self.config, write, self.now);
            self.write(write, record);
        }
    }

    fn read(&mut self) {
        self.role = Role::Reading;
        self.out.push_back(Output::Read);
    }

    fn next_write(&mut self) -> WriteId {
        self.writes += 1;
        WriteId(self.writes)
    }

    fn write(&mut self, write: WriteId, record: Record) {
        self.out.push_back(Output::Write { write, record: Box::new(record) });
    }

    /// The tenure, while the replica is active.
    #[must_use]
    pub fn tenure(&self) -> Option<Tenure> {
        if let Role::Active(active) = &self.role { Some(active.tenure) } else { None }
    }
}
