//! What the active replica does with candidacies.

use crate::model::Protocol;
use crate::rules::Rule;
use crate::state::{
    Active, Broken, Call, Candidacy, Event, News, Number, Origin, Own, Part, Role, State, Ticket, Truth, Worker,
};

/// The active replica's candidacies, and what they touch.
pub(crate) struct Turn<'a> {
    model: &'a Protocol,
    pub(crate) active: &'a mut Active,
    workers: &'a mut [Worker; 2],
    truth: &'a mut Truth,
    last: &'a mut Option<Event>,
    changed: bool,
}

/// Lets the active replica act: what is due comes first. Mirrors fall behind what it changes.
pub(crate) fn act<T>(
    model: &Protocol,
    state: &mut State,
    replica: usize,
    act: impl FnOnce(&mut Turn<'_>) -> T,
) -> Option<T> {
    let State { replicas, workers, truth, last, .. } = state;
    let Role::Active(active) = &mut replicas[replica].role else { return None };
    let mut turn = Turn { model, active, workers, truth, last, changed: false };
    turn.pass_time();
    let result = act(&mut turn);
    if turn.changed {
        let tenure = turn.active.tenure;
        for mirror in replicas.iter_mut().filter_map(|replica| replica.mirror.as_mut()) {
            mirror.current &= mirror.tenure != tenure;
        }
    }
    Some(result)
}

impl Turn<'_> {
    fn has(&self, rule: Rule) -> bool {
        self.model.rules.has(rule)
    }

    fn pass_time(&mut self) {
        while let Some(index) = self.active.candidacies.iter().position(|c| c.timer == 0) {
            self.end(index);
        }
        if self.active.wait == 0 {
            self.active.ended = 0;
            self.active.refused.clear();
        }
        self.grant_next();
    }

    fn end(&mut self, index: usize) {
        let candidacy = self.active.candidacies.remove(index);
        self.remember(candidacy.id);
        self.changed = true;
    }

    fn remember(&mut self, id: Number) {
        if self.active.wait > 0 && self.has(Rule::EndsRemembered) {
            self.active.ended |= 1 << id;
        }
    }

    fn find(&self, id: Number) -> Option<usize> {
        self.active.candidacies.iter().position(|c| c.id == id)
    }

    fn leader(&self) -> Option<usize> {
        self.active.candidacies.iter().position(|c| c.token().is_some())
    }

    fn draw(&mut self) -> Number {
        self.active.next += 1;
        self.active.next - 1
    }

    fn grant_next(&mut self) {
        let queue = self.active.candidacies.iter().position(|c| c.part == Part::Waiting);
        let Some(first) = queue.filter(|_| self.active.wait == 0 && self.leader().is_none()) else { return };
        // Numbers that ran out aren't what is checked here: such a tenure grants nothing any more.
        if self.active.next >= self.active.ceiling {
            return;
        }
        let token = self.draw();
        let candidacy = &mut self.active.candidacies[first];
        candidacy.part = Part::Leading(token);
        let candidacy = *candidacy;
        self.changed = true;
        self.judge_grant(&candidacy, token);
        self.truth.token = self.truth.token.max(token);
        let tenure = self.active.tenure;
        let worker = &mut self.workers[usize::from(candidacy.worker)];
        if let Some(own) = worker.own.as_mut().filter(|own| own.id == candidacy.id) {
            own.granted = Some((token, tenure));
            worker.news = Some(News {
                tenure,
                id: candidacy.id,
                part: Some((candidacy.part, candidacy.ticket())),
                accepted: None,
                to_leader: self.model.world.old_contract,
            });
        }
        if candidacy.accepted.0 == tenure && self.active.former.is_some() && candidacy.origin == Origin::Ticket {
            *self.last = Some(Event::GrantedAfterWait);
        }
    }

    fn judge_grant(&mut self, candidacy: &Candidacy, token: Number) {
        if token <= self.truth.token {
            self.truth.broken.get_or_insert(Broken::Tokens);
        }
        if self.truth.over & 1 << candidacy.id != 0 && candidacy.origin != Origin::Ghost {
            self.truth.broken.get_or_insert(Broken::Phantom);
        }
        let told = |own: &Own| self.truth.ended_by_own & 1 << own.id == 0;
        let waits = |own: &Own| own.timer > 0 && own.granted.is_none() && own.id < candidacy.id && told(own);
        if self.workers.iter().filter_map(|worker| worker.own.as_ref()).any(waits) {
            self.truth.broken.get_or_insert(Broken::Fifo);
        }
    }

    /// A worker enters. Only called while there are numbers for it and its grant.
    pub(crate) fn campaign(&mut self, worker: usize) {
        let id = self.draw();
        let accepted = (self.active.tenure, self.active.age);
        let (world, number) = (&self.model.world, u8::try_from(worker).expect("there are two"));
        let timer = world.ttl[worker] + self.model.drift();
        let (part, origin) = (Part::Waiting, Origin::Entered);
        self.active.candidacies.push(Candidacy { worker: number, id, timer, accepted, part, origin });
        let ticket = Ticket { id, token: None, accepted };
        let tenure = self.active.tenure;
        let entrant = &mut self.workers[worker];
        entrant.tenure = entrant.tenure.max(tenure);
        entrant.own = Some(Own { id, ticket, timer: world.ttl[worker], kept: true, granted: None });
        self.changed = true;
        self.grant_next();
    }

    /// A worker resigns from a candidacy, known or not.
    pub(crate) fn resign(&mut self, id: Number) {
        match self.find(id) {
            Some(index) => self.end(index),
            None => self.remember(id),
        }
        self.grant_next();
    }

    /// The leader is told to hand over.
    pub(crate) fn step_down(&mut self) {
        let Some(leader) = self.leader() else { return };
        if let Part::Leading(token) = self.active.candidacies[leader].part {
            self.active.candidacies[leader].part = Part::Draining(token);
            self.changed = true;
            if !self.has(Rule::DrainWaits) {
                self.end(leader);
                self.grant_next();
            }
        }
    }

    /// A KeepAlive arrives. The answer says what its candidacy is.
    pub(crate) fn keep_alive(&mut self, worker: usize, call: &Call, late: bool) -> News {
        let ticket = call.ticket;
        if let Some(index) = self.find(ticket.id) {
            self.look_at_ticket(worker, index, &ticket);
        } else if self.may_be_put_back(worker, &ticket) {
            self.put_back(worker, &ticket, late);
        }
        let Some(index) = self.find(ticket.id) else { return self.answer(&ticket, None, call.sent) };
        let candidacy = &mut self.active.candidacies[index];
        let accepts = !matches!(candidacy.part, Part::Draining(_));
        if accepts {
            candidacy.timer = self.model.world.ttl[worker] + self.model.drift();
            candidacy.accepted = (self.active.tenure, self.active.age);
        }
        let candidacy = *candidacy;
        self.grant_next();
        let candidacy = self.find(candidacy.id).map_or(candidacy, |index| self.active.candidacies[index]);
        let news = self.answer(&ticket, Some(&candidacy), call.sent);
        if accepts { news } else { News { accepted: None, ..news } }
    }

    fn answer(&mut self, ticket: &Ticket, found: Option<&Candidacy>, sent: u8) -> News {
        let part = found.map(|candidacy| (candidacy.part, candidacy.ticket()));
        let accepted = found.map(|_| sent);
        let to_leader = self.model.world.old_contract && ticket.token.is_some();
        News { tenure: self.active.tenure, id: ticket.id, part, accepted, to_leader }
    }

    /// A ticket of a candidacy that is known: it is only a name, but for a leader's that promotes.
    fn look_at_ticket(&mut self, worker: usize, index: usize, ticket: &Ticket) {
        let waits = self.active.candidacies[index].part == Part::Waiting;
        if let (Some(token), true) = (ticket.token, waits) {
            let of_another = self.active.wait > 0 && ticket.accepted.0 != self.active.tenure;
            if self.has(Rule::LeaderNeverWaitsPromotes) && of_another && self.recent(worker, ticket) {
                *self.last = Some(Event::Promoted);
                self.install(ticket.id, token);
            } else if self.has(Rule::LeaderNeverWaits) {
                *self.last = Some(Event::LeaderEnded);
                self.truth.ended_by_own |= 1 << ticket.id;
                self.end(index);
                self.grant_next();
            }
        } else if ticket.token.is_none() && !waits && !self.has(Rule::NameOnly) {
            self.active.candidacies[index].part = Part::Waiting;
            self.changed = true;
        }
    }

    fn may_be_put_back(&mut self, worker: usize, ticket: &Ticket) -> bool {
        let tenure = ticket.accepted.0;
        if self.active.ended & 1 << ticket.id != 0 || self.led_later(ticket) {
            return false;
        }
        if tenure == self.active.tenure {
            return !self.has(Rule::CurrentOver);
        }
        if self.active.wait == 0 && self.has(Rule::AfterWait) {
            return false;
        }
        let recent = self.recent(worker, ticket);
        if !recent {
            *self.last = Some(Event::TooOld);
            if self.active.wait > 0 && self.has(Rule::RefusedRemembered) {
                self.remember_refused(ticket);
            }
        }
        recent
    }

    /// Whether a later ticket of this waiter's, a leader's, was refused. One of a later tenure
    /// isn't older: that one has put it back as a waiter.
    fn led_later(&self, ticket: &Ticket) -> bool {
        let later = |(id, tenure): &(Number, Number)| *id == ticket.id && ticket.accepted.0 <= *tenure;
        ticket.token.is_none() && self.active.refused.iter().any(later)
    }

    fn remember_refused(&mut self, ticket: &Ticket) {
        let (refused, tenure) = (&mut self.active.refused, ticket.accepted.0);
        match refused.binary_search_by_key(&ticket.id, |(id, _)| *id) {
            Ok(at) => refused[at].1 = refused[at].1.max(tenure),
            Err(at) => refused.insert(at, (ticket.id, tenure)),
        }
    }

    /// Whether nobody else can have been granted since this ticket was a leader's.
    fn recent(&self, worker: usize, ticket: &Ticket) -> bool {
        if ticket.token.is_none() {
            return true;
        }
        let Some(former) = self.active.former else { return false };
        let (tenure, age) = ticket.accepted;
        let ttl = self.model.world.ttl[worker];
        (tenure == former.tenure || !self.has(Rule::RecencyTenure))
            && (age + ttl + self.model.drift() > former.right_ended || !self.has(Rule::RecencyTime))
    }

    fn put_back(&mut self, worker: usize, ticket: &Ticket, late: bool) {
        let candidacy = Candidacy {
            worker: u8::try_from(worker).expect("there are two"),
            id: ticket.id,
            timer: 1,
            accepted: ticket.accepted,
            part: Part::Waiting,
            origin: if late { Origin::Ghost } else { Origin::Ticket },
        };
        let place = self.active.candidacies.partition_point(|other| other.id < ticket.id);
        self.active.candidacies.insert(place, candidacy);
        self.changed = true;
        if let Some(token) = ticket.token {
            *self.last = Some(Event::LeaderPutBack);
            self.install(ticket.id, token);
        }
    }

    /// Makes a waiter the leader that it was. Of two, one stays.
    fn install(&mut self, id: Number, token: Number) {
        self.changed = true;
        if let Some(current) = self.leader() {
            *self.last = Some(Event::Overtaken);
            let newcomer_wins =
                self.has(Rule::HigherTokenWins) && self.active.candidacies[current].token() < Some(token);
            let loser = if newcomer_wins { Some(current) } else { self.find(id) };
            if let Some(loser) = loser {
                self.end(loser);
            }
        }
        if let Some(index) = self.find(id) {
            self.active.candidacies[index].part = Part::Leading(token);
        }
    }
}
