//! Observers: they read the board at their own pace, and come back after each break.

use crate::checks::Violation;
use crate::plan::Plan;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Cursor, Revision, Selection};

#[derive(Debug)]
pub(crate) struct Observer {
    selection: Selection,
    cursor: Option<Cursor>,
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

    /// Its stream is over.
    pub(crate) fn disconnect(&mut self) {
        self.cursor = None;
    }
}

impl World {
    pub(crate) fn observer_reads(&mut self, observer: usize) -> Result<(), Violation> {
        let slow = self.observers[observer].slow;
        let pause = if slow { self.rng.millis(500, 5000) } else { self.rng.millis(5, 500) };
        self.after(pause, Event::ObserverReads { observer });
        if self.server.paused {
            return Ok(());
        }
        self.read(observer).map(|_| ())
    }

    /// Reads until there is nothing more.
    pub(crate) fn read_all(&mut self, observer: usize) -> Result<(), Violation> {
        while self.read(observer)? {}
        Ok(())
    }

    /// One read. True if there is more.
    fn read(&mut self, observer: usize) -> Result<bool, Violation> {
        if self.server.board.is_none() || self.rng.chance(if self.calm { 0 } else { 20 }) {
            // The stream breaks, or there is none.
            self.observers[observer].cursor = None;
            return Ok(false);
        }
        if self.observers[observer].cursor.is_none() {
            let last = self.observers[observer].last;
            let resumes = last > Revision(0) && self.rng.chance(700);
            self.observers[observer].cursor = Some(if resumes { Cursor::after(last) } else { Cursor::snapshot() });
            self.note(&Fact::ObserverConnects { observer, resumes })?;
        }
        let limit = self.rng.index(8) + 1;
        let reader = &mut self.observers[observer];
        let (Some(board), Some(cursor)) = (&self.server.board, &mut reader.cursor) else { return Ok(false) };
        let batch = board.read(&reader.selection, cursor, limit);
        let told = batch.changes.iter().map(|seen| seen.change.revision).chain(batch.synced).max();
        reader.last = told.unwrap_or(reader.last);
        if batch.changes.iter().any(|seen| seen.missed) {
            self.reach("observer missed changes");
        }
        if batch.reset {
            self.reach("observer reset");
        }
        self.note(&Fact::Observed { observer, batch: &batch })?;
        Ok(batch.more)
    }
}
