//! The replica: which role it has, and who gets to handle an input.

mod claim;
mod hold;
mod stand_by;
mod stop;

use crate::elections::{Elections, Turn};
use crate::mirror::Mirror;
use crate::number::{AHEAD_WHEN_LOST, NUMBER_LIMIT};
use crate::output;
use crate::sight::Sight;
use crate::tenure::{Active, Claim, right};
use crate::{
    Ask, Config, Content, Found, Holder, Input, Lease, Millis, Output, Over, Record, Reject, Reply, Status, Store,
    StreamId, Tenure, TenureEnd, Ticket, Time, WriteId,
};
use claim::Unused;
use stand_by::Standby;
use std::collections::VecDeque;
use std::sync::Arc;
use stop::Releasing;

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
    /// No tenure that this process has claimed is as high as this, with a Lease: what was claimed may still be on its way there.
    unclaimed: u64,
    /// The longest TTL that this process knows of: a leader with that one may be out there, whatever the record says by now.
    longest_ttl: Millis,
    /// A claim whose tenure never began, though it may be stored.
    unused: Option<Unused>,
    /// What was seen of the Lease.
    sight: Sight,
    /// What the clock vouched for, and when.
    clock_floor: (u64, Time),
    /// What is known of the active replica's candidacies.
    mirror: Mirror,
    /// Who mirrors this replica.
    mirrors: usize,
    followed: Option<output::Active>,
    /// The process is to end as soon as it is known how its claim went.
    stops: bool,
    now: Time,
}

#[derive(Debug)]
enum Role {
    /// Waits for what stands in the file.
    Reading,
    /// Reads the file again then: the last claim failed.
    Paused {
        until: Time,
    },
    /// Watches the Lease until it may be taken over.
    Standby(Standby),
    /// Waits for the first write of its tenure.
    Claiming(Box<Claim>),
    Active(Box<Active>),
    /// Waits for a write to the file that is under way, then for its last one.
    Stopping {
        before: Option<WriteId>,
        last: WriteId,
        record: Option<Box<Record>>,
    },
    /// Writes its last words into the Lease.
    Releasing(Box<Releasing>),
    Stopped,
}

impl Replica {
    /// A replica that begins by reading the record. `config` must be [valid](Config::validate).
    #[must_use]
    pub fn new(config: Config) -> Self {
        let elections = Elections::new(&config);
        let longest_ttl = config.max_ttl;
        let (role, me) = match &config.store {
            Store::File => (Role::Reading, Holder(String::new())),
            Store::Lease { me, .. } => (Role::Standby(Standby::reading()), me.clone()),
        };
        Self {
            role,
            elections,
            out: VecDeque::from([Output::Read]),
            writes: 0,
            seen: 0,
            unclaimed: 0,
            longest_ttl,
            unused: None,
            sight: Sight::new(me, config.duration),
            clock_floor: (0, Time(0)),
            mirror: Mirror::default(),
            mirrors: 0,
            followed: None,
            stops: false,
            now: Time(0),
            config,
        }
    }

    /// Something happened at `now`. Time that seems to go back stands still.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = now.max(self.now);
        self.pass_time();
        self.dispatch(input);
        self.renew_if_numbers_run_low();
        self.tell_mirrors();
        self.follow();
    }

    fn dispatch(&mut self, input: Input) {
        self.step_above(input.tickets());
        match input {
            Input::Tick => {}
            Input::Found { found, clock_floor } => self.found(found, clock_floor),
            Input::NotFound => self.not_found(),
            Input::Watched { lease, clock_floor } => self.watched(lease, clock_floor),
            Input::Written { write, outcome } => self.written(write, outcome),
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
            Input::Forwarded { tenure, input } => self.forwarded(tenure, *input),
            Input::MirrorOpened => self.open_mirror(),
            Input::MirrorClosed => self.mirrors = self.mirrors.saturating_sub(1),
            Input::MirrorSnapshot(snapshot) => {
                self.mirror.replace(snapshot);
                self.take_over_if_due();
            }
            Input::MirrorChanged(batch) => {
                self.mirror.apply(batch);
                self.take_over_if_due();
            }
        }
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
                let own = active.next_deadline(self.now, self.may_lapse());
                // While the right has lapsed nobody's time runs out.
                let theirs = self.elections.next_deadline().filter(|_| !active.lapsed(self.now));
                own.into_iter().chain(theirs).min()
            }
            Role::Paused { until } => Some(*until),
            Role::Standby(standby) => self.standby_deadline(standby),
            Role::Releasing(releasing) => releasing.next_deadline(),
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
                let lapsed = active.lapsed(self.now);
                assert!(!lapsed || self.may_lapse(), "active past its right");
                assert!(lapsed || active.closed.is_empty(), "closed streams are forgotten");
                assert!(active.pending.is_none() || !active.reading, "a read and a write at once");
                assert!(self.mirrors == 0 || !self.elections.has_news(), "mirrors weren't told");
                self.elections.check(active, self.now, lapsed);
            }
            _ => assert!(self.elections.is_empty(), "elections without a tenure"),
        }
    }

    fn pass_time(&mut self) {
        let now = self.now;
        match &mut self.role {
            Role::Active(active) if active.lapsed(now) => match self.config.store {
                Store::Lease { .. } => self.end_tenure(TenureEnd::RightEnded),
                Store::File => self.renew_if_due(),
            },
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
                self.renew_if_due();
            }
            Role::Paused { until } if *until <= now => self.read(),
            Role::Standby(_) => self.take_over_if_due(),
            Role::Releasing(_) => self.release_again(),
            _ => {}
        }
    }

    /// The elections and what they need, if this replica may act as active.
    fn turn(&mut self) -> Result<(&mut Elections, Turn<'_>), Reject> {
        match &mut self.role {
            Role::Active(active) if active.lapsed(self.now) => Err(Reject::NotActive),
            Role::Active(active) => {
                let turn = Turn { now: self.now, config: &self.config, active, out: &mut self.out };
                Ok((&mut self.elections, turn))
            }
            Role::Stopping { .. } | Role::Releasing(_) | Role::Stopped => Err(Reject::ShuttingDown),
            Role::Reading | Role::Paused { .. } | Role::Standby(_) | Role::Claiming(_) => Err(Reject::NotActive),
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<Reply, Reject> {
        match (self.turn(), ask) {
            (_, Ask::Status) => Ok(Reply::Status(Box::new(self.status()))),
            (Ok((elections, mut turn)), ask) => elections.answer(&mut turn, ask),
            (Err(why), _) => Err(why),
        }
    }

    /// A call belongs to a tenure: one that a standby held up must not do in the next tenure what its sender meant for this one.
    fn forwarded(&mut self, tenure: Tenure, input: Input) {
        if self.tenure() == Some(tenure) {
            return self.dispatch(input);
        }
        let why = match self.turn() {
            Ok(_) => Reject::OtherTenure,
            Err(why) => why,
        };
        match input {
            Input::Campaign { stream, .. } | Input::Reopen { stream, .. } => {
                self.out.push_back(Output::Close { stream, why: Some(why) });
            }
            Input::Call { call, .. } => self.out.push_back(Output::Reply { call, reply: Err(why) }),
            _ => {}
        }
    }

    /// What this replica is and holds, as of the last [`handle`](Self::handle).
    #[must_use]
    pub fn status(&mut self) -> Status {
        let mirrored = self.mirror.len();
        self.turn().map_or_else(
            |_| Status { mirrored, ..Status::default() },
            |(elections, turn)| Status { mirrored, ..elections.status(&turn) },
        )
    }

    fn stream_closed(&mut self, stream: StreamId) {
        match self.turn() {
            Ok((elections, mut turn)) => elections.stream_closed(&mut turn, stream),
            // What that ends, ends when the right is back: somebody else may have to be granted then.
            Err(_) => {
                if let Role::Active(active) = &mut self.role {
                    active.closed.push(stream);
                }
            }
        }
    }

    fn open_mirror(&mut self) {
        self.tell_mirrors();
        if let Role::Active(active) = &self.role {
            self.mirrors += 1;
            self.out.push_back(Output::MirrorSnapshot(Box::new(self.elections.snapshot(active))));
        }
    }

    fn tell_mirrors(&mut self) {
        if !self.elections.has_news() {
            return;
        }
        match &self.role {
            Role::Active(active) if self.mirrors > 0 => {
                let batch = self.elections.take_news(active);
                self.out.push_back(Output::MirrorChanged(Arc::new(batch)));
            }
            _ => self.elections.forget_news(),
        }
    }

    /// Says whom to forward to, when that has changed.
    fn follow(&mut self) {
        let active = match &self.role {
            // Gone or stripped, the Lease says nothing of who is active: whoever was repairs it.
            Role::Standby(_) if self.sight.says_nothing() => return,
            Role::Standby(_) => self.sight.active(),
            _ => None,
        };
        let same = match (&self.followed, active) {
            (Some(followed), Some((tenure, address))) => followed.tenure == tenure && followed.address == *address,
            (followed, active) => followed.is_none() && active.is_none(),
        };
        if !same {
            self.followed = active.map(|(tenure, address)| output::Active { tenure, address: address.clone() });
            self.out.push_back(Output::Follow(self.followed.clone()));
        }
    }

    /// A ticket has numbers that this tenure can't have handed out, and that none before it has: the
    /// record was lost, or an older one was put back, and this tenure began too low. Workers that have
    /// seen higher numbers don't listen to it, and resources refuse its tokens. It ends, and the next
    /// one begins above all that can have been handed out. Only this service's keys can seal a ticket.
    fn step_above(&mut self, tickets: &[Ticket]) {
        let Role::Active(active) = &self.role else { return };
        if active.lapsed(self.now) {
            return;
        }
        let (tenure, last) = (active.tenure, active.line.last());
        let beyond = |ticket: &&Ticket| {
            let limit = if ticket.issued == tenure { last } else { tenure.0 - 1 };
            ticket.highest() > limit
        };
        let Some(highest) = tickets.iter().filter(beyond).map(Ticket::highest).max() else { return };
        // The same ticket may be shown after another restore: that tenure is to have a number of its own.
        let odd = self.clock_floor_now() % AHEAD_WHEN_LOST;
        self.seen = self.seen.max(highest.saturating_add(AHEAD_WHEN_LOST + odd).min(NUMBER_LIMIT));
        self.end_tenure(TenureEnd::Behind);
    }

    /// Whether the right may lapse and come back. A file is locked: while this process has the lock, nobody else can have begun a tenure,
    /// and whoever comes next is told how long this one can have lasted.
    fn may_lapse(&self) -> bool {
        matches!(self.config.store, Store::File)
    }

    fn end_tenure(&mut self, why: TenureEnd) {
        let Role::Active(active) = &self.role else { return };
        self.out.push_back(Output::TenureEnded { tenure: active.tenure, why });
        self.elections = Elections::new(&self.config);
        self.mirrors = 0;
        if why == TenureEnd::Shutdown {
            return;
        }
        match self.config.store {
            Store::File => self.read(),
            // A read or a write may be under way: what comes of it is looked at like anything else.
            Store::Lease { .. } => {
                self.stand_by();
                self.must_read();
            }
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

    fn write(&mut self, write: WriteId, over: Over, record: Record) {
        self.out.push_back(Output::Write { write, over, record: Some(Box::new(record)) });
    }

    /// The tenure, while the replica is active.
    #[must_use]
    pub fn tenure(&self) -> Option<Tenure> {
        if let Role::Active(active) = &self.role { Some(active.tenure) } else { None }
    }

    /// What was found says how high numbers have got, and how long TTLs.
    fn learn(&mut self, record: &Record) {
        self.seen = self.seen.max(record.ceiling);
        self.longest_ttl = self.longest_ttl.max(record.longest_ttl);
    }

    fn see(&mut self, lease: Option<Lease>) {
        if let Some(signed) = lease.as_ref().and_then(|lease| lease.content.signed.as_ref()) {
            let record = signed.record.clone();
            self.learn(&record);
        }
        if let Some(newer) = lease.as_ref().and_then(|lease| lease.content.newer.as_ref()) {
            self.seen = self.seen.max(newer.ceiling);
        }
        if let Some(lease) = lease.as_ref().filter(|lease| self.holds(&lease.content)) {
            self.sight.owns(lease.version.clone());
        }
        self.sight.see(lease, self.now);
    }

    /// Whether these are words of this replica's whose right lasts.
    fn holds(&self, content: &Content) -> bool {
        let Some(signed) = content.held().filter(|signed| self.sight.is_me(&signed.by)) else { return false };
        match &self.role {
            Role::Active(active) => signed.record.tenure == active.tenure,
            Role::Claiming(claim) => {
                signed.record.tenure == claim.tenure && right(&self.config, claim.pending.sent) > self.now
            }
            _ => false,
        }
    }

    fn found(&mut self, found: Found, clock_floor: u64) {
        self.clock_floor = (clock_floor, self.now);
        match found {
            Found::Lease(lease) => self.found_lease(lease),
            found if matches!(self.role, Role::Reading) => self.claim_file(found),
            _ => {}
        }
    }
}
