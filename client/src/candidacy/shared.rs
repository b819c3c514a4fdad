//! The state that the task of a candidacy writes and the handles read.

use super::state::State;
use crate::clock;
use crate::clock::Moment;
use crate::lost::Lost;
use std::sync::Arc;
use tokio::sync::watch;

/// The state under one lock, inside of which the clock is read.
///
/// So once somebody was told that the deadline has passed, every later change sees that it has, and
/// no answer brings the leadership back.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<watch::Sender<State>>);

impl Shared {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::new())))
    }

    pub(super) fn look<T>(&self, read: impl FnOnce(&State, Moment) -> T) -> T {
        let state = self.0.borrow();
        read(&state, clock::now())
    }

    /// Changes the state, and tells those who [`watch`](Shared::watch) it.
    pub(super) fn update<T>(&self, update: impl FnOnce(&mut State, Moment) -> T) -> T {
        let mut result = None;
        self.0.send_if_modified(|state| {
            let before = state.clone();
            result = Some(update(state, clock::now()));
            *state != before
        });
        result.expect("the update was called")
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// Resolves when the leadership is over, with why.
    pub(super) fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        lost(self.watch())
    }
}

async fn lost(mut changes: watch::Receiver<State>) -> Lost {
    loop {
        let deadline = {
            let state = changes.borrow_and_update();
            if let Some(lost) = state.lost(clock::now()) {
                return lost;
            }
            state.deadline
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                // The task and all handles are gone: no KeepAlive moves the deadline any more.
                clock::sleep_until(deadline).await;
                return changes.borrow().lost(clock::now()).unwrap_or(Lost::Deadline);
            },
            () = clock::sleep_until(deadline) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Phase;
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn lost_resolves_at_the_deadline_though_nothing_else_happens() {
        let shared = Shared::new();
        let deadline = clock::now().plus(Duration::from_millis(40));
        shared.update(|state, _| (state.phase, state.deadline) = (Phase::LEADING, deadline));
        assert_eq!(shared.lost().await, Lost::Deadline);
        assert!(deadline.has_passed(clock::now()));
    }
}
