//! Observers: they read the board of an active replica at their own pace, and come back after each break.

use crate::checks::Violation;
use crate::plan::Plan;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Cursor, Revision, Selection};

#[derive(Debug)]
pub(crate) struct Observer {
    selection: Selection,
    /// Whose board it reads, and how far it has come.
    cursor: Option<(usize, Cursor)>,
    /// The last revision that it was told.
    last: Revision,
    slow: bool,
}

impl Observer {
    pub(crate) fn new(number: usize, plan: &Plan) -> Self {
        let selection = if number.is_multiple_of(2) {
            Selection::Prefix(String::new())
        } else {
            Selection::Named(plan.elections.iter().cloned().collect())
        };
        Self { selection, cursor: None, last: Revision(0), slow: number > 1 }
    }

    /// This replica ends its streams.
    pub(crate) fn disconnect(&mut self, at: usize) {
        self.cursor.take_if(|(whose, _)| *whose == at);
    }
}

impl World {
    pub(crate) fn observer_reads(&mut self, observer: usize) -> Result<(), Violation> {
        let slow = self.observers[observer].slow;
        let pause = if slow { self.rng.millis(500, 5000) } else { self.rng.millis(5, 500) };
        self.after(pause, Event::ObserverReads { observer });
        self.read(observer).map(|_| ())
    }

    /// Reads until there is nothing more.
    pub(crate) fn read_all(&mut self, observer: usize) -> Result<(), Violation> {
        while self.read(observer)? {}
        Ok(())
    }

    /// One read. True if there is more.
    fn read(&mut self, observer: usize) -> Result<bool, Violation> {
        let connected = self.observers[observer].cursor.as_ref().map(|(at, _)| *at);
        // One that stands still says nothing; one whose right is over may say nothing.
        if connected.is_some_and(|at| !self.servers[at].may_speak(self.now)) {
            return Ok(false);
        }
        let Some(at) = connected.or_else(|| self.active()) else { return Ok(false) };
        if self.rng.chance(if self.calm { 0 } else { 20 }) {
            // The stream breaks.
            self.observers[observer].cursor = None;
            return Ok(false);
        }
        if connected.is_none() {
            let last = self.observers[observer].last;
            let resumes = last > Revision(0) && self.rng.chance(700);
            let cursor = if resumes { Cursor::after(last) } else { Cursor::snapshot() };
            self.observers[observer].cursor = Some((at, cursor));
            self.note(at, &Fact::ObserverConnects { observer, resumes })?;
        }
        let limit = self.rng.index(8) + 1;
        let reader = &mut self.observers[observer];
        let (Some(board), Some((_, cursor))) = (&self.servers[at].board, &mut reader.cursor) else { return Ok(false) };
        let batch = board.read(&reader.selection, cursor, limit);
        let told = batch.changes.iter().map(|seen| seen.change.revision).chain(batch.synced).max();
        reader.last = told.unwrap_or(reader.last);
        if batch.changes.iter().any(|seen| seen.missed) {
            self.reach("observer missed changes");
        }
        if batch.reset {
            self.reach("observer reset");
        }
        self.note(at, &Fact::Observed { observer, batch: &batch })?;
        Ok(batch.more)
    }
}
