//! One replica: the candidacies that its core knows, by what it says.

use super::{Known, View};
use leasehold_core::{
    Ask, CandidateName, ChangeReason, ElectionName, EndReason, Enrolment, Event, Input, Leader, Output, Reject, Reply,
    StreamId, Ticket,
};

impl View {
    pub(super) fn said(&mut self, output: &Output) {
        match output {
            Output::Write { write, record, .. } => self.asks_to_write(*write, record),
            Output::TenureBegan { tenure, began, .. } => self.begins(*tenure, *began),
            Output::Settled => self.settled = true,
            Output::Event { stream, event: Event::Enrolled { enrolment, ticket }, .. } => {
                self.newcomer = Some(*enrolment);
                self.enrolled(*stream, *enrolment, ticket.as_deref());
            }
            Output::Event { stream, event: Event::Ended(_), .. } => {
                if let Some(Input::Reopen { stream: asked, ticket }) = &self.input
                    && asked == stream
                {
                    let ticket = ticket.clone();
                    self.refused.insert(ticket.enrolment);
                    self.refuses(&ticket);
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

    fn enrolled(&mut self, stream: StreamId, enrolment: Enrolment, ticket: Option<&Ticket>) {
        let Some(Input::Campaign { entry, .. }) = self.input.clone() else {
            if let Some(ticket) = ticket {
                self.learn(&ticket.clone(), Some(stream));
            }
            return;
        };
        let place = self.inherits.unwrap_or(enrolment);
        let known = self.candidacies.entry(enrolment).or_insert_with(|| Known {
            election: entry.election,
            name: entry.candidate,
            place,
            leased: entry.ttl.is_some(),
            token: None,
            draining: false,
            stream: None,
            attempt: entry.attempt,
        });
        known.stream = Some(stream);
    }

    fn changed(&mut self, election: &ElectionName, leader: Option<&Leader>, why: ChangeReason) {
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
                for (asked, kept) in self.tickets().iter().zip(kept) {
                    match kept.ticket() {
                        Some(ticket) => _ = self.learn(ticket, None),
                        None => self.refuses(asked),
                    }
                }
            }
            Ok(Reply::Proclaimed { ticket, .. }) => _ = self.learn(ticket, None),
            // It may not have been known: it is over from now on.
            Ok(Reply::Resigned { .. }) => {
                for ticket in self.tickets() {
                    self.ended.entry(ticket.enrolment).or_insert(EndReason::Resigned);
                }
            }
            Err(Reject::Ended { .. }) => {
                for ticket in self.tickets() {
                    self.refused.insert(ticket.enrolment);
                    self.refuses(&ticket);
                }
            }
            // A waiter was put back all the same.
            Err(Reject::NotLeading { .. }) => {
                for ticket in self.tickets() {
                    self.learn(&ticket, None);
                }
            }
            _ => {}
        }
    }

    fn refuses(&mut self, ticket: &Ticket) {
        if ticket.token.is_some() {
            let latest = self.led_later.entry(ticket.enrolment).or_default();
            *latest = ticket.tenure.max(*latest);
        }
    }

    /// A candidacy exists. Whether it leads is known from elsewhere.
    pub(super) fn learn(&mut self, ticket: &Ticket, stream: Option<StreamId>) -> &mut Known {
        let known = self.candidacies.entry(ticket.enrolment).or_insert_with(|| Known {
            election: ticket.election.clone(),
            name: ticket.candidate.clone(),
            place: ticket.place,
            leased: true,
            token: None,
            draining: false,
            stream: None,
            attempt: None,
        });
        known.stream = stream.or(known.stream);
        known
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
