//! What a state of the model consists of. Time is a few ticks; a timer counts down to 0.

use crate::world::Faults;

/// A time or a timer, in ticks.
pub type Ticks = u8;
/// A number of the one line: tenure, enrolment, fencing token.
pub type Number = u8;

/// Everything, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// How many ticks have passed.
    pub tick: Ticks,
    /// The Lease, if there is one.
    pub lease: Option<Lease>,
    /// A copy of the Lease that somebody keeps.
    pub backup: Option<Lease>,
    /// The Lease was restored, and no tenure has begun since.
    pub restored: bool,
    /// Writes on their way to the API server, and answers on their way back.
    pub writes: Vec<Write>,
    /// The replicas.
    pub replicas: [Replica; 2],
    /// The workers, candidates of one election.
    pub workers: [Worker; 2],
    /// The faults and calls that can still happen.
    pub left: Faults,
    /// What nobody in the system knows.
    pub truth: Truth,
    /// What the last step did, if it is worth telling.
    pub last: Option<Event>,
}

/// The Lease. Versions are not numbers here: whoever read it knows whether it has changed since
/// (`fresh`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Who holds it.
    pub holder: Option<u8>,
    /// For how long.
    pub duration: Ticks,
    /// Our annotations.
    pub notes: Option<Notes>,
}

/// The annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Notes {
    /// The tenure that wrote them.
    pub tenure: Number,
    /// No number handed out has reached this.
    pub ceiling: Number,
    /// How far into the tenure the write was sent.
    pub renewed_at: Ticks,
    /// The duration that the tenure goes by.
    pub duration: Ticks,
    /// The longest TTL that any candidacy may have.
    pub longest_ttl: Ticks,
    /// Tells claims apart. 0 where writes are done at once, and once it is renewed.
    pub mark: u8,
    /// The tenure ended in good order.
    pub released: Option<Release>,
}

/// An orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Release {
    /// How far the tenure got.
    pub ended_at: Ticks,
    /// It names the last number: a mirror that has reached it has everything.
    pub complete: bool,
}

/// A write of the Lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Who sent it.
    pub owner: u8,
    /// What for.
    pub kind: Kind,
    /// What is to stand there.
    pub lease: Lease,
    /// Before it is applied: the Lease is as its sender last read it. After: it is as this write
    /// left it.
    pub fresh: bool,
    /// How long ago it was sent.
    pub sent: Ticks,
    /// Its sender still waits for the answer.
    pub awaited: bool,
    /// Whether it succeeded, once it has arrived.
    pub done: Option<bool>,
}

/// What a write is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// To begin a tenure.
    Claim(Box<Claim>),
    /// To go on with one.
    Renew,
    /// To end one.
    Release,
}

/// What a tenure will start from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Its first number.
    pub tenure: Number,
    /// Its mark.
    pub mark: u8,
    /// For how long it grants nothing.
    pub wait: Ticks,
    /// What is known of the one before.
    pub former: Option<Former>,
    /// The longest TTL from now on.
    pub longest_ttl: Ticks,
    /// What the mirror knew.
    pub carried: Vec<Candidacy>,
}

/// What is known of the tenure before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Former {
    /// Its first number.
    pub tenure: Number,
    /// By then its right had ended.
    pub right_ended: Ticks,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// What it does.
    pub role: Role,
    /// What it has seen of the Lease.
    pub memory: Memory,
    /// What it knows of the active replica's state.
    pub mirror: Option<Mirror>,
}

/// What a process does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nothing: it is down.
    Down,
    /// It waits for its chance.
    Standby(Standby),
    /// It serves.
    Active(Active),
    /// It has stopped serving and writes its release.
    Stopping(Notes),
}

/// What a process has seen since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The highest tenure.
    pub tenure: Number,
    /// How far into it that had been renewed.
    pub renewed_at: Ticks,
    /// The highest ceiling.
    pub ceiling: Number,
    /// The longest duration.
    pub duration: Ticks,
    /// What it first saw of that tenure. Only without the rule that forbids to remember it.
    pub first: Option<Notes>,
}

/// A copy of the active replica's candidacies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mirror {
    /// The tenure it is of.
    pub tenure: Number,
    /// Nothing has changed since.
    pub current: bool,
    /// The copy.
    pub candidacies: Vec<Candidacy>,
}

/// A replica that isn't active.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standby {
    /// The Lease as last seen.
    pub view: Option<Lease>,
    /// It hasn't changed since.
    pub fresh: bool,
    /// Until then the Lease counts as held.
    pub quiet: Ticks,
    /// A tenure that it has seen held, and for how long that counts.
    pub held: Option<(Number, Ticks)>,
    /// A claim whose answer never came, and how long ago it was sent.
    pub lost: Option<(Box<Claim>, Ticks)>,
}

/// A replica with a tenure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Active {
    /// Its first number.
    pub tenure: Number,
    /// How long ago it began.
    pub age: Ticks,
    /// How long the right lasts.
    pub right: Ticks,
    /// How long nothing is granted.
    pub wait: Ticks,
    /// The next number.
    pub next: Number,
    /// No number may reach this.
    pub ceiling: Number,
    /// The longest TTL.
    pub longest_ttl: Ticks,
    /// What is known of the tenure before.
    pub former: Option<Former>,
    /// It has sent a renewal in this tick.
    pub renewed: bool,
    /// The Lease is as it left it.
    pub fresh: bool,
    /// It has written its release, though it serves. Only without the rule of the order.
    pub leaving: bool,
    /// Its candidacies, by enrolment.
    pub candidacies: Vec<Candidacy>,
    /// What ended inside the wait, a bit each.
    pub ended: u64,
    /// Whose leader's ticket was too old, and the tenure of the latest such ticket, by enrolment.
    pub refused: Vec<(Number, Number)>,
}

/// A candidacy as a replica knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidacy {
    /// Whose.
    pub worker: u8,
    /// Its enrolment: its name and its place.
    pub id: Number,
    /// Until then it lives.
    pub timer: Ticks,
    /// When a KeepAlive was last accepted: the tenure, and when in it.
    pub accepted: (Number, Ticks),
    /// Waiting, leading, draining.
    pub part: Part,
    /// How it came here.
    pub origin: Origin,
}

/// What a candidacy is to its election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// It stands in the queue.
    Waiting,
    /// It has the grant with this token.
    Leading(Number),
    /// It has it, and was told to hand over.
    Draining(Number),
}

/// How a candidacy came to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// By Campaign.
    Entered,
    /// By a ticket.
    Ticket,
    /// By a ticket in a KeepAlive that the network held up: its worker may have resigned since.
    Ghost,
    /// By the mirror.
    Mirror,
}

/// A ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The candidacy.
    pub id: Number,
    /// Its token, if it led.
    pub token: Option<Number>,
    /// When a KeepAlive was last accepted: the tenure, and when in it.
    pub accepted: (Number, Ticks),
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// The highest tenure that it has heard of.
    pub tenure: Number,
    /// Its candidacy. None from the moment it sends Resign, and once it was told of the end.
    pub own: Option<Own>,
    /// A KeepAlive on its way.
    pub held: Option<Call>,
    /// An answer or an event on its way.
    pub news: Option<News>,
}

/// A candidacy as its worker knows it, but for `granted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Own {
    /// Its enrolment.
    pub id: Number,
    /// The latest ticket.
    pub ticket: Ticket,
    /// The worker's own deadline.
    pub timer: Ticks,
    /// It has sent a KeepAlive in this tick.
    pub kept: bool,
    /// The grant, from the moment it was made: token and tenure.
    pub granted: Option<(Number, Number)>,
}

/// A KeepAlive on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// What it carries.
    pub ticket: Ticket,
    /// How long ago it was sent.
    pub sent: Ticks,
    /// The standby that holds it, and the tenure that it knew; none: the network does.
    pub at: Option<(u8, Number)>,
}

/// An answer to a KeepAlive, or an Elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct News {
    /// The tenure that speaks.
    pub tenure: Number,
    /// The candidacy.
    pub id: Number,
    /// What it is, and its ticket. None: it has ended.
    pub part: Option<(Part, Ticket)>,
    /// How long ago the KeepAlive was sent that was accepted.
    pub accepted: Option<Ticks>,
    /// It answers a leader's ticket, or is an Elected. Told apart only where workers look at it.
    pub to_leader: bool,
}

/// What nobody in the system knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// The highest tenure so far.
    pub tenure: Number,
    /// The highest ceiling ever stored: a clock that is right is ahead of it.
    pub ceiling: Number,
    /// Claims so far, where writes take time.
    pub claims: u8,
    /// The highest token granted.
    pub token: Number,
    /// What workers resigned from with an answer, or know to be over: a bit each.
    pub over: u64,
    /// What ended because its own leader's ticket came late: its worker may think that it waits.
    pub ended_by_own: u64,
    /// The first promise that was broken in a step.
    pub broken: Option<Broken>,
}

/// A promise that a single step breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// A token isn't higher than all before.
    Tokens,
    /// Granted to a candidacy that is over.
    Phantom,
    /// Granted past one that stands before it.
    Fifo,
    /// A leader that the last tenure heard isn't put back.
    Continuity,
}

/// What a step did that is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A leader was put back by its ticket.
    LeaderPutBack,
    /// A waiter turned out to be the leader.
    Promoted,
    /// A leader's ticket ended the waiter that it couldn't promote.
    LeaderEnded,
    /// A leader's ticket failed the rule of recency.
    TooOld,
    /// Of two leaders' tickets one lost.
    Overtaken,
    /// A tenure began with all that its mirror knew, and doesn't wait.
    HandedOver,
    /// A release was acted on at once.
    ReleaseTaken,
    /// A tenure began on a Lease older than one seen.
    RestoreDetected,
    /// The holder wrote over a Lease that had lost its holder or its annotations, or was gone.
    Repaired,
    /// A claim was found whose answer had been lost.
    ClaimFound,
    /// A grant right after a wait.
    GrantedAfterWait,
    /// A call was refused that belongs to another tenure.
    OtherTenure,
}

impl State {
    /// Whether a worker's candidacy lies between its grant and its own deadline.
    #[must_use]
    pub fn leads(&self, worker: usize) -> bool {
        self.workers[worker].own.is_some_and(|own| own.granted.is_some() && own.timer > 0)
    }
}

impl Candidacy {
    /// The token, if it has the grant.
    #[must_use]
    pub fn token(&self) -> Option<Number> {
        match self.part {
            Part::Waiting => None,
            Part::Leading(token) | Part::Draining(token) => Some(token),
        }
    }

    /// What its worker is given.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket { id: self.id, token: self.token(), accepted: self.accepted }
    }
}
