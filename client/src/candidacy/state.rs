//! What is known of one candidacy, and the rules of its deadline. No I/O: `now` is an argument.

use super::standing::Standing;
use crate::clock::Moment;
use crate::error::Error;
use crate::lost::Lost;
use std::sync::Arc;

/// What a candidacy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Alive: entering, waiting, or leading as far as the deadline allows.
    Alive(Standing),
    /// Over. Final.
    Over(Lost),
    /// It couldn't be entered. Final.
    Failed(Error),
}

impl Phase {
    pub(super) const LEADING: Self = Self::Alive(Standing::Leading);
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// (Moment before the last accepted KeepAlive was sent) + ttl.
    pub(super) deadline: Moment,
    pub(super) enrolment: u64,
    pub(super) tenure: u64,
    pub(super) fencing_token: u64,
    pub(super) task_token: Arc<str>,
    /// It was told to hand over. Stays true as long as it leads.
    pub(super) draining: bool,
    /// The worker has been told that it leads. From then on a deadline that has passed is the end.
    pub(super) delivered: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Alive(Standing::Entering),
            deadline: Moment::PAST,
            enrolment: 0,
            tenure: 0,
            fencing_token: 0,
            task_token: Arc::from(""),
            draining: false,
            delivered: false,
        }
    }

    /// Whether it leads, by its own clock.
    pub(super) fn leads(&self, now: Moment) -> bool {
        self.phase == Phase::LEADING && !self.deadline.has_passed(now)
    }

    /// Why the worker that was told that it leads doesn't any more.
    pub(super) fn lost(&self, now: Moment) -> Option<Lost> {
        match &self.phase {
            Phase::Over(lost) => Some(lost.clone()),
            _ if self.leads(now) => None,
            _ => Some(Lost::Deadline),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_) | Phase::Failed(_))
    }

    /// Where it stands, or why it is over.
    pub(super) fn verdict(&self) -> Result<Standing, Error> {
        match &self.phase {
            Phase::Alive(standing) => Ok(*standing),
            Phase::Over(lost) => Err(lost.clone().into()),
            Phase::Failed(error) => Err(error.clone()),
        }
    }

    /// Changes it, unless the candidacy is over. A deadline that has passed ends a delivered
    /// leadership first.
    pub(super) fn change(&mut self, now: Moment, change: impl FnOnce(&mut Self)) {
        if self.is_over() {
            return;
        }
        if self.delivered && self.deadline.has_passed(now) {
            self.phase = Phase::Over(Lost::Deadline);
        } else {
            change(self);
        }
    }

    /// Takes note of a deadline that has passed. Whether it is over.
    pub(super) fn check_deadline(&mut self, now: Moment) -> bool {
        self.change(now, |_| {});
        self.is_over()
    }

    /// It isn't a candidate, and stands here until it is entered.
    pub(super) fn stand(&mut self, now: Moment, standing: Standing) {
        self.change(now, |state| state.phase = Phase::Alive(standing));
    }

    /// Tells the worker that it leads, if that is so.
    pub(super) fn deliver(&mut self, now: Moment) -> bool {
        let leads = self.leads(now);
        self.delivered |= leads;
        leads
    }

    /// It is over. The first reason stays.
    pub(super) fn end(&mut self, now: Moment, lost: Lost) {
        self.change(now, |state| state.phase = Phase::Over(lost));
    }

    /// It couldn't be entered.
    pub(super) fn fail(&mut self, now: Moment, error: Error) {
        self.change(now, |state| state.phase = Phase::Failed(error));
    }

    /// Ends it, unless the worker was told that it leads, or may be told so now. Whether it is
    /// over.
    pub(super) fn give_up(&mut self, now: Moment, error: Error) -> bool {
        self.change(now, |state| {
            if !state.delivered && !state.leads(now) {
                state.phase = Phase::Failed(error);
            }
        });
        self.is_over()
    }

    /// The candidacy is over. A worker that was never told that it leads may enter again, with
    /// another candidacy, and stands here until then. Whether it may.
    pub(super) fn end_or_restart(&mut self, now: Moment, lost: Lost, standing: Standing) -> bool {
        let mut restarted = false;
        self.change(now, |state| {
            restarted = !state.delivered;
            if restarted {
                *state = Self { phase: Phase::Alive(standing), ..Self::new() };
            } else {
                state.phase = Phase::Over(lost);
            }
        });
        restarted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Moment = Moment::PAST;
    const TTL: Duration = Duration::from_secs(60);

    fn leading(deadline: Moment) -> State {
        State { phase: Phase::LEADING, deadline, ..State::new() }
    }

    fn extend(state: &mut State, sent: Moment) {
        state.change(sent, |state| state.deadline = state.deadline.max(sent.plus(TTL)));
    }

    #[test]
    fn a_delivered_leadership_doesnt_come_back_after_its_deadline() {
        let mut state = leading(NOW.plus(TTL));
        assert!(state.deliver(NOW));
        let late = NOW.plus(TTL);
        assert_eq!(state.lost(late), Some(Lost::Deadline), "nothing was written, the clock was read");
        extend(&mut state, late);
        assert!(!state.leads(late));
        assert_eq!(state.phase, Phase::Over(Lost::Deadline));
    }

    #[test]
    fn a_lead_that_the_worker_wasnt_told_of_is_confirmed_by_the_next_keep_alive() {
        let mut state = leading(NOW);
        assert!(!state.deliver(NOW), "its deadline has passed");
        extend(&mut state, NOW);
        assert!(state.deliver(NOW));
    }

    #[test]
    fn the_first_end_stays() {
        let mut state = leading(NOW.plus(TTL));
        state.end(NOW, Lost::Resigned);
        state.end(NOW, Lost::Deadline);
        assert!(!state.end_or_restart(NOW, Lost::Deadline, Standing::Entering));
        assert_eq!(state.lost(NOW), Some(Lost::Resigned));
    }
}
