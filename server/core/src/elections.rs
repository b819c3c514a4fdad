//! The elections of one tenure: candidacies, queues, leaders, and their deadlines in one ordered structure.

mod answer;
mod attempt;
mod budget;
mod changes;
mod check;
mod end;
mod ends;
mod enter;
mod grant;
mod hold;
mod refusals;
mod ticket;

use crate::tenure::Active;
use crate::{
    Attempt, CandidateName, Carried, Change, ChangeReason, Config, ElectionName, Enrolment, Event, FencingToken,
    Handover, Held, Lead, Leader, Millis, Output, Revision, StateVersion, StreamId, Subject, Tenure, Ticket,
    TicketParts, Time, Value,
};
use attempt::AttemptKey;
use changes::Changes;
use ends::Ends;
use refusals::Refusals;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// All elections of a tenure. They end with it.
#[derive(Debug)]
pub(crate) struct Elections {
    by_name: BTreeMap<ElectionName, Election>,
    candidacies: BTreeMap<Enrolment, Candidacy>,
    /// What each candidacy waits for next.
    deadlines: BTreeSet<(Time, Enrolment)>,
    streams: BTreeMap<StreamId, Enrolment>,
    subjects: BTreeMap<Subject, usize>,
    /// The candidacies whose entries have names.
    attempts: BTreeMap<AttemptKey, Enrolment>,
    /// The elections on hold, and until when.
    holds: BTreeSet<(Time, ElectionName)>,
    /// What all candidacies take.
    bytes: usize,
    leaders: usize,
    /// The last change that observers were told of.
    last_revision: Option<Revision>,
    ends: Ends,
    refusals: Refusals,
    changes: Changes,
}

/// One election. It exists as long as it has a candidacy, or is on hold.
#[derive(Debug, Default)]
struct Election {
    leader: Option<Enrolment>,
    /// Waiting candidacies in the order of their places.
    queue: BTreeSet<Place>,
    last: Option<Arc<Change>>,
    /// Nothing is granted before.
    held_until: Option<Time>,
}

/// The order of grants. Two candidacies can have one number after a failover, when one took the place of its former self.
type Place = (Enrolment, Enrolment);

#[derive(Debug)]
struct Candidacy {
    id: Enrolment,
    place: Enrolment,
    election: ElectionName,
    candidate: CandidateName,
    subject: Subject,
    value: Value,
    /// `None`: stream-bound.
    lease: Option<Lease>,
    state: State,
    stream: Option<StreamId>,
    /// The number of its last change.
    version: StateVersion,
    /// The name of the entry that made it.
    attempt: Option<Attempt>,
    /// For how long from its grant the election is on hold.
    hold: Millis,
    /// Until when that is, once it leads.
    held_until: Option<Time>,
    /// Set for a drain that was handed over: the tenure that last accepted a KeepAlive, and when in it. The ticket goes on
    /// saying so; one of this tenure could pass the rule of recency after the drain has ended.
    accepted_in: Option<(Tenure, Millis)>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl: Millis,
    accepted_at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { give_up_at: Option<Time> },
    Leading { token: FencingToken },
    Draining { token: FencingToken, until: Time },
}

/// What the elections need while they handle one input.
pub(crate) struct Turn<'a> {
    pub(crate) now: Time,
    pub(crate) config: &'a Config,
    pub(crate) active: &'a mut Active,
    pub(crate) out: &'a mut VecDeque<Output>,
}

impl Turn<'_> {
    fn settled(&self) -> bool {
        self.active.settles_at.is_none()
    }

    fn event(&mut self, stream: Option<StreamId>, version: StateVersion, event: Event) {
        if let Some(stream) = stream {
            self.out.push_back(Output::Event { stream, version, event });
        }
    }

    /// The number of a change that isn't a grant.
    fn draw(&mut self) -> Revision {
        Revision(self.active.line.take())
    }
}

impl Lease {
    /// The server waits a little longer than the worker.
    fn deadline(&self) -> Time {
        self.accepted_at + self.ttl.with_drift()
    }
}

impl Candidacy {
    fn key(&self) -> Place {
        (self.place, self.id)
    }

    fn token(&self) -> Option<FencingToken> {
        match self.state {
            State::Waiting { .. } => None,
            State::Leading { token } | State::Draining { token, .. } => Some(token),
        }
    }

    /// When this candidacy needs attention next.
    fn wake(&self) -> Option<Time> {
        let lease = self.lease.map(|lease| lease.deadline());
        match self.state {
            State::Waiting { give_up_at: Some(at) } => Some(lease.map_or(at, |lease| lease.min(at))),
            State::Waiting { give_up_at: None } | State::Leading { .. } => lease,
            State::Draining { until, .. } => Some(until),
        }
    }

    fn ticket(&self, active: &Active) -> Option<Ticket> {
        let lease = self.lease?;
        let (tenure, accepted_at) =
            self.accepted_in.unwrap_or_else(|| (active.tenure, lease.accepted_at.since(active.began)));
        Some(Ticket::made(TicketParts {
            election: self.election.clone(),
            candidate: self.candidate.clone(),
            subject: self.subject.clone(),
            value: self.value.clone(),
            ttl: lease.ttl,
            enrolment: self.id,
            place: self.place,
            token: self.token(),
            tenure,
            accepted_at,
            hold: self.held_until.map_or(self.hold, |until| until.since(lease.accepted_at)),
            issued: active.tenure,
        }))
    }

    fn leader(&self) -> Option<Leader> {
        self.token().map(|token| Leader {
            candidate: self.candidate.clone(),
            token,
            value: self.value.clone(),
            draining: matches!(self.state, State::Draining { .. }),
            leased: self.lease.is_some(),
        })
    }

    fn lead(&self, turn: &Turn<'_>) -> Option<Event> {
        let token = self.token()?;
        let lease_left = self.lease.map(|lease| (lease.accepted_at + lease.ttl).since(turn.now));
        let (election, candidate) = (self.election.clone(), self.candidate.clone());
        Some(Event::Elected(Box::new(Lead {
            election,
            candidate,
            token,
            ticket: self.ticket(turn.active),
            lease_left,
        })))
    }
}

impl Elections {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            by_name: BTreeMap::new(),
            candidacies: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            streams: BTreeMap::new(),
            subjects: BTreeMap::new(),
            attempts: BTreeMap::new(),
            holds: BTreeSet::new(),
            bytes: 0,
            leaders: 0,
            last_revision: None,
            ends: Ends::new(config.limits.remembered_ends),
            refusals: Refusals::new(config.limits.remembered_ends),
            changes: Changes::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.candidacies.is_empty() && self.deadlines.is_empty() && self.streams.is_empty()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let hold = self.holds.first().map(|(at, _)| *at);
        self.deadlines.first().map(|(at, _)| *at).into_iter().chain(hold).min()
    }

    /// Everything that the next tenure must know of this one. Stream-bound candidacies end with their
    /// tenure, and those whose time has run out while its right had lapsed.
    pub(crate) fn hand_over(&self, active: &Active, now: Time) -> Handover {
        let alive = self.candidacies.values().filter(|c| c.wake().is_none_or(|at| at > now));
        let candidacies = alive.filter_map(|candidacy| candidacy.carried(active)).collect();
        Handover { candidacies, holds: self.carried_holds(active) }
    }

    /// Puts back what an orderly end handed over: with full TTLs, since every KeepAlive was sent before the tenure began.
    pub(crate) fn take_over(&mut self, turn: &mut Turn<'_>, mut handover: Handover) {
        let ended = turn.active.former.map_or(Millis(0), |former| former.right_ended);
        handover.holds.retain(|held| held.until > ended);
        for held in &handover.holds {
            self.put_on_hold(&held.election, turn.active.began + (held.until - ended));
        }
        for Carried { ticket, drains_until, attempt } in handover.candidacies {
            // At the end of all numbers there may be none to spare: then nobody is granted anything either.
            if !turn.active.line.has_room() {
                return;
            }
            let id = ticket.enrolment;
            self.insert(Candidacy { attempt, ..Candidacy::restored(&ticket, turn.now, turn.active) });
            if let Some(token) = ticket.token {
                // What its ticket says of the hold counts from a moment of the former tenure.
                let hold = self.hold_left(&ticket.election, turn.active.began);
                self.install(turn, id, token, hold);
            }
            if let Some(until) = drains_until {
                let until = turn.active.began + (until - ended);
                let revision = turn.draw();
                self.update(id, |candidacy| {
                    if let State::Leading { token } = candidacy.state {
                        candidacy.state = State::Draining { token, until };
                        candidacy.accepted_in = Some((ticket.tenure, ticket.accepted_at));
                        candidacy.version = StateVersion(revision.0);
                    }
                });
                self.changes.note(id);
                self.changed(turn, &ticket.election, revision, ChangeReason::Draining);
            }
        }
        self.tell_holds(turn, handover.holds);
    }

    /// Observers of this tenure see what nobody leads and is on hold.
    fn tell_holds(&mut self, turn: &mut Turn<'_>, holds: Vec<Held>) {
        for Held { election, .. } in holds {
            let vacant = self.by_name.get(&election).is_some_and(|held| held.leader.is_none());
            if vacant && turn.active.line.has_room() {
                let revision = turn.draw();
                self.changed(turn, &election, revision, ChangeReason::Held);
            }
        }
    }

    /// Adds a waiting candidacy.
    fn insert(&mut self, candidacy: Candidacy) {
        let id = candidacy.id;
        self.bytes += candidacy.bytes();
        *self.subjects.entry(candidacy.subject.clone()).or_default() += 1;
        let election = self.by_name.entry(candidacy.election.clone()).or_default();
        election.queue.insert(candidacy.key());
        if let Some(wake) = candidacy.wake() {
            self.deadlines.insert((wake, id));
        }
        if let Some(stream) = candidacy.stream {
            self.streams.insert(stream, id);
        }
        if candidacy.lease.is_some() {
            self.changes.note(id);
        }
        if let Some(key) = candidacy.attempt_key() {
            self.attempts.insert(key, id);
        }
        self.candidacies.insert(id, candidacy);
    }

    /// Changes what a candidacy's deadline depends on.
    fn update(&mut self, id: Enrolment, change: impl FnOnce(&mut Candidacy)) {
        let Some(candidacy) = self.candidacies.get_mut(&id) else { return };
        let before = candidacy.wake();
        change(candidacy);
        let after = candidacy.wake();
        if before != after {
            before.map(|at| self.deadlines.remove(&(at, id)));
            after.map(|at| self.deadlines.insert((at, id)));
        }
    }

    fn change_state(&mut self, id: Enrolment, version: StateVersion, state: State) {
        self.update(id, |candidacy| (candidacy.version, candidacy.state) = (version, state));
        if self.candidacies.get(&id).is_some_and(|candidacy| candidacy.lease.is_some()) {
            self.changes.note(id);
        }
    }

    /// Tells observers that an election changed. The revision of a grant is its token; other changes
    /// draw a number.
    fn changed(&mut self, turn: &mut Turn<'_>, name: &ElectionName, revision: Revision, reason: ChangeReason) {
        if let Some(election) = self.by_name.get_mut(name) {
            let leader = election.leader.and_then(|id| self.candidacies.get(&id)).and_then(Candidacy::leader);
            let held_until = election.held_until;
            let change = Arc::new(Change { election: name.clone(), revision, leader, reason, held_until });
            election.last = Some(Arc::clone(&change));
            self.last_revision = Some(revision);
            turn.out.push_back(Output::Changed(change));
        }
    }

    /// The last change that observers were told of, if there was one in this tenure.
    pub(crate) fn last_revision(&self) -> Option<Revision> {
        self.last_revision
    }

    /// How many live candidacies come before this one.
    fn ahead(&self, candidacy: &Candidacy) -> usize {
        let Some(election) = self.by_name.get(&candidacy.election) else { return 0 };
        let waiting = if election.queue.last() == Some(&candidacy.key()) {
            election.queue.len() - 1
        } else {
            election.queue.range(..candidacy.key()).count()
        };
        waiting + usize::from(election.leader.is_some())
    }
}
