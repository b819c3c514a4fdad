//! The end in good order: stop serving, tell mirrors, then leave the last record.
//! Rule `stop-first`.

use super::{Replica, Role};
use crate::tenure::Last;
use crate::{Outcome, Output, Over, Record, Revision, Store, TenureEnd, Time, Version, WriteId};

/// The last words of a tenure on their way into the Lease.
#[derive(Debug)]
pub(super) struct Releasing {
    record: Box<Record>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// A renewal is under way: what it makes of the version is what the release replaces.
    Renewal(WriteId),
    Reading,
    Writing(WriteId),
    /// The API server didn't answer.
    Paused(Time),
}

impl Releasing {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        if let Step::Paused(until) = self.step { Some(until) } else { None }
    }
}

impl Replica {
    pub(super) fn shutdown(&mut self) {
        match (&self.role, &self.config.store) {
            (Role::Active(_), Store::File) => self.stop_with_file(),
            (Role::Active(_), Store::Lease { .. }) => self.stop_with_lease(),
            // If it is stored, this replica holds the Lease: nobody should have to wait for it.
            (Role::Claiming(_), Store::Lease { .. }) => self.stops = true,
            (Role::Stopping { .. } | Role::Releasing(_), _) => {}
            _ => self.stop_now(),
        }
    }

    /// The last change that observers are told of. Leaders that live as long as their streams end with
    /// the tenure: observers are told, or they would take them for leaders when they resume in the next
    /// one, where nobody knows of them.
    fn last_revision(&mut self) -> Option<Revision> {
        let (elections, mut turn) = self.turn().ok()?;
        if turn.active.settles_at.is_some() {
            return None;
        }
        let told = elections.vacate_stream_bound(&mut turn);
        told.then(|| elections.last_revision().unwrap_or(Revision(turn.active.tenure.0)))
    }

    pub(super) fn stop_now(&mut self) {
        self.role = Role::Stopped;
        self.out.push_back(Output::Stopped);
    }

    fn stop_with_file(&mut self) {
        let last = self.next_write();
        let last_revision = self.last_revision();
        let Role::Active(active) = &mut self.role else { return };
        let before = active.pending.map(|pending| pending.write);
        // What a tenure inside its wait knows isn't all there is: the next one has to wait as well.
        let handover = active.settles_at.is_none().then(|| self.elections.hand_over(active, self.now));
        let words = Last { handover, last_revision, ..Last::default() };
        let record = Box::new(active.release(&self.config, words, self.now));
        self.end_tenure(TenureEnd::Shutdown);
        if before.is_none() {
            self.out.push_back(Output::Write { write: last, over: Over::Anything, record: Some(record) });
            self.role = Role::Stopping { before, last, record: None };
        } else {
            self.role = Role::Stopping { before, last, record: Some(record) };
        }
    }

    pub(super) fn stopped_writing(&mut self, write: WriteId) {
        let Role::Stopping { before, last, record } = &mut self.role else { return };
        if *before == Some(write) {
            *before = None;
            if let Some(record) = record.take() {
                self.out.push_back(Output::Write { write: *last, over: Over::Anything, record: Some(record) });
            }
        } else if *last == write {
            self.stop_now();
        }
    }

    /// Mirrors are told everything before the release says how far that was.
    fn stop_with_lease(&mut self) {
        self.tell_mirrors();
        let last_revision = self.last_revision();
        let Role::Active(active) = &mut self.role else { return };
        // What a tenure inside its wait knows isn't all there is: it names no last change.
        let last_change = active.settles_at.is_none().then(|| self.elections.last_change());
        let words = Last { last_change, last_revision, ..Last::default() };
        let record = Box::new(active.release(&self.config, words, self.now));
        let (over, pending, reading) = (active.over.clone(), active.pending, active.reading);
        self.end_tenure(TenureEnd::Shutdown);
        let step = match (pending, reading) {
            (Some(pending), _) => Step::Renewal(pending.write),
            (None, _) => Step::Reading,
        };
        self.role = Role::Releasing(Box::new(Releasing { record, step }));
        match over {
            Over::Version(version) if pending.is_none() && !reading => self.write_release(version),
            _ if pending.is_none() && !reading => self.out.push_back(Output::Read),
            _ => {}
        }
    }

    fn write_release(&mut self, version: Version) {
        let write = self.next_write();
        let Role::Releasing(releasing) = &mut self.role else { return };
        releasing.step = Step::Writing(write);
        let record = Some(releasing.record.clone());
        self.out.push_back(Output::Write { write, over: Over::Version(version), record });
    }

    /// How a write went, the release itself or the renewal before it.
    pub(super) fn released(&mut self, write: WriteId, outcome: Outcome) {
        let Role::Releasing(releasing) = &mut self.role else { return };
        match (&releasing.step, outcome) {
            (Step::Renewal(renewal), Outcome::Stored(Some(version))) if *renewal == write => {
                self.write_release(version)
            }
            (Step::Writing(release), Outcome::Stored(_)) if *release == write => self.stop_now(),
            (Step::Renewal(this) | Step::Writing(this), _) if *this == write => {
                releasing.step = Step::Reading;
                self.out.push_back(Output::Read);
            }
            _ => {}
        }
    }

    /// Each try checks that the Lease is still this tenure's own. It is neither repaired nor taken back.
    /// Rule `release-checks`.
    pub(super) fn release_over_what_was_found(&mut self) {
        let Role::Releasing(releasing) = &self.role else { return };
        if !matches!(releasing.step, Step::Reading) {
            return;
        }
        let mine = |lease: &&crate::Lease| {
            let held = lease.content.held();
            held.is_some_and(|signed| self.sight.is_me(&signed.by) && signed.record.tenure == releasing.record.tenure)
        };
        match self.sight.lease().filter(mine).map(|lease| lease.version.clone()) {
            Some(version) => self.write_release(version),
            None => self.stop_now(),
        }
    }

    /// The Lease couldn't be read. The shell knows how long this may go on.
    pub(super) fn release_later(&mut self) {
        let until = self.retry_at();
        if let Role::Releasing(releasing) = &mut self.role {
            releasing.step = Step::Paused(until);
        }
    }

    pub(super) fn release_again(&mut self) {
        let Role::Releasing(releasing) = &mut self.role else { return };
        if matches!(releasing.step, Step::Paused(until) if until <= self.now) {
            releasing.step = Step::Reading;
            self.out.push_back(Output::Read);
        }
    }
}
