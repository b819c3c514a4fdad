//! One replica: how long its right lasts, what its mirror knows, and what it was told.

use super::{Fact, Former, Reached, Sent, View};
use leasehold_core::{Found, Input, Lease, MirrorBatch, Outcome, Output, StreamId, TenureEnd, Ticket, Time, WriteId};

impl View {
    /// Returns the tenure that ended, if one did.
    pub(super) fn note(&mut self, fact: &Fact<'_>) -> Option<Former> {
        match fact {
            Fact::Started { clock } => {
                let former = self.end_tenure(false);
                let (with_lease, owners) = (self.with_lease, std::mem::take(&mut self.owners));
                *self = Self { with_lease, owners, clock: *clock, now: clock.read(Time(0)), ..Self::default() };
                former
            }
            Fact::Crashed => self.end_tenure(false),
            Fact::Told(input) => {
                self.told(input);
                None
            }
            // While its right has lapsed a server with a file doesn't know whose time is over.
            Fact::Said(Output::TenureEnded { why, .. }) => {
                self.behind = *why == TenureEnd::Behind;
                self.end_tenure(*why == TenureEnd::Shutdown && self.right_until > self.now)
            }
            Fact::Said(output) => {
                self.said(output);
                None
            }
            _ => None,
        }
    }

    fn told(&mut self, input: &Input) {
        let (forwarded, input) = match input {
            Input::Forwarded { tenure, input } => (Some(*tenure), &**input),
            input => (None, input),
        };
        (self.input, self.forwarded) = (Some(input.clone()), forwarded);
        (self.heir, self.inherits, self.newcomer) = (false, None, None);
        match input {
            Input::Written { write, outcome: Outcome::Stored(_) } => self.confirm(*write),
            // A claim that isn't stored begins nothing.
            Input::Written { write, outcome: Outcome::Held } if self.tenure.is_some() => self.confirm(*write),
            Input::FoundLease { lease: Some(lease), .. } | Input::Watched { lease: Some(lease), .. } => {
                self.recognise(lease);
            }
            Input::StreamClosed { stream } => self.stream_gone(*stream),
            Input::MirrorSnapshot(batch) => self.mirror_snapshot(batch),
            Input::MirrorChanged(batch) => self.mirror_changed(batch),
            _ => {}
        }
    }

    /// With a file.
    pub(super) fn found_file(&mut self, found: &Found, tampered: bool) {
        let record = if let Found::Record(record) = found { Some(record.clone()) } else { None };
        if record.is_none() || record != self.claim {
            (self.found, self.outdated) = (record, tampered);
        }
    }

    /// A write is known to be stored. With a Lease, a right that has ended stays ended.
    fn confirm(&mut self, write: WriteId) {
        let Some(sent) = self.sent.get(&write) else { return };
        let until = sent.at + (sent.record.duration - sent.record.margin);
        match self.tenure {
            None => self.right_until = until,
            Some(tenure) if tenure == sent.record.tenure && (self.right_until > self.now || !self.with_lease) => {
                self.right_until = self.right_until.max(until);
            }
            Some(_) => {}
        }
    }

    /// It finds what it has written, though it may never have heard that it was stored.
    fn recognise(&mut self, lease: &Lease) {
        let Some(signed) = lease.content.held() else { return };
        let write = self.sent.iter().find(|(_, sent)| sent.record == signed.record).map(|(write, _)| *write);
        if let Some(write) = write {
            self.confirm(write);
        }
    }

    fn mirror_snapshot(&mut self, batch: &MirrorBatch) {
        self.mirror = Some((batch.tenure, batch.number));
        self.mirrored = batch.there.iter().map(|mirrored| (mirrored.ticket.enrolment, mirrored.clone())).collect();
    }

    fn mirror_changed(&mut self, batch: &MirrorBatch) {
        let Some((tenure, number)) = self.mirror else { return };
        if (batch.tenure, batch.number) <= (tenure, number) {
            return;
        }
        // After a gap it knows nothing until the next snapshot.
        let follows = (batch.tenure, batch.after) == (tenure, number);
        self.mirror = follows.then_some((batch.tenure, batch.number));
        for gone in &batch.gone {
            self.mirrored.remove(gone);
        }
        self.mirrored.extend(batch.there.iter().map(|mirrored| (mirrored.ticket.enrolment, mirrored.clone())));
    }

    pub(super) fn stream_gone(&mut self, stream: StreamId) {
        for known in self.candidacies.values_mut().filter(|known| known.stream == Some(stream)) {
            known.stream = None;
        }
    }

    fn end_tenure(&mut self, orderly: bool) -> Option<Former> {
        let former = self.tenure.take().map(|tenure| self.as_former(tenure, orderly));
        self.candidacies.clear();
        self.leaders.clear();
        self.ended.clear();
        self.refused.clear();
        self.led_later.clear();
        former
    }

    pub(super) fn asks_to_write(&mut self, write: WriteId, record: &leasehold_core::Record) {
        let mirror: Reached = self.mirror;
        self.sent.insert(write, Sent { at: self.now, record: record.clone(), mirror });
        if self.sent.len() > 100 {
            self.sent.pop_first();
        }
        self.claim = if self.tenure.is_none() { Some(record.clone()) } else { None };
    }

    /// The tickets of what it must know of the tenure before.
    fn carried(&self) -> Vec<Ticket> {
        if self.with_lease {
            return self.mirrored.values().map(|mirrored| mirrored.ticket.clone()).collect();
        }
        let carried = self.found.as_ref().and_then(|record| record.handover.clone()).unwrap_or_default();
        carried.candidacies.into_iter().map(|carried| carried.ticket).collect()
    }

    pub(super) fn begins(&mut self, tenure: leasehold_core::Tenure, began: Time) {
        (self.tenure, self.began) = (Some(tenure), began);
        (self.settled, self.claim) = (false, None);
        // A handover that was written while the right had lapsed lacks whom nobody could end then:
        // what is in it counts.
        let carries = self.handed_over || (!self.with_lease && !self.outdated);
        if carries {
            for ticket in self.carried() {
                // Which entry made it, only its own tenure knew.
                let attempt = self.former.candidacies.get(&ticket.enrolment).and_then(|known| known.attempt.clone());
                self.learn(&ticket, None).attempt = attempt;
            }
        }
    }
}
