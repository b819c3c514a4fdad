//! Observers: they read the board of an active replica at their own pace, and come back after each
//! break.

use crate::checks::Violation;
use crate::plan::Plan;
use crate::truth::Fact;
use crate::world::{Event, World};
use leasehold_core::{Batch, Cursor, Revision, Selection, Tenure};

#[derive(Debug)]
pub(crate) struct Observer {
    selection: Selection,
    /// Whose board it reads, and how far it has come.
    cursor: Option<(usize, Cursor)>,
    /// The highest revision that a change after Synced, Synced, or Progress has named.
    last: Revision,
    /// Synced has come on this stream.
    live: bool,
    /// It has just come back, after that revision.
    returns: Option<Revision>,
    slow: bool,
}

impl Observer {
    pub(crate) fn new(number: usize, plan: &Plan) -> Self {
        let selection = if number.is_multiple_of(2) {
            Selection::Prefix(String::new())
        } else {
            Selection::Named(plan.elections.iter().cloned().collect())
        };
        Self { selection, cursor: None, last: Revision(0), live: false, returns: None, slow: number > 1 }
    }

    /// This replica ends its streams.
    pub(crate) fn disconnect(&mut self, at: usize) {
        self.cursor.take_if(|(whose, _)| *whose == at);
    }

    fn hears(&mut self, batch: &Batch) {
        self.live &= !batch.reset;
        if self.live {
            let newest = batch.changes.iter().map(|seen| seen.change.revision).max();
            self.last = self.last.max(newest.unwrap_or_default());
        }
        if let Some(synced) = batch.synced {
            (self.last, self.live) = (self.last.max(synced), true);
        }
    }

    /// All is told up to there.
    fn progress(&mut self) {
        if let Some((_, cursor)) = &self.cursor {
            self.last = self.last.max(cursor.complete());
        }
    }
}

impl World {
    pub(crate) fn observer_reads(&mut self, observer: usize) -> Result<(), Violation> {
        let slow = self.observers[observer].slow;
        let pause = if slow { self.rng.millis(500, 5000) } else { self.rng.millis(5, 500) };
        self.after(pause, Event::ObserverReads { observer });
        let more = self.read(observer)?;
        if !more && self.rng.chance(100) {
            self.observers[observer].progress();
        }
        Ok(())
    }

    /// Reads until there is nothing more.
    pub(crate) fn read_all(&mut self, observer: usize) -> Result<(), Violation> {
        while self.read(observer)? {}
        Ok(())
    }

    /// A tenure ends in good order: most of its observers read the rest, and are told how far that
    /// is.
    pub(crate) fn last_words_to_observers(&mut self, at: usize) -> Result<(), Violation> {
        for observer in 0..self.observers.len() {
            let connected = self.observers[observer].cursor.as_ref().is_some_and(|(whose, _)| *whose == at);
            if connected && self.rng.chance(800) {
                self.read_all(observer)?;
                self.observers[observer].progress();
            }
        }
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
            let resumes = Some(last).filter(|last| *last > Revision(0) && self.rng.chance(800));
            let reader = &mut self.observers[observer];
            (reader.live, reader.returns) = (false, resumes);
            reader.cursor = Some((at, resumes.map_or_else(Cursor::snapshot, Cursor::after)));
            self.note(at, &Fact::ObserverConnects { observer, resumes })?;
        }
        let limit = self.rng.index(8) + 1;
        let reader = &mut self.observers[observer];
        let server = &self.servers[at];
        let board = server.board.open(server.tenure.unwrap_or_default(), &server.right, server.local(self.now));
        let (Ok(board), Some((_, cursor))) = (board, &mut reader.cursor) else { return Ok(false) };
        let batch = board.read(&reader.selection, cursor, limit);
        reader.hears(&batch);
        let returned = reader.returns.take().filter(|_| !batch.reset).map(|last| Tenure(last.0));
        if returned.is_some_and(|last| Some(last) < self.servers[at].tenure) {
            self.reach("observer resumed in the next tenure");
        }
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
