//! The model: a world, the rules that hold in it, and what can happen next.

use crate::lease::{self, Meddling};
use crate::rules::{Rule, Rules};
use crate::state::{
    Active, Candidacy, Lease, Memory, Notes, Number, Origin, Own, Part, Replica, Role, State, Ticks, Truth, Worker,
};
use crate::time;
use crate::world::{Begin, World};
use crate::{elections, promises, replica, worker};
use stateright::{Model, Property};

/// The protocol in a world.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// The world.
    pub world: World,
    /// The rules.
    pub rules: Rules,
}

/// A step. Replicas and workers are named by 0 and 1, writes by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained where it is carried out")]
pub enum Action {
    Tick,
    Crash(usize),
    Start(usize),
    Skew(usize),
    Look(usize),
    MakeEmpty(usize),
    TakeOver(usize),
    Renew(usize),
    Wake(usize),
    Sync(usize),
    StepDown(usize),
    /// Shut down; whether the successor's mirror is brought up to date.
    Stop(usize, bool),
    Apply(usize),
    Answer(usize),
    LoseAnswer(usize),
    Meddle(Meddling),
    /// Worker, replica.
    Campaign(usize, usize),
    KeepAlive(usize, Way),
    Arrive(usize, usize),
    Hear(usize),
    Resign(usize, usize),
    LoseResign(usize),
}

/// How a KeepAlive travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To an active replica and back at once.
    Direct(usize),
    /// There at once; the answer comes late or never.
    LateAnswer(usize),
    /// A standby holds it up.
    Standby(usize),
    /// The network holds it up.
    Network,
}

impl Protocol {
    /// Whether a replica with a tenure acts on it.
    #[must_use]
    pub fn serves(&self, active: &Active) -> bool {
        active.right > 0 || !self.rules.has(Rule::RightEnds)
    }

    pub(crate) fn margin(&self) -> Ticks {
        if self.rules.has(Rule::DriftMargin) { self.world.margin } else { 0 }
    }

    pub(crate) fn drift(&self) -> Ticks {
        if self.rules.has(Rule::Drift) { self.world.drift } else { 0 }
    }

    /// How long a replica's right outlasts the send of a write.
    pub(crate) fn right(&self, r: usize) -> Ticks {
        self.world.duration[r] - self.margin()
    }

    /// What the holder writes.
    pub(crate) fn claim_of(&self, r: usize, tenure: Number, longest_ttl: Ticks, renewed_at: Ticks) -> Lease {
        let (duration, ceiling) = (self.world.duration[r], tenure + self.world.headroom);
        let notes = Notes { tenure, ceiling, renewed_at, duration, longest_ttl, mark: 0, released: None };
        Lease { holder: u8::try_from(r).ok(), duration, notes: Some(notes) }
    }

    fn first_state(&self) -> State {
        let world = &self.world;
        let tenure = 1;
        let count = match world.begin {
            Begin::Empty => 0,
            Begin::Leader => 1,
            Begin::Both => 2,
        };
        let token = 2 + count;
        let candidacy = |w: u8| Candidacy {
            worker: w,
            id: 2 + w,
            timer: world.ttl[usize::from(w)] + self.drift(),
            accepted: (tenure, 0),
            part: if w == 0 { Part::Leading(token) } else { Part::Waiting },
            origin: Origin::Entered,
        };
        let candidacies: Vec<Candidacy> = (0..count).map(candidacy).collect();
        let own = |w: usize| {
            candidacies.get(w).map(|c| Own {
                id: c.id,
                ticket: c.ticket(),
                timer: world.ttl[w],
                kept: true,
                granted: c.token().map(|token| (token, tenure)),
            })
        };
        let worker = |w: usize| Worker { tenure, own: own(w), held: None, news: None };
        let lease = self.claim_of(0, tenure, world.max_ttl[0], 0);
        let active = Active {
            tenure,
            age: 0,
            right: self.right(0),
            wait: 0,
            next: token + 1,
            ceiling: tenure + world.headroom,
            longest_ttl: world.max_ttl[0],
            former: None,
            renewed: true,
            fresh: true,
            leaving: false,
            candidacies: candidacies.clone(),
            ended: 0,
            refused: Vec::new(),
        };
        let ceiling = active.ceiling;
        let memory = Memory { tenure, renewed_at: 0, ceiling, duration: world.duration[0], first: None };
        let (role, standby) = (Role::Active(active), Role::Down);
        let mut state = State {
            tick: 0,
            lease: Some(lease),
            backup: None,
            restored: false,
            writes: Vec::new(),
            replicas: [
                Replica { role, memory, mirror: None },
                Replica { role: standby, memory: Memory::default(), mirror: None },
            ],
            workers: [worker(0), worker(1)],
            left: world.faults,
            truth: Truth { tenure, ceiling, token: if count > 0 { token } else { 0 }, ..Truth::default() },
            last: None,
        };
        replica::stand_by(self, &mut state, 1);
        state
    }

    fn carry_out(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => time::tick(self, state),
            Action::Skew(r) => time::skew(self, state, r),
            Action::Crash(r) => {
                state.left.crashes -= 1;
                replica::go_down(state, r);
            }
            Action::Start(r) => {
                state.left.starts -= 1;
                replica::stand_by(self, state, r);
            }
            Action::Look(r) => replica::look(self, state, r),
            Action::MakeEmpty(r) => lease::make_empty(self, state, r),
            Action::TakeOver(r) => replica::take_over(self, state, r),
            Action::Renew(r) => replica::renew(self, state, r),
            Action::Wake(r) => {
                elections::act(self, state, r, |_| ());
            }
            Action::Sync(r) => {
                state.left.syncs -= 1;
                replica::sync(state, r);
            }
            Action::StepDown(r) => {
                state.left.step_downs -= 1;
                elections::act(self, state, r, |turn| turn.step_down());
            }
            Action::Stop(r, tells) => replica::stop(self, state, r, tells),
            Action::Apply(index) => lease::apply(self, state, index),
            Action::Answer(index) => lease::answer(self, state, index),
            Action::LoseAnswer(index) => lease::lose_answer(state, index),
            Action::Meddle(what) => lease::meddle(self, state, what),
            Action::Campaign(w, r) => worker::campaign(self, state, w, r),
            Action::KeepAlive(w, way) => worker::keep_alive(self, state, w, way),
            Action::Arrive(w, r) => worker::arrive(self, state, w, r),
            Action::Hear(w) => {
                if let Some(news) = state.workers[w].news.take() {
                    worker::hear(self, state, w, &news);
                }
            }
            Action::Resign(w, r) => worker::resign(self, state, w, Some(r)),
            Action::LoseResign(w) => worker::resign(self, state, w, None),
        }
        worker::settle_news(self, state);
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first_state()]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        if promises::broken(self, state) {
            return;
        }
        if state.tick < self.world.ticks {
            out.push(Action::Tick);
        }
        lease::offer(self, state, out);
        for r in 0..state.replicas.len() {
            replica::offer(self, state, r, out);
        }
        for w in 0..state.workers.len() {
            worker::offer(self, state, w, out);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.last = None;
        self.carry_out(&mut next, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}
