//! The board of the tenure under way, and of one that has just ended in good order.

use crate::Right;
use leasehold_core::{Board, Change, Millis, Reject, Revision, Tenure, Time};
use std::sync::Arc;

/// So many of the last changes are kept for observers that come back.
const HISTORY: usize = 16_384;

/// What observers read. Whoever runs a shell owns it, perhaps under a lock.
#[derive(Debug)]
pub struct TenureBoard {
    tenure: Tenure,
    board: Result<Board, Reject>,
    /// Observers that haven't read all of the board of a tenure that ended in good order may do so
    /// while nobody else can be active. Then they resume in the next tenure as if nothing had
    /// happened.
    last: Option<Board>,
    /// Until then the tenure grants nothing.
    settles_at: Time,
    history: usize,
}

/// What changes on the board.
#[derive(Debug)]
pub enum BoardNews<'a> {
    /// A tenure begins.
    Began {
        /// Which one.
        tenure: Tenure,
        /// Until then it grants nothing.
        settles_at: Time,
        /// Whoever has seen this change of the former tenure can resume.
        resumes_after: Option<Revision>,
    },
    /// These changes, in their order.
    Changed(&'a [Arc<Change>]),
    /// The tenure has settled.
    Settled,
    /// The tenure is over, and its right with it. Both at once for whoever looks: an observer that
    /// found the right gone before the reason was there would tell its client the wrong one.
    Ended {
        /// Why.
        why: &'a Reject,
        /// What ends.
        right: &'a Right,
    },
}

impl Default for TenureBoard {
    fn default() -> Self {
        Self::remembering(HISTORY)
    }
}

impl TenureBoard {
    /// No board yet. The boards of tenures will keep so many changes.
    #[must_use]
    pub fn remembering(history: usize) -> Self {
        Self { tenure: Tenure(0), board: Err(Reject::NotActive), last: None, settles_at: Time(0), history }
    }

    /// Something changes.
    pub fn apply(&mut self, news: &BoardNews<'_>) {
        match news {
            BoardNews::Began { tenure, settles_at, resumes_after } => {
                (self.tenure, self.settles_at, self.last) = (*tenure, *settles_at, None);
                self.board = Ok(Board::resuming(*tenure, self.history, *resumes_after));
            }
            BoardNews::Changed(changes) => {
                debug_assert!(self.board.is_ok(), "changes come inside a tenure");
                let Ok(board) = &mut self.board else { return };
                changes.iter().for_each(|change| board.apply(Arc::clone(change)));
            }
            BoardNews::Settled => {
                debug_assert!(self.board.is_ok(), "a tenure settles before it ends");
                if let Ok(board) = &mut self.board {
                    board.settle();
                }
            }
            BoardNews::Ended { why, right } => {
                right.end();
                let board = std::mem::replace(&mut self.board, Err((*why).clone()));
                self.last = board.ok().filter(|_| matches!(why, Reject::ShuttingDown));
            }
        }
    }

    /// The tenure under way.
    ///
    /// # Errors
    /// Why there is none.
    pub fn begun(&self) -> Result<Tenure, Reject> {
        self.board.as_ref().map(|_| self.tenure).map_err(Reject::clone)
    }

    /// The board of this tenure, if it may be told: the right of the tenure lasts, or the tenure
    /// has just ended in good order and nobody else can be active yet. `now` is to be read for
    /// this. Whoever tells what it has read here asks again when it tells it.
    ///
    /// # Errors
    /// Why the tenure has ended, or [`Reject::NotActive`] without the right.
    pub fn open(&self, tenure: Tenure, right: &Right, now: Time) -> Result<&Board, Reject> {
        let (board, allowed) = match (&self.board, &self.last) {
            (Ok(board), _) => (board, right.allows(tenure, now)),
            (Err(_), Some(board)) => (board, right.would_last(tenure, now)),
            (Err(why), None) => return Err(why.clone()),
        };
        if allowed && self.tenure == tenure { Ok(board) } else { Err(Reject::NotActive) }
    }

    /// How long nothing is granted yet.
    #[must_use]
    pub fn settling(&self, now: Time) -> Millis {
        if self.board.is_ok() { self.settles_at.since(now) } else { Millis(0) }
    }
}
