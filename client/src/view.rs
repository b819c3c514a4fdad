//! What is known of one candidacy: written by its keeper, read by the guards. The rules of the deadline are here.

use crate::clock::{self, Moment};
use crate::{Error, Lost, Standing};
use std::sync::Arc;
use tokio::sync::watch;

/// What a candidacy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Alive: entering, waiting, or leading as far as the deadline allows.
    Alive(Standing),
    /// Over. Final.
    Over(Lost),
    /// It couldn't be entered. Final.
    Failed(Error),
}

impl Phase {
    pub(crate) const LEADING: Self = Self::Alive(Standing::Leading);
}

/// What is known of a candidacy.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) phase: Phase,
    /// (Moment before the last accepted KeepAlive was sent) + ttl.
    pub(crate) deadline: Moment,
    pub(crate) enrolment: u64,
    pub(crate) tenure: u64,
    pub(crate) fencing_token: u64,
    pub(crate) task_token: Arc<str>,
    /// It was told to hand over. Stays true: whoever was told hands over.
    pub(crate) draining: bool,
    /// The worker has been told that it leads. From then on a deadline that has passed is the end.
    pub(crate) delivered: bool,
}

impl View {
    fn new() -> Self {
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

    /// Whether it leads at this moment, by its own clock.
    pub(crate) fn leads(&self) -> bool {
        self.phase == Phase::LEADING && !self.deadline.has_passed()
    }

    /// Why the worker that was told that it leads doesn't any more.
    pub(crate) fn lost(&self) -> Option<Lost> {
        match &self.phase {
            Phase::Over(lost) => Some(lost.clone()),
            _ if self.leads() => None,
            _ => Some(Lost::Deadline),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_) | Phase::Failed(_))
    }
}

/// The view that a keeper and the guards of its candidacy share.
///
/// Every change happens under one lock, and so does every look: the clock is read inside it. So if anybody was told that the
/// deadline has passed, no later answer brings the leadership back.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<watch::Sender<View>>);

impl Shared {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(View::new())))
    }

    pub(crate) fn look<T>(&self, read: impl FnOnce(&View) -> T) -> T {
        read(&self.0.borrow())
    }

    pub(crate) fn watch(&self) -> watch::Receiver<View> {
        self.0.subscribe()
    }

    /// Changes the view, unless the candidacy is over. A deadline that has passed ends a delivered leadership first.
    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        self.0.send_if_modified(|view| {
            if view.is_over() {
                return false;
            }
            if view.delivered && view.deadline.has_passed() {
                view.phase = Phase::Over(Lost::Deadline);
            } else {
                change(view);
            }
            true
        });
    }

    /// It isn't a candidate, and stands here until it is entered.
    pub(crate) fn stand(&self, standing: Standing) {
        self.change(|view| view.phase = Phase::Alive(standing));
    }

    /// Takes note of a deadline that has passed.
    pub(crate) fn check_deadline(&self) {
        if self.look(|view| view.delivered && view.deadline.has_passed()) {
            self.change(|_| {});
        }
    }

    /// Tells the worker that it leads, if that is so at this moment.
    pub(crate) fn deliver(&self) -> bool {
        self.0.send_if_modified(|view| {
            let leads = view.leads();
            view.delivered |= leads;
            leads
        })
    }

    /// It is over. The first reason stays.
    pub(crate) fn end(&self, lost: Lost) {
        self.change(|view| view.phase = Phase::Over(lost));
    }

    /// It couldn't be entered.
    pub(crate) fn fail(&self, error: Error) {
        self.change(|view| view.phase = Phase::Failed(error));
    }

    /// Ends it, unless the worker was told that it leads, or may be told so now. Whether it is over.
    pub(crate) fn give_up(&self, error: Error) -> bool {
        self.change(|view| {
            if !view.delivered && !view.leads() {
                view.phase = Phase::Failed(error);
            }
        });
        self.look(View::is_over)
    }

    /// It is over, but a worker that was never told that it leads may enter again, with another candidacy, and stands here until then.
    /// Whether it may.
    pub(crate) fn end_or_restart(&self, lost: Lost, standing: Standing) -> bool {
        let mut restarted = false;
        self.change(|view| {
            restarted = !view.delivered;
            if restarted {
                *view = View { phase: Phase::Alive(standing), ..View::new() };
            } else {
                view.phase = Phase::Over(lost);
            }
        });
        restarted
    }
}

/// Waits until the leadership is over, and says why.
pub(crate) async fn lost(mut changes: watch::Receiver<View>) -> Lost {
    loop {
        let deadline = {
            let view = changes.borrow_and_update();
            if let Some(lost) = view.lost() {
                return lost;
            }
            view.deadline
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                // The keeper and all guards are gone; nobody extends the deadline any more.
                clock::sleep_until(deadline).await;
                return changes.borrow().lost().unwrap_or(Lost::Deadline);
            },
            () = clock::sleep_until(deadline) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TTL: Duration = Duration::from_secs(60);

    fn extend(shared: &Shared, sent: Moment, ttl: Duration) {
        shared.change(|view| view.deadline = view.deadline.max(sent.plus(ttl)));
    }

    fn leading(deadline: Moment) -> Shared {
        let shared = Shared::new();
        shared.change(|view| {
            view.phase = Phase::LEADING;
            view.deadline = deadline;
        });
        shared
    }

    #[test]
    fn a_delivered_leadership_doesnt_come_back_after_its_deadline() {
        let shared = leading(clock::now().plus(Duration::from_millis(20)));
        assert!(shared.deliver());
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(shared.look(View::lost), Some(Lost::Deadline), "no task has run, the clock was read");
        extend(&shared, clock::now(), TTL);
        assert!(!shared.look(View::leads));
        assert_eq!(shared.look(|view| view.phase.clone()), Phase::Over(Lost::Deadline));
    }

    #[test]
    fn a_lead_that_nobody_was_told_of_is_confirmed_by_the_next_keep_alive() {
        let shared = leading(Moment::PAST);
        assert!(!shared.deliver(), "its deadline has passed");
        extend(&shared, clock::now(), TTL);
        assert!(shared.deliver());
    }

    #[test]
    fn the_first_end_stays() {
        let shared = leading(clock::now().plus(TTL));
        shared.end(Lost::Resigned);
        shared.end(Lost::Deadline);
        assert!(!shared.end_or_restart(Lost::Deadline, Standing::Entering));
        assert_eq!(shared.look(View::lost), Some(Lost::Resigned));
    }

    #[tokio::test]
    async fn lost_resolves_at_the_deadline_though_nothing_else_happens() {
        let deadline = clock::now().plus(Duration::from_millis(40));
        let shared = leading(deadline);
        assert_eq!(lost(shared.watch()).await, Lost::Deadline);
        assert!(deadline.has_passed());
    }
}
