//! The naive model of the elections: one flat list of candidacies, and everything else is looked up
//! in it each time.
//!
//! No index, no deadline structure, no count is kept; what is due is found by looking at everybody.

use leasehold_core::{
    Attempt, CANDIDACY_BYTES, CandidateName, Change, ChangeReason, Config, ElectionName, EndReason, Ended, Enrolment,
    Entry, Event, FencingToken, Lead, Leader, MAX_HOLD, MIN_TTL, Millis, Output, PodUid, Reject, Replace, Revision,
    StateVersion, StreamId, Subject, Tenure, Ticket, TicketParts, Time, Value,
};
use std::borrow::Borrow;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: u64,
    pub(crate) place: u64,
    pub(crate) election: ElectionName,
    pub(crate) label: CandidateName,
    pub(crate) subject: Subject,
    pub(crate) pod: Option<PodUid>,
    pub(crate) value: Value,
    pub(crate) ttl: Option<Millis>,
    pub(crate) accepted: Time,
    pub(crate) give_up: Option<Time>,
    pub(crate) token: Option<FencingToken>,
    pub(crate) drains_until: Option<Time>,
    pub(crate) stream: Option<StreamId>,
    pub(crate) version: u64,
    pub(crate) attempt: Option<Attempt>,
    /// How long its election is on hold once it is granted.
    pub(crate) hold: Millis,
    /// Until when that is, once it leads.
    pub(crate) held_until: Option<Time>,
    /// Of a drain that was handed over: what its ticket goes on saying.
    pub(crate) accepted_in: Option<(Tenure, Millis)>,
}

/// A tenure, as far as the elections need it.
#[derive(Clone, Debug)]
pub(crate) struct Elections {
    pub(crate) config: Config,
    pub(crate) now: Time,
    pub(crate) tenure: Tenure,
    pub(crate) began: Time,
    pub(crate) next: u64,
    /// When the wait ends; `None`: it has.
    pub(crate) settles: Option<Time>,
    /// The tenure before, and when its right had ended at the latest.
    pub(crate) former: Option<(Tenure, Millis)>,
    pub(crate) everybody: Vec<Candidate>,
    pub(crate) ended: Vec<(u64, EndReason)>,
    /// An end was forgotten: nobody is put back any more.
    pub(crate) forgot: bool,
    /// Leaders' tickets that were refused.
    pub(crate) refused: Vec<Ticket>,
    pub(crate) last: Vec<Arc<Change>>,
    /// Elections on hold, and until when.
    pub(crate) holds: Vec<(ElectionName, Time)>,
    /// The last change of all.
    pub(crate) told: Option<Revision>,
    pub(crate) out: Vec<Output>,
}

impl Candidate {
    pub(crate) fn due(&self) -> Option<Time> {
        let lease = self.ttl.map(|ttl| self.accepted + ttl.with_drift());
        match self.drains_until {
            Some(until) => Some(until),
            None => lease.into_iter().chain(self.give_up.filter(|_| self.token.is_none())).min(),
        }
    }

    pub(crate) fn leader(&self) -> Option<Leader> {
        Some(Leader {
            candidate: self.label.clone(),
            token: self.token?,
            value: self.value.clone(),
            draining: self.drains_until.is_some(),
            leased: self.ttl.is_some(),
        })
    }
}

impl Elections {
    pub(crate) fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Candidate> {
        self.everybody.iter().find(|c| c.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Candidate> {
        self.everybody.iter_mut().find(|c| c.id == id)
    }

    pub(crate) fn leader_of(&self, name: &ElectionName) -> Option<&Candidate> {
        self.everybody.iter().find(|c| c.election == *name && c.token.is_some())
    }

    /// Who waits in an election, first in line first.
    pub(crate) fn line(&self, name: &ElectionName) -> Vec<&Candidate> {
        let mut line: Vec<_> = self.everybody.iter().filter(|c| c.election == *name && c.token.is_none()).collect();
        line.sort_by_key(|c| (c.place, c.id));
        line
    }

    pub(crate) fn names(&self) -> Vec<ElectionName> {
        let on_hold = self.holds.iter().map(|(name, _)| name.clone());
        let mut names: Vec<_> = self.everybody.iter().map(|c| c.election.clone()).chain(on_hold).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn settling(&self) -> Millis {
        self.settles.map_or(Millis(0), |at| at.since(self.now))
    }

    pub(crate) fn hold(&self, name: &ElectionName) -> Option<Time> {
        self.holds.iter().find(|(held, _)| held == name).map(|(_, until)| *until)
    }

    /// A hold is never made shorter.
    pub(crate) fn put_on_hold(&mut self, name: &ElectionName, until: Time) {
        let until = self.hold(name).map_or(until, |before| before.max(until));
        self.holds.retain(|(held, _)| held != name);
        self.holds.push((name.clone(), until));
    }

    pub(crate) fn hold_left(&self, name: &ElectionName) -> Millis {
        self.hold(name).map_or(Millis(0), |until| until.since(self.now))
    }

    pub(crate) fn ticket(&self, c: &Candidate) -> Option<Ticket> {
        let (tenure, accepted_at) = c.accepted_in.unwrap_or((self.tenure, c.accepted.since(self.began)));
        let parts = TicketParts {
            election: c.election.clone(),
            candidate: c.label.clone(),
            subject: c.subject.clone(),
            pod: c.pod.clone(),
            value: c.value.clone(),
            ttl: c.ttl?,
            enrolment: Enrolment(c.id),
            place: Enrolment(c.place),
            token: c.token,
            tenure,
            accepted_at,
            hold: match (c.token, c.held_until) {
                (None, _) => c.hold,
                (Some(_), until) => until.map_or(Millis(0), |until| until.since(c.accepted)),
            },
            issued: self.tenure,
        };
        // Whatever the core says, the model says as well: so each ticket of the core passes the
        // door.
        Some(Ticket::from_parts(parts).expect("tickets are lawful"))
    }

    pub(crate) fn event(&mut self, stream: Option<StreamId>, version: u64, event: Event) {
        let version = StateVersion(version);
        self.out.extend(stream.map(|stream| Output::Event { stream, version, event }));
    }

    pub(crate) fn tell_enrolled(&mut self, id: u64) {
        let c = self.get(id).expect("it exists").clone();
        let ticket = self.ticket(&c).map(Box::new);
        self.event(c.stream, c.version, Event::Enrolled { enrolment: Enrolment(id), ticket });
    }

    pub(crate) fn tell_elected(&mut self, id: u64) {
        let c = self.get(id).expect("it exists").clone();
        let lead = Lead {
            election: c.election.clone(),
            candidate: c.label.clone(),
            token: c.token.expect("it leads"),
            ticket: self.ticket(&c),
            lease_left: c.ttl.map(|ttl| (c.accepted + ttl).since(self.now)),
        };
        self.event(c.stream, c.version, Event::Elected(Box::new(lead)));
    }

    pub(crate) fn tell_waiting(&mut self, id: u64) {
        let c = self.get(id).expect("it exists").clone();
        let before = self.line(&c.election).iter().filter(|other| (other.place, other.id) < (c.place, c.id)).count();
        let ahead = before + usize::from(self.leader_of(&c.election).is_some());
        let (settling, hold) = (self.settling(), self.hold_left(&c.election));
        self.event(c.stream, c.version, Event::Waiting { ahead, settling, hold });
    }

    pub(crate) fn changed(&mut self, name: &ElectionName, revision: u64, reason: ChangeReason) {
        let revision = Revision(revision);
        let leader = self.leader_of(name).and_then(Candidate::leader);
        let held_until = self.hold(name);
        let change = Arc::new(Change { election: name.clone(), revision, leader, reason, held_until });
        self.told = Some(revision);
        self.last.retain(|last| last.election != *name);
        self.last.push(Arc::clone(&change));
        self.out.push(Output::Changed(change));
    }

    pub(crate) fn end(&mut self, id: u64, reason: EndReason) {
        let at = self.everybody.iter().position(|c| c.id == id).expect("it exists");
        let c = self.everybody.remove(at);
        if c.token.is_some() {
            let revision = self.draw();
            self.changed(&c.election, revision, ChangeReason::Ended(reason));
        }
        self.remember(id, reason);
        self.out.push(Output::Ended(Box::new(Ended {
            enrolment: Enrolment(id),
            election: c.election,
            candidate: c.label,
            token: c.token,
            reason,
        })));
        if let Some(stream) = c.stream {
            self.event(Some(stream), 0, Event::Ended(reason));
            self.out.push(Output::Close { stream, why: None });
        }
    }

    pub(crate) fn remember(&mut self, id: u64, reason: EndReason) {
        self.ended.push((id, reason));
        if self.ended.len() > self.config.limits.remembered_ends {
            let (oldest, _) = self.ended.remove(0);
            self.forgot |= oldest < self.tenure.0;
        }
    }

    pub(crate) fn grant(&mut self, id: u64) {
        let token = self.draw();
        let now = self.now;
        let c = self.get_mut(id).expect("it exists");
        (c.token, c.version) = (Some(FencingToken(token)), token);
        let name = c.election.clone();
        if c.hold > Millis(0) {
            let until = now + c.hold;
            c.held_until = Some(until);
            self.put_on_hold(&name, until);
        }
        self.tell_elected(id);
        self.changed(&name, token, ChangeReason::Elected);
    }

    /// Grants every vacant election that has candidates, in the order of names.
    pub(crate) fn grant_all(&mut self, names: &[ElectionName]) {
        for name in names {
            let first = self.line(name).first().map(|c| c.id);
            if let (None, None, None, Some(first)) = (self.settles, self.hold(name), self.leader_of(name), first) {
                self.grant(first);
            }
        }
    }

    /// Holds whose time has come end, and all candidacies whose time has, the longest overdue
    /// first; then what they left is granted.
    pub(crate) fn expire(&mut self) {
        let now = self.now;
        let mut due: Vec<_> = self.everybody.iter().filter(|c| c.due().is_some_and(|at| at <= now)).cloned().collect();
        due.sort_by_key(|c| (c.due(), c.id));
        let mut names: Vec<_> =
            self.holds.iter().filter(|(_, until)| *until <= now).map(|(name, _)| name.clone()).collect();
        self.holds.retain(|(_, until)| *until > now);
        for c in due {
            let reason = match (c.drains_until, c.give_up.filter(|_| c.token.is_none())) {
                (Some(_), _) => EndReason::SteppedDown,
                (None, Some(at)) if at <= now => EndReason::NotGranted,
                _ => EndReason::Expired,
            };
            self.end(c.id, reason);
            names.push(c.election);
        }
        names.sort();
        self.grant_all(&names);
        self.forget_the_empty();
    }

    pub(crate) fn forget_the_empty(&mut self) {
        let names = self.names();
        self.last.retain(|change| names.contains(&change.election));
    }

    /// The candidacy that an earlier entry of the same name made.
    fn made_by(&self, entry: &Entry) -> Option<&Candidate> {
        self.everybody.iter().filter(|_| entry.attempt.is_some()).find(|c| {
            (&c.election, &c.label, &c.subject, &c.ttl, &c.attempt)
                == (&entry.election, &entry.candidate, &entry.subject, &entry.ttl, &entry.attempt)
        })
    }

    pub(crate) fn campaign(&mut self, stream: StreamId, entry: Entry) {
        if let Some(id) = self.made_by(&entry).map(|c| c.id) {
            return self.enter_again(stream, id);
        }
        if let Some(why) = self.over_a_limit(&entry) {
            self.out.push(Output::Close { stream, why: Some(why) });
            return;
        }
        let mut formers: Vec<_> = self.everybody.iter().filter(|c| c.is_replaced_by(&entry)).cloned().collect();
        formers.sort_by_key(|c| (c.token.is_none(), c.place, c.id));
        let heirs = || formers.iter().filter(|c| c.drains_until.is_none());
        let (place, led) = (heirs().map(|c| c.place).min(), heirs().any(|c| c.token.is_some()));
        for former in &formers {
            self.end(former.id, EndReason::Replaced);
        }
        let id = self.draw();
        self.everybody.push(Candidate {
            id,
            place: place.unwrap_or(id),
            election: entry.election.clone(),
            label: entry.candidate,
            subject: entry.subject,
            pod: entry.pod,
            value: entry.value,
            ttl: entry.ttl,
            accepted: self.now,
            give_up: entry.max_wait.map(|wait| self.now + wait),
            token: None,
            drains_until: None,
            stream: Some(stream),
            version: id,
            attempt: entry.attempt,
            hold: entry.hold,
            held_until: None,
            accepted_in: None,
        });
        self.tell_enrolled(id);
        if led && self.settles.is_none() && self.hold(&entry.election).is_none() {
            self.grant(id);
        }
        self.grant_all(std::slice::from_ref(&entry.election));
        if self.get(id).is_some_and(|c| c.token.is_some()) {
            return;
        }
        if entry.no_wait || entry.max_wait == Some(Millis(0)) {
            self.end(id, EndReason::NotGranted);
        } else {
            self.tell_waiting(id);
        }
    }

    fn over_a_limit(&self, entry: &Entry) -> Option<Reject> {
        let (limits, max) = (&self.config.limits, self.config.max_ttl);
        if let Some(ttl) = entry.ttl.filter(|ttl| *ttl < MIN_TTL || *ttl > max) {
            return Some(Reject::TtlOutOfRange { ttl, min: MIN_TTL, max });
        }
        if entry.hold > MAX_HOLD {
            return Some(Reject::HoldTooLong { hold: entry.hold, max: MAX_HOLD });
        }
        let replaced = self.everybody.iter().filter(|c| c.is_replaced_by(entry)).count();
        if self.everybody.len() - replaced >= limits.candidacies {
            return Some(Reject::TooManyCandidacies { limit: limits.candidacies });
        }
        if self.everybody.iter().filter(|c| c.subject == entry.subject).count() - replaced
            >= limits.candidacies_per_subject
        {
            return Some(Reject::SubjectFull { limit: limits.candidacies_per_subject });
        }
        let members = self.everybody.iter().filter(|c| c.election == entry.election).count();
        let names = self.names();
        if entry.hold > Millis(0) && self.holds.len() >= limits.elections {
            return Some(Reject::TooManyElections { limit: limits.elections });
        }
        if !names.contains(&entry.election) && names.len() >= limits.elections + self.holds.len() {
            return Some(Reject::TooManyElections { limit: limits.elections });
        }
        if members > 0 && members - replaced >= limits.candidacies_per_election {
            let limit = limits.candidacies_per_election;
            return Some(Reject::ElectionFull { election: entry.election.clone(), limit });
        }
        let bytes = bytes([&entry.election, &entry.candidate, &entry.subject, &entry.value]);
        let others = self.bytes_of(|c| !c.is_replaced_by(entry));
        self.over_the_budget(self.bytes_of(|_| true), others, bytes)
    }

    /// What these take together.
    pub(crate) fn bytes_of(&self, which: impl Fn(&Candidate) -> bool) -> usize {
        let those = self.everybody.iter().filter(|c| which(c));
        those.map(|c| bytes([&c.election, &c.label, &c.subject, &c.value])).sum()
    }

    /// Whether so many bytes more than the others take don't fit.
    pub(crate) fn over_the_budget(&self, now: usize, others: usize, bytes: usize) -> Option<Reject> {
        let limit = self.config.limits.bytes;
        let room = if bytes <= CANDIDACY_BYTES + 512 { limit } else { limit - limit / 8 };
        (others + bytes > now && 1024 * self.holds.len() + others + bytes > room)
            .then_some(Reject::OutOfMemoryBudget { limit })
    }
}

impl Candidate {
    fn is_replaced_by(&self, entry: &Entry) -> bool {
        let same = self.election == entry.election && self.label == entry.candidate && self.subject == entry.subject;
        let pod = self.pod.is_some() && self.pod == entry.pod;
        same && (entry.replace_former == Replace::All || entry.replace_former == Replace::OfItsPod && pod)
    }
}

/// What a candidacy with these words takes; the last one is its value.
pub(crate) fn bytes(words: [&dyn Borrow<str>; 4]) -> usize {
    let [names @ .., value] = words.map(|word| word.borrow().len());
    CANDIDACY_BYTES + names.iter().sum::<usize>() + 3 * value
}
