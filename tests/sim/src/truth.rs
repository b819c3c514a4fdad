//! What is so, as far as it follows from what the core was told and said: the checks look things up here.

use leasehold_core::{
    Ask, CandidateName, ChangeReason, ElectionName, EndReason, Enrolment, Event, FencingToken, Found, Input, Kept,
    Millis, Outcome, Output, Record, Reject, Reply, StreamId, Tenure, TenureEnd, Ticket, Time, WriteId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    /// A process starts; its clock is ahead of the simulation's by so much.
    Started { ahead: Millis },
    /// The process is gone without a word.
    Crashed,
    /// The core is told this.
    Told(&'a Input),
    /// The core says this.
    Said(&'a Output),
    /// The core has said everything.
    SaidAll,
    /// The store holds this now.
    Stored { found: &'a Found, by_fault: bool },
    /// The store is read; the core is told when the process gets to it.
    Read,
    /// A worker believes that it leads.
    Believes { worker: usize, election: &'a ElectionName, token: FencingToken, until: Option<Time> },
    /// A worker doesn't believe that it leads.
    Doubts { worker: usize },
    /// An observer was told this.
    Observed { observer: usize, batch: &'a leasehold_core::Batch },
    /// An observer's stream begins: after what it was told last, or anew.
    ObserverConnects { observer: usize, resumes: bool },
    /// Faults have ended long enough ago for every election with a live candidate to have a leader.
    ProgressDue { wanted: &'a [ElectionName] },
    /// The end: what each live worker takes for its candidacy, and the tokens with which workers believe that they lead.
    TheEnd { candidacies: &'a [(usize, Enrolment)], led: &'a [FencingToken] },
}

/// A candidacy that the core knows.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) election: ElectionName,
    pub(crate) name: CandidateName,
    pub(crate) place: Enrolment,
    pub(crate) leased: bool,
    pub(crate) token: Option<FencingToken>,
    pub(crate) draining: bool,
    pub(crate) stream: Option<StreamId>,
}

/// What a tenure knew when it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Former {
    pub(crate) tenure: Tenure,
    pub(crate) candidacies: BTreeMap<Enrolment, Known>,
    /// It ended in good order after its wait.
    pub(crate) orderly: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) ahead: Millis,
    pub(crate) tenure: Option<Tenure>,
    /// Of this tenure, on the simulation's clock.
    pub(crate) began: Time,
    pub(crate) settled: bool,
    /// What the process found last.
    pub(crate) found: Option<Record>,
    /// What was found isn't what the last tenure wrote.
    pub(crate) outdated: bool,
    /// What stands in the store now isn't.
    tampered: bool,
    /// What was read last wasn't.
    read_tampered: bool,
    /// What this process wrote to claim a tenure that hasn't begun: if it finds that, what it had found before still counts.
    claim: Option<Record>,
    /// The moment before the last confirmed write of this tenure was sent, and what it is good for.
    pub(crate) right_until: Time,
    sent: BTreeMap<WriteId, (Time, Millis)>,
    pub(crate) candidacies: BTreeMap<Enrolment, Known>,
    pub(crate) leaders: BTreeMap<ElectionName, FencingToken>,
    pub(crate) ended: BTreeMap<Enrolment, EndReason>,
    /// Told that they are over when they were opened again or proclaimed: that is final.
    pub(crate) refused: BTreeSet<Enrolment>,
    pub(crate) owners: BTreeMap<FencingToken, Enrolment>,
    pub(crate) former: Former,
    /// What is being handled.
    pub(crate) input: Option<Input>,
    /// A leader was replaced by the candidate that enters.
    pub(crate) heir: bool,
    /// The place that the candidate takes over that enters.
    inherits: Option<Enrolment>,
    newcomer: Option<Enrolment>,
}

impl Truth {
    pub(crate) fn note(&mut self, now: Time, fact: &Fact<'_>) {
        match fact {
            Fact::Started { ahead } => {
                (self.ahead, self.claim) = (*ahead, None);
                self.sent.clear();
            }
            Fact::Crashed => self.end_tenure(false),
            Fact::Told(input) => {
                self.input = Some((*input).clone());
                (self.heir, self.inherits, self.newcomer) = (false, None, None);
                match input {
                    Input::Found { found, .. } => {
                        let record = if let Found::Record(record) = found { Some(record.clone()) } else { None };
                        if record.is_none() || record != self.claim {
                            (self.found, self.outdated) = (record, self.read_tampered);
                        }
                    }
                    Input::Written { write, outcome: Outcome::Stored(_) } => {
                        if let Some((sent, good_for)) = self.sent.get(write) {
                            self.right_until = *sent + *good_for;
                        }
                    }
                    Input::StreamClosed { stream } => self.stream_gone(*stream),
                    _ => {}
                }
            }
            Fact::Said(output) => self.said(now, output),
            Fact::Stored { by_fault, .. } => self.tampered = *by_fault,
            Fact::Read => self.read_tampered = self.tampered,
            _ => {}
        }
    }

    fn stream_gone(&mut self, stream: StreamId) {
        for known in self.candidacies.values_mut().filter(|known| known.stream == Some(stream)) {
            known.stream = None;
        }
    }

    fn end_tenure(&mut self, orderly: bool) {
        let candidacies = std::mem::take(&mut self.candidacies);
        if let Some(tenure) = self.tenure.take() {
            self.former = Former { tenure, candidacies, orderly: orderly && self.settled };
        }
        self.leaders.clear();
        self.ended.clear();
        self.refused.clear();
    }

    fn said(&mut self, now: Time, output: &Output) {
        match output {
            Output::Write { write, record: Some(record), .. } => {
                self.sent.insert(*write, (now, record.duration - record.margin));
                self.claim = if self.tenure.is_none() { Some((**record).clone()) } else { None };
            }
            Output::TenureBegan { tenure, began, .. } => {
                self.tenure = Some(*tenure);
                self.began = Time(began.0 - self.ahead.0);
                (self.settled, self.claim) = (false, None);
                let carried = self.found.as_ref().and_then(|record| record.handover.clone()).unwrap_or_default();
                if !self.outdated {
                    carried.iter().for_each(|carried| self.learn(&carried.ticket, None));
                }
            }
            Output::Settled => self.settled = true,
            Output::TenureEnded { why, .. } => self.end_tenure(*why == TenureEnd::Shutdown),
            Output::Event { stream, event: Event::Enrolled { enrolment, ticket } } => {
                self.newcomer = Some(*enrolment);
                match (ticket, &self.input) {
                    (Some(ticket), _) => {
                        let ticket = ticket.clone();
                        self.learn(&ticket, Some(*stream));
                    }
                    (None, Some(Input::Campaign { entry, .. })) => {
                        let known = Known {
                            election: entry.election.clone(),
                            name: entry.candidate.clone(),
                            place: self.inherits.unwrap_or(*enrolment),
                            leased: false,
                            token: None,
                            draining: false,
                            stream: Some(*stream),
                        };
                        self.candidacies.insert(*enrolment, known);
                    }
                    _ => {}
                }
            }
            Output::Event { stream, event: Event::Ended(_) } => {
                if let Some(Input::Reopen { stream: asked, ticket }) = &self.input
                    && asked == stream
                {
                    self.refused.insert(ticket.enrolment);
                }
            }
            Output::Changed(change) => self.changed(&change.election, change.leader.as_ref(), change.reason),
            Output::Ended(ended) => {
                let known = self.candidacies.remove(&ended.enrolment);
                // Who was told to hand over has lost its place.
                if let Some(known) = known.filter(|known| ended.reason == EndReason::Replaced && !known.draining) {
                    self.heir |= known.token.is_some();
                    self.inherits = Some(self.inherits.map_or(known.place, |place| place.min(known.place)));
                }
                self.ended.insert(ended.enrolment, ended.reason);
            }
            Output::Close { stream, .. } => self.stream_gone(*stream),
            Output::Reply { reply, .. } => self.replied(reply),
            _ => {}
        }
    }

    fn changed(&mut self, election: &ElectionName, leader: Option<&leasehold_core::Leader>, why: ChangeReason) {
        let Some(leader) = leader else {
            self.leaders.remove(election);
            return;
        };
        self.leaders.insert(election.clone(), leader.token);
        let owner = match why {
            ChangeReason::Elected => self.next_of(election, &leader.candidate),
            _ => self.owners.get(&leader.token).copied(),
        };
        let Some(owner) = owner else { return };
        if why == ChangeReason::Restored
            && !self.candidacies.contains_key(&owner)
            && let Some(ticket) = self.tickets().into_iter().find(|ticket| ticket.enrolment == owner)
        {
            self.learn(&ticket, None);
        }
        self.owners.insert(leader.token, owner);
        if let Some(known) = self.candidacies.get_mut(&owner) {
            known.token = Some(leader.token);
            known.draining = leader.draining;
        }
    }

    /// Who of this name is granted next: the heir, or the first in the line.
    fn next_of(&self, election: &ElectionName, name: &CandidateName) -> Option<Enrolment> {
        let newcomer = self.newcomer.filter(|_| self.heir);
        newcomer.or_else(|| self.line(election).into_iter().find(|(_, known)| known.name == *name).map(|(id, _)| id))
    }

    /// Who waits, first in line first.
    pub(crate) fn line(&self, election: &ElectionName) -> Vec<(Enrolment, &Known)> {
        let mut line: Vec<_> = self
            .candidacies
            .iter()
            .filter(|(_, known)| known.election == *election && known.token.is_none())
            .map(|(id, known)| (*id, known))
            .collect();
        line.sort_by_key(|(id, known)| (known.place, *id));
        line
    }

    fn replied(&mut self, reply: &Result<Reply, Reject>) {
        match reply {
            Ok(Reply::KeptAlive(kept)) => {
                for kept in kept {
                    if let Kept::Waiting(ticket) | Kept::Leading(ticket) | Kept::Draining { ticket, .. } = kept {
                        self.learn(&ticket.clone(), None);
                    }
                }
            }
            Ok(Reply::Proclaimed { ticket, .. }) => self.learn(&ticket.clone(), None),
            // It may not have been known: it is over from now on.
            Ok(Reply::Resigned { .. }) => {
                for ticket in self.tickets() {
                    self.ended.entry(ticket.enrolment).or_insert(EndReason::Resigned);
                }
            }
            Err(Reject::Ended { .. }) => self.refused.extend(self.tickets().iter().map(|ticket| ticket.enrolment)),
            // A waiter was put back all the same.
            Err(Reject::NotLeading { .. }) => {
                for ticket in self.tickets() {
                    self.learn(&ticket, None);
                }
            }
            _ => {}
        }
    }

    /// A candidacy exists. Whether it leads is known from elsewhere.
    fn learn(&mut self, ticket: &Ticket, stream: Option<StreamId>) {
        let known = self.candidacies.entry(ticket.enrolment).or_insert_with(|| Known {
            election: ticket.election.clone(),
            name: ticket.candidate.clone(),
            place: ticket.place,
            leased: true,
            token: None,
            draining: false,
            stream: None,
        });
        known.stream = stream.or(known.stream);
    }

    /// The tickets of what is being handled.
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        match &self.input {
            Some(Input::Call { ask: Ask::KeepAlive(tickets), .. }) => tickets.clone(),
            Some(Input::Call { ask: Ask::Resign(ticket) | Ask::Proclaim(ticket, _), .. }) => vec![ticket.clone()],
            Some(Input::Reopen { ticket, .. }) => vec![ticket.clone()],
            _ => Vec::new(),
        }
    }
}
