//! The naive model of the elections: one flat list of candidacies, and everything else is looked up in it each time.
//!
//! No index, no deadline structure, no count is kept; what is due is found by looking at everybody.

use leasehold_core::{
    CANDIDACY_BYTES, CandidateName, Change, ChangeReason, Config, ElectionName, EndReason, Ended, Enrolment, Entry,
    Event, FencingToken, Lead, Leader, MIN_TTL, Millis, Output, Reject, Revision, StreamId, Subject, Tenure, Ticket,
    Time, Value,
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
    pub(crate) value: Value,
    pub(crate) ttl: Option<Millis>,
    pub(crate) accepted: Time,
    pub(crate) give_up: Option<Time>,
    pub(crate) token: Option<FencingToken>,
    pub(crate) drains_until: Option<Time>,
    pub(crate) stream: Option<StreamId>,
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
        let mut names: Vec<_> = self.everybody.iter().map(|c| c.election.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn settling(&self) -> Millis {
        self.settles.map_or(Millis(0), |at| at.since(self.now))
    }

    pub(crate) fn ticket(&self, c: &Candidate) -> Option<Ticket> {
        let (tenure, accepted_at) = c.accepted_in.unwrap_or((self.tenure, c.accepted.since(self.began)));
        Some(Ticket {
            election: c.election.clone(),
            candidate: c.label.clone(),
            subject: c.subject.clone(),
            value: c.value.clone(),
            ttl: c.ttl?,
            enrolment: Enrolment(c.id),
            place: Enrolment(c.place),
            token: c.token,
            tenure,
            accepted_at,
        })
    }

    pub(crate) fn event(&mut self, stream: Option<StreamId>, event: Event) {
        self.out.extend(stream.map(|stream| Output::Event { stream, event }));
    }

    pub(crate) fn tell_enrolled(&mut self, id: u64) {
        let c = self.get(id).expect("it exists").clone();
        self.event(c.stream, Event::Enrolled { enrolment: Enrolment(id), ticket: self.ticket(&c).map(Box::new) });
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
        self.event(c.stream, Event::Elected(Box::new(lead)));
    }

    pub(crate) fn tell_waiting(&mut self, id: u64) {
        let c = self.get(id).expect("it exists").clone();
        let before = self.line(&c.election).iter().filter(|other| (other.place, other.id) < (c.place, c.id)).count();
        let ahead = before + usize::from(self.leader_of(&c.election).is_some());
        self.event(c.stream, Event::Waiting { ahead, settling: self.settling() });
    }

    pub(crate) fn changed(&mut self, name: &ElectionName, revision: Option<u64>, reason: ChangeReason) -> Revision {
        let revision = Revision(revision.unwrap_or_else(|| self.draw()));
        let leader = self.leader_of(name).and_then(Candidate::leader);
        let change = Arc::new(Change { election: name.clone(), revision, leader, reason });
        self.last.retain(|last| last.election != *name);
        self.last.push(Arc::clone(&change));
        self.out.push(Output::Changed(change));
        revision
    }

    pub(crate) fn end(&mut self, id: u64, reason: EndReason) {
        let at = self.everybody.iter().position(|c| c.id == id).expect("it exists");
        let c = self.everybody.remove(at);
        if c.token.is_some() {
            self.changed(&c.election, None, ChangeReason::Ended(reason));
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
            self.event(Some(stream), Event::Ended(reason));
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
        let c = self.get_mut(id).expect("it exists");
        c.token = Some(FencingToken(token));
        let name = c.election.clone();
        self.tell_elected(id);
        self.changed(&name, Some(token), ChangeReason::Elected);
    }

    /// Grants every vacant election that has candidates, in the order of names.
    pub(crate) fn grant_all(&mut self, names: &[ElectionName]) {
        for name in names {
            let first = self.line(name).first().map(|c| c.id);
            if let (None, None, Some(first)) = (self.settles, self.leader_of(name), first) {
                self.grant(first);
            }
        }
    }

    /// All whose time has come end, the longest overdue first; then what they left is granted.
    pub(crate) fn expire(&mut self) {
        let now = self.now;
        let mut due: Vec<_> = self.everybody.iter().filter(|c| c.due().is_some_and(|at| at <= now)).cloned().collect();
        due.sort_by_key(|c| (c.due(), c.id));
        let mut names = Vec::new();
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

    pub(crate) fn campaign(&mut self, stream: StreamId, entry: Entry) {
        if let Some(why) = self.over_a_limit(&entry) {
            self.out.push(Output::Close { stream, why: Some(why) });
            return;
        }
        let same =
            |c: &&Candidate| c.election == entry.election && c.label == entry.candidate && c.subject == entry.subject;
        let mut formers: Vec<_> =
            self.everybody.iter().filter(same).filter(|_| entry.replace_former).cloned().collect();
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
            value: entry.value,
            ttl: entry.ttl,
            accepted: self.now,
            give_up: entry.max_wait.map(|wait| self.now + wait),
            token: None,
            drains_until: None,
            stream: Some(stream),
            accepted_in: None,
        });
        self.tell_enrolled(id);
        if led && self.settles.is_none() {
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
        let replaced = |c: &&Candidate| entry.replace_former && c.is_former_of(entry);
        let replaced = self.everybody.iter().filter(replaced).count();
        if self.everybody.len() - replaced >= limits.candidacies {
            return Some(Reject::TooManyCandidacies { limit: limits.candidacies });
        }
        if self.everybody.iter().filter(|c| c.subject == entry.subject).count() - replaced
            >= limits.candidacies_per_subject
        {
            return Some(Reject::SubjectFull { limit: limits.candidacies_per_subject });
        }
        let members = self.everybody.iter().filter(|c| c.election == entry.election).count();
        if members == 0 && self.names().len() >= limits.elections {
            return Some(Reject::TooManyElections { limit: limits.elections });
        }
        if members > 0 && members - replaced >= limits.candidacies_per_election {
            let limit = limits.candidacies_per_election;
            return Some(Reject::ElectionFull { election: entry.election.clone(), limit });
        }
        let bytes = bytes([&entry.election, &entry.candidate, &entry.subject, &entry.value]);
        let others = self.bytes_of(|c| !(entry.replace_former && c.is_former_of(entry)));
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
        (others + bytes > now && others + bytes > room).then_some(Reject::OutOfMemoryBudget { limit })
    }
}

impl Candidate {
    fn is_former_of(&self, entry: &Entry) -> bool {
        self.election == entry.election && self.label == entry.candidate && self.subject == entry.subject
    }
}

/// What a candidacy with these words takes; the last one is its value.
pub(crate) fn bytes(words: [&dyn Borrow<str>; 4]) -> usize {
    let [names @ .., value] = words.map(|word| word.borrow().len());
    CANDIDACY_BYTES + names.iter().sum::<usize>() + 2 * value
}
