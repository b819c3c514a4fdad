//! The replica: which role it has, and who gets to handle an input.
//!
//! Each role is a type in a file of its own. It is told [`News`], and says what comes [`Next`];
//! only this file knows all roles.

mod claim;
mod desk;
mod hold;
mod right;
mod sent;
mod shared;
mod stand_by;
mod stop;

use crate::elections::{Elections, Turn};
use crate::{
    Active, Ask, ClockFloor, Config, Input, Lease, Outcome, Output, Reject, Reply, Status, Tenure, Ticket, Time,
    WriteId,
};
use claim::Claiming;
use hold::Holding;
use shared::{News, Next, NextRole, Shared, Then};
use stand_by::Standby;
use stop::Releasing;

/// One `leasehold-server` process as a state machine.
#[derive(Debug)]
pub struct Replica {
    shared: Shared,
    role: Role,
    /// Whom calls are forwarded to, as the shell was told last.
    followed: Option<Active>,
}

#[derive(Debug)]
enum Role {
    Standby(Standby),
    Claiming(Claiming),
    Active(Box<Holding>),
    Releasing(Releasing),
    Stopped,
}

impl Replica {
    /// A replica that begins by reading the record. `config` must be [valid](Config::validate).
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut shared = Shared::new(config);
        let role = Role::Standby(Standby::new(&mut shared));
        Self { shared, role, followed: None }
    }

    /// Something happened at `now`. Time that seems to go back stands still.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.shared.now = now.max(self.shared.now);
        self.pass_time();
        self.dispatch(input);
        if let Role::Active(active) = &mut self.role {
            active.finish(&mut self.shared);
        }
        self.follow();
    }

    fn dispatch(&mut self, input: Input) {
        self.compare(input.tickets());
        match input {
            Input::Tick => {}
            Input::Found { found, clock_floor } => {
                self.shared.vouch(clock_floor);
                // A file is claimed over what was found, so only the answer that is waited for
                // counts.
                if self.shared.desk.read_answered() {
                    self.tell(News::Found(Box::new(found)));
                }
            }
            Input::FoundLease { lease, clock_floor } => {
                self.see(lease, clock_floor);
                self.shared.desk.read_answered();
                self.tell(News::Read);
            }
            Input::ReadFailed => {
                self.shared.desk.read_answered();
                self.tell(News::ReadFailed);
            }
            Input::Watched { lease, clock_floor } => {
                self.see(lease, clock_floor);
                self.tell(News::Watched);
            }
            Input::Written { write, outcome } => self.written(write, outcome),
            Input::Shutdown => self.tell(News::Shutdown),
            Input::Campaign { stream, entry } => match self.turn() {
                Ok((elections, mut turn)) => {
                    if let Err(why) = elections.campaign(&mut turn, stream, entry) {
                        turn.out.push_back(Output::Close { stream, why: Some(why) });
                    }
                }
                Err(why) => self.shared.out.push_back(Output::Close { stream, why: Some(why) }),
            },
            Input::Reopen { stream, ticket } => match self.turn() {
                Ok((elections, mut turn)) => elections.reopen(&mut turn, stream, &ticket),
                Err(why) => self.shared.out.push_back(Output::Close { stream, why: Some(why) }),
            },
            Input::StreamClosed { stream } => {
                if let Role::Active(active) = &mut self.role {
                    active.stream_closed(&mut self.shared, stream);
                }
            }
            Input::Call { call, ask } => {
                let reply = self.answer(ask);
                self.shared.out.push_back(Output::Reply { call, reply });
            }
            Input::Forwarded { tenure, input } => self.forwarded(tenure, *input),
            Input::MirrorOpened => {
                if let Role::Active(active) = &mut self.role {
                    active.open_mirror(&mut self.shared);
                }
            }
            Input::MirrorClosed => {
                if let Role::Active(active) = &mut self.role {
                    active.close_mirror();
                }
            }
            Input::MirrorSnapshot(snapshot) => {
                self.shared.mirror.replace(snapshot);
                self.tell(News::Mirrored);
            }
            Input::MirrorChanged(batch) => {
                self.shared.mirror.apply(batch);
                self.tell(News::Mirrored);
            }
        }
    }

    /// The next thing to do or to tell, if there is one.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.out.pop_front()
    }

    /// When to call [`handle`](Self::handle) again at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        match &self.role {
            Role::Standby(standby) => standby.next_deadline(&self.shared),
            Role::Active(active) => active.next_deadline(&self.shared),
            Role::Releasing(releasing) => releasing.next_deadline(&self.shared),
            Role::Claiming(_) | Role::Stopped => None,
        }
    }

    /// Panics if an invariant is broken. For tests and simulations: it looks at everything.
    ///
    /// # Panics
    /// When state that must agree doesn't.
    pub fn check(&self) {
        if let Role::Active(active) = &self.role {
            active.check(&self.shared);
        }
    }

    /// What this replica is and holds, as of the last [`handle`](Self::handle).
    #[must_use]
    pub fn status(&mut self) -> Status {
        let mirrored = self.shared.mirror.len();
        self.turn().map_or_else(
            |_| Status { mirrored, ..Status::default() },
            |(elections, turn)| Status { mirrored, ..elections.status(&turn) },
        )
    }

    /// The tenure, while the replica is active.
    #[must_use]
    pub fn tenure(&self) -> Option<Tenure> {
        if let Role::Active(active) = &self.role { Some(active.tenure()) } else { None }
    }

    fn pass_time(&mut self) {
        let next = match &mut self.role {
            Role::Standby(standby) => standby.pass_time(&mut self.shared),
            Role::Active(active) => active.pass_time(&mut self.shared),
            Role::Releasing(releasing) => releasing.pass_time(&mut self.shared),
            Role::Claiming(_) | Role::Stopped => Next::Stay,
        };
        self.go_on(next);
    }

    fn tell(&mut self, news: News) {
        let next = match &mut self.role {
            Role::Standby(standby) => standby.on(&mut self.shared, news),
            Role::Claiming(claiming) => claiming.on(&mut self.shared, news),
            Role::Active(active) => active.on(&mut self.shared, news),
            Role::Releasing(releasing) => releasing.on(&mut self.shared, news),
            Role::Stopped => Next::Stay,
        };
        self.go_on(next);
    }

    #[inline]
    fn go_on(&mut self, next: Next) {
        if let Next::Become(role) = next {
            self.change_role(*role);
        }
    }

    #[cold]
    fn change_role(&mut self, next: NextRole) {
        let shared = &mut self.shared;
        match next {
            NextRole::StandBy(since) => self.role = Role::Standby(Standby::since(shared, since)),
            NextRole::Claim(target, unused) => {
                self.role = Role::Claiming(Claiming::new(shared, target, unused.map(|unused| *unused)));
            }
            NextRole::Hold(sent, over, then) => {
                self.role = Role::Active(Box::new(Holding::new(shared, *sent, over)));
                // The claim was sent a while ago: the wait may be over, the renewal due.
                self.pass_time();
                if then == Then::Stop {
                    self.tell(News::Shutdown);
                }
            }
            NextRole::Release(record, over) => self.role = Role::Releasing(Releasing::new(shared, record, over)),
            NextRole::Stop => {
                self.role = Role::Stopped;
                shared.out.push_back(Output::Stopped);
            }
        }
    }

    fn written(&mut self, write: WriteId, outcome: Outcome) {
        if let Outcome::Stored(Some(version)) = &outcome {
            self.shared.sight.owns(version.clone());
        }
        if let Some(what) = self.shared.desk.written(write) {
            self.tell(News::Written(what, outcome));
        }
    }

    /// The Lease is seen.
    fn see(&mut self, lease: Option<Lease>, clock_floor: ClockFloor) {
        let holds = match &self.role {
            Role::Active(active) => Some(active.tenure()),
            Role::Claiming(claiming) => claiming.holds(self.shared.now),
            Role::Standby(_) | Role::Releasing(_) | Role::Stopped => None,
        };
        self.shared.vouch(clock_floor);
        self.shared.see(lease, holds);
    }

    /// The elections and what they need, if this replica may act as active.
    fn turn(&mut self) -> Result<(&mut Elections, Turn<'_>), Reject> {
        match &mut self.role {
            Role::Active(active) => active.turn(&mut self.shared),
            Role::Standby(_) | Role::Claiming(_) => Err(Reject::NotActive),
            Role::Releasing(_) | Role::Stopped => Err(Reject::ShuttingDown),
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<Reply, Reject> {
        match (self.turn(), ask) {
            (_, Ask::Status) => Ok(Reply::Status(Box::new(self.status()))),
            (Ok((elections, mut turn)), ask) => elections.answer(&mut turn, ask),
            (Err(why), _) => Err(why),
        }
    }

    /// A call belongs to the tenure that its sender knew. A standby may have held it up, and it
    /// mustn't do in the next tenure what was meant for this one.
    /// Rule `call-tenure`.
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
                self.shared.out.push_back(Output::Close { stream, why: Some(why) });
            }
            Input::Call { call, .. } => self.shared.out.push_back(Output::Reply { call, reply: Err(why) }),
            _ => {}
        }
    }

    /// Tickets may show that this tenure began too low.
    fn compare(&mut self, tickets: &[Ticket]) {
        if let Role::Active(active) = &mut self.role
            && let Some(beyond) = active.beyond(&self.shared, tickets)
        {
            let next = active.step_above(&mut self.shared, beyond);
            self.go_on(next);
        }
    }

    /// Says whom to forward to, when that has changed.
    fn follow(&mut self) {
        let active = match &self.role {
            // Gone or stripped, the Lease says nothing of who is active: that replica repairs it.
            Role::Standby(_) if self.shared.sight.says_nothing() => return,
            Role::Standby(_) => self.shared.sight.active(),
            _ => None,
        };
        let same = match (&self.followed, active) {
            (Some(followed), Some((tenure, address))) => followed.tenure == tenure && followed.address == *address,
            (followed, active) => followed.is_none() && active.is_none(),
        };
        if !same {
            self.followed = active.map(|(tenure, address)| Active { tenure, address: address.clone() });
            self.shared.out.push_back(Output::Follow(self.followed.clone()));
        }
    }
}
