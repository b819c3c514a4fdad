//! The elections of one tenure: candidacies, queues, leaders, and their deadlines in one ordered
//! structure.

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
mod mirrored;
mod refusals;
mod ticket;

use crate::must::Must;
use crate::tenure::ActiveTenure;
use crate::{
    Attempt, CandidateName, Carried, Change, ChangeReason, Config, ElectionName, Enrolment, Event, FencingToken,
    Handover, Held, Lead, Leader, Millis, Output, PodUid, Revision, StateVersion, StreamId, Subject, Tenure, Ticket,
    TicketParts, Time, Value,
};
use changes::Changes;
use ends::Ends;
use refusals::Refusals;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// All elections of a tenure. They end with it.
#[derive(Debug, Default)]
pub(crate) struct Elections {
    by_name: BTreeMap<ElectionName, Election>,
    candidacies: BTreeMap<Enrolment, Candidacy>,
    /// When each candidacy needs attention next: at the end of its TTL, of its drain or of its
    /// patience.
    deadlines: BTreeSet<Due<Enrolment>>,
    streams: BTreeMap<StreamId, Enrolment>,
    subjects: BTreeMap<Subject, usize>,
    /// The candidacies that were entered with an attempt.
    attempts: BTreeMap<AttemptKey, Enrolment>,
    /// The elections on hold, and until when.
    holds: BTreeSet<Due<ElectionName>>,
    /// The bytes of memory that all candidacies count for.
    bytes: usize,
    leaders: usize,
    /// The last change that observers were told of.
    last_revision: Option<Revision>,
    ends: Ends,
    refusals: Refusals,
    changes: Changes,
}

/// What is to be looked at again, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due<T> {
    at: Time,
    what: T,
}

/// One election. It exists as long as it has a candidacy, or is on hold.
#[derive(Debug, Default)]
struct Election {
    leader: Option<Enrolment>,
    /// Waiting candidacies in the order of their places.
    queue: BTreeSet<Place>,
    last: Option<Arc<Change>>,
    /// The election is on hold: nothing is granted before.
    held_until: Option<Time>,
}

/// The order of grants in an election: the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// That of the former self, if the candidacy has replaced one.
    at: Enrolment,
    /// Tells two candidacies with one place apart: after a failover a ticket may have put back the
    /// former self as well.
    id: Enrolment,
}

/// What two Campaigns must have in common for the second one to find the candidacy of the first
/// one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct AttemptKey {
    election: ElectionName,
    subject: Subject,
    candidate: CandidateName,
    /// A worker counts its deadline by the TTL that it sends, so it must not find a candidacy for
    /// which the server counts by another.
    ttl: Option<Millis>,
    attempt: Attempt,
}

#[derive(Debug)]
struct Candidacy {
    id: Enrolment,
    place: Place,
    election: ElectionName,
    candidate: CandidateName,
    subject: Subject,
    pod: Option<PodUid>,
    value: Value,
    /// `None`: stream-bound.
    lease: Option<Leased>,
    state: State,
    stream: Option<StreamId>,
    /// The number of its last change.
    version: StateVersion,
    /// The name that the worker gave to its entry.
    attempt: Option<Attempt>,
    /// For how long the election is on hold from this candidacy's grant on.
    hold: Millis,
    /// Until when this candidacy's grant puts the election on hold. `None` until it is granted.
    held_until: Option<Time>,
    /// Set for a drain that was handed over (rule `drain-ticket`): its last accepted KeepAlive. Its
    /// ticket goes on saying so. A ticket that named this tenure could pass `recency` in the next
    /// one, after the drain has ended.
    accepted_in: Option<Accepted>,
}

/// The last accepted KeepAlive, as a ticket tells of it.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    tenure: Tenure,
    /// When in that tenure.
    at: Millis,
}

#[derive(Clone, Copy, Debug)]
struct Leased {
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
    pub(crate) active: &'a mut ActiveTenure,
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

    /// Draws the number of a change. A grant doesn't need it: its number is its token.
    fn draw(&mut self) -> Revision {
        Revision(self.active.line.take())
    }
}

impl Leased {
    /// Rule `drift`: the server waits a twentieth longer than the worker. A worker whose clock is
    /// slower than the server's counts on its lead until then.
    fn deadline(&self) -> Time {
        self.accepted_at + self.ttl.with_drift()
    }
}

impl Candidacy {
    fn drains(&self) -> bool {
        matches!(self.state, State::Draining { .. })
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

    fn ticket(&self, active: &ActiveTenure) -> Option<Ticket> {
        let lease = self.lease?;
        let here = || Accepted { tenure: active.tenure, at: lease.accepted_at.since(active.began) };
        let accepted = self.accepted_in.unwrap_or_else(here);
        Some(Ticket::made(TicketParts {
            election: self.election.clone(),
            candidate: self.candidate.clone(),
            subject: self.subject.clone(),
            pod: self.pod.clone(),
            value: self.value.clone(),
            ttl: lease.ttl,
            enrolment: self.id,
            place: self.place.at,
            token: self.token(),
            tenure: accepted.tenure,
            accepted_at: accepted.at,
            hold: self.held_until.map_or(self.hold, |until| until.since(lease.accepted_at)),
            issued: active.tenure,
        }))
    }

    fn leader(&self) -> Option<Leader> {
        self.token().map(|token| Leader {
            candidate: self.candidate.clone(),
            token,
            value: self.value.clone(),
            draining: self.drains(),
            leased: self.lease.is_some(),
        })
    }

    /// What the leader with this token is told.
    fn lead(&self, turn: &Turn<'_>, token: FencingToken) -> Event {
        let lease_left = self.lease.map(|lease| (lease.accepted_at + lease.ttl).since(turn.now));
        let (election, candidate) = (self.election.clone(), self.candidate.clone());
        Event::Elected(Box::new(Lead { election, candidate, token, ticket: self.ticket(turn.active), lease_left }))
    }
}

impl Elections {
    pub(crate) fn new(config: &Config) -> Self {
        let limit = config.limits.remembered_ends;
        Self { ends: Ends::new(limit), refusals: Refusals::new(limit), ..Self::default() }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let hold = self.holds.first().map(|due| due.at);
        self.deadlines.first().map(|due| due.at).into_iter().chain(hold).min()
    }

    /// Everything that the next tenure must know of this one. Two kinds of candidacies aren't
    /// handed over: stream-bound ones, which end with their tenure, and those whose time ran out
    /// while the right had lapsed.
    pub(crate) fn hand_over(&self, active: &ActiveTenure, now: Time) -> Handover {
        let alive = self.candidacies.values().filter(|c| c.wake().is_none_or(|at| at > now));
        let candidacies = alive.filter_map(|candidacy| candidacy.carried(active)).collect();
        Handover { candidacies, holds: self.carried_holds(active) }
    }

    /// Puts back what an orderly end handed over. Everybody gets a full TTL: the former tenure may
    /// have accepted a KeepAlive right before it ended, but none that was sent after this one
    /// began.
    pub(crate) fn take_over(&mut self, turn: &mut Turn<'_>, mut handover: Handover) {
        let ended = turn.active.former.map_or(Millis(0), |former| former.right_ended);
        handover.holds.retain(|held| held.until > ended);
        for held in &handover.holds {
            self.put_on_hold(&held.election, turn.active.began + (held.until - ended));
        }
        for Carried { ticket, drains_until, attempt } in handover.candidacies {
            // A leader that is put back draws a number. At the end of the line there may be none
            // left. Nobody is granted anything then either, so those who are left out lose nothing
            // to others.
            if !turn.active.line.has_room() {
                return;
            }
            let id = ticket.enrolment;
            self.insert(Candidacy { attempt, ..Candidacy::restored(&ticket, turn.now, turn.active) });
            if let Some(token) = ticket.token {
                // The ticket counts what is left of the hold from a moment of the former tenure.
                // The handover counts it from the end of that tenure, which is nearer to the truth.
                let hold = self.hold_left(&ticket.election, turn.active.began);
                self.install(turn, id, token, hold);
            }
            // Of two leaders of one election, which a broken handover may name, one has ended.
            if let (Some(token), Some(until)) = (ticket.token, drains_until)
                && self.candidacies.contains_key(&id)
            {
                let until = turn.active.began + (until - ended);
                let revision = turn.draw();
                self.update(id, |candidacy| {
                    candidacy.state = State::Draining { token, until };
                    candidacy.accepted_in = Some(Accepted { tenure: ticket.tenure, at: ticket.accepted_at });
                    candidacy.version = StateVersion(revision.0);
                });
                self.changes.note(id);
                self.changed(turn, &ticket.election, revision, ChangeReason::Draining);
            }
        }
        self.tell_holds(turn, handover.holds);
    }

    /// Tells observers of the elections that are on hold without a leader. No leader's change tells
    /// of them.
    fn tell_holds(&mut self, turn: &mut Turn<'_>, holds: Vec<Held>) {
        for Held { election, .. } in holds {
            let vacant = self.by_name.get(&election).must().is_some_and(|held| held.leader.is_none());
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
        election.queue.insert(candidacy.place);
        if let Some(wake) = candidacy.wake() {
            self.deadlines.insert(Due { at: wake, what: id });
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

    /// Changes a candidacy, and moves its deadline if that has changed with it.
    fn update(&mut self, id: Enrolment, change: impl FnOnce(&mut Candidacy)) {
        let Some(candidacy) = self.candidacies.get_mut(&id).must() else { return };
        let before = candidacy.wake();
        change(candidacy);
        let after = candidacy.wake();
        if before != after {
            before.map(|at| self.deadlines.remove(&Due { at, what: id }));
            after.map(|at| self.deadlines.insert(Due { at, what: id }));
        }
    }

    fn change_state(&mut self, id: Enrolment, version: StateVersion, state: State) {
        self.update(id, |candidacy| (candidacy.version, candidacy.state) = (version, state));
        self.note(id);
    }

    /// A candidacy has changed. Mirrors are told if it is leased.
    fn note(&mut self, id: Enrolment) {
        if self.candidacies.get(&id).must().is_some_and(|candidacy| candidacy.lease.is_some()) {
            self.changes.note(id);
        }
    }

    /// Tells observers that an election changed. The revision of a grant is its token; other
    /// changes draw a number.
    fn changed(&mut self, turn: &mut Turn<'_>, name: &ElectionName, revision: Revision, reason: ChangeReason) {
        if let Some(election) = self.by_name.get_mut(name).must() {
            let leader = election.leader.and_then(|id| self.candidacies.get(&id).must()).and_then(Candidacy::leader);
            let held_until = election.held_until;
            let change = Arc::new(Change { election: name.clone(), revision, leader, reason, held_until });
            election.last = Some(Arc::clone(&change));
            self.last_revision = Some(revision);
            turn.out.push_back(Output::Changed(change));
        }
    }

    fn leader_of(&self, name: &ElectionName) -> Option<&Candidacy> {
        let leader = self.by_name.get(name)?.leader?;
        self.candidacies.get(&leader).must()
    }

    /// The last change that observers were told of, if there was one in this tenure.
    pub(crate) fn last_revision(&self) -> Option<Revision> {
        self.last_revision
    }

    /// How many live candidacies come before this one.
    fn ahead(&self, candidacy: &Candidacy) -> usize {
        let Some(election) = self.by_name.get(&candidacy.election).must() else { return 0 };
        let waiting = if election.queue.last() == Some(&candidacy.place) {
            election.queue.len() - 1
        } else {
            election.queue.range(..candidacy.place).count()
        };
        waiting + usize::from(election.leader.is_some())
    }
}
