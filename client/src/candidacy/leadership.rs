//! The guard of a leadership: what a worker asks before, during and after its work.

use super::handle::Handle;
use super::state::State;
use crate::error::Error;
use crate::lost::Lost;
use futures::stream::{self, Stream, StreamExt as _};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A leadership, kept alive in the background until it is lost, resigned or dropped.
///
/// Whether it still leads is decided by its own deadline: (moment before the last accepted
/// KeepAlive was sent) + ttl, on a clock that counts the time a machine is suspended. No delay of
/// this process, of the network or of the service moves that deadline: a process that was stopped
/// for longer isn't leading when it wakes, before any task has run.
///
/// What this guard can't do: stop work that is in flight at the deadline. Send the [fencing
/// token](Leadership::fencing_token) with all you write, and let the resource refuse older ones,
/// e.g. with a [`Fence`](crate::Fence).
///
/// **Dropping it resigns**, in the background: the next candidate is granted at once. That needs
/// the runtime to go on for a moment; where it doesn't, or the service can't be reached, the
/// leadership runs out after its ttl. To be sure, await [`resign`](Leadership::resign).
#[derive(Debug)]
#[must_use = "dropping a leadership resigns"]
pub struct Leadership {
    handle: Handle,
}

impl Leadership {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Strictly greater than the token of every earlier grant; below 2^53. It never changes.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.handle.shared.look(|state, _| state.fencing_token)
    }

    /// The newest task token: a JWT that shows to others who leads, valid until the lease ends. A
    /// fresh one comes with each KeepAlive, so ask for it each time it is needed.
    #[must_use]
    pub fn task_token(&self) -> String {
        self.handle.shared.look(|state, _| state.task_token.to_string())
    }

    /// The task token now, then each fresh one. Ends with the leadership. A slow reader misses all
    /// but the newest.
    pub fn task_tokens(&self) -> impl Stream<Item = String> + Send + use<> {
        let changes = self.handle.shared.watch();
        stream::unfold((changes, Arc::from("")), |(mut changes, last)| async move {
            let next = next_task_token(&mut changes, &last).await?;
            Some((next.to_string(), (changes, next)))
        })
        .boxed()
    }

    /// The election.
    #[must_use]
    pub fn election(&self) -> &str {
        &self.handle.election
    }

    /// The candidate's name.
    #[must_use]
    pub fn candidate(&self) -> &str {
        &self.handle.candidate
    }

    /// The tenure of the replica that confirmed the leadership last.
    #[must_use]
    pub fn tenure(&self) -> u64 {
        self.handle.shared.look(|state, _| state.tenure)
    }

    /// The moment at which the leadership is lost unless it is kept alive before. Moves on with
    /// each accepted KeepAlive.
    ///
    /// std's clock stands still while the machine is suspended, so don't keep this value for long:
    /// ask again.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.handle.shared.look(|state, _| state.deadline).to_instant()
    }

    /// What is left until the deadline; zero once the leadership is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.handle.shared.look(|state, now| match state.lost(now) {
            None => state.deadline.since(now),
            Some(_) => Duration::ZERO,
        })
    }

    /// Whether it leads. Reads the clock each time. Once false it stays false.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.handle.shared.look(State::lost).is_none()
    }

    /// Resolves when the leadership is over: at the deadline at the latest, before it if the
    /// service ended it, if it was resigned or dropped.
    ///
    /// May be called many times; the future is `'static`, borrows nothing and is cancel-safe. After
    /// the machine was suspended past the deadline it resolves half a second late at worst;
    /// [`is_leading`](Leadership::is_leading) is never late.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        self.handle.shared.lost()
    }

    /// Resolves when the service has told this leader to hand over (an operator's `StepDown`):
    /// finish, then [`resign`](Leadership::resign). It leads until its deadline, which doesn't move
    /// on any more.
    ///
    /// If that never happens it never resolves: use it beside [`lost`](Leadership::lost). May be
    /// called many times, and is cancel-safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changes = self.handle.shared.watch();
        async move {
            if changes.wait_for(|state| state.draining).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Runs a future as long as this worker leads: the deadline is checked before every single
    /// poll.
    ///
    /// When the leadership is lost the future is dropped, wherever it stands. A step that blocks,
    /// or that was begun in one poll, isn't interrupted by this.
    ///
    /// **Cancel safety:** that of the future.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the leadership was over before the future was done.
    ///
    /// ```no_run
    /// # async fn example(leadership: leasehold::Leadership) -> Result<(), leasehold::Lost> {
    /// # async fn work(token: u64) {}
    /// leadership.guard(work(leadership.fencing_token())).await?;
    /// # Ok(()) }
    /// ```
    pub async fn guard<F: Future>(&self, future: F) -> Result<F::Output, Lost> {
        let mut future = pin!(future);
        let mut lost = pin!(self.lost());
        poll_fn(|context| {
            // This one reads the clock whenever it is polled, and wakes the task at the deadline.
            if let Poll::Ready(lost) = lost.as_mut().poll(context) {
                return Poll::Ready(Err(lost));
            }
            if let Some(lost) = self.handle.shared.look(State::lost) {
                return Poll::Ready(Err(lost));
            }
            future.as_mut().poll(context).map(Ok)
        })
        .await
    }

    /// Changes the value that observers see: at most 4096 bytes. Tried once, for 5 s.
    ///
    /// **Cancel safety:** a future that is dropped may or may not have changed the value.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`]: whether the value changed isn't known, and it does no harm to ask
    /// again. [`Error::Ended`]: this worker doesn't lead any more. [`Error::Refused`]: e.g. the
    /// value is too long.
    pub async fn proclaim(&self, value: impl Into<String>) -> Result<(), Error> {
        self.handle.proclaim(value.into()).await
    }

    /// Gives up the lead and waits for the answer, 5 s at most. When it comes, the next candidate
    /// has been granted.
    ///
    /// From the first poll on this worker doesn't lead, whatever the answer.
    ///
    /// **Cancel safety:** once polled, it goes on in the background; before that, dropping it
    /// resigns as well.
    ///
    /// # Errors
    ///
    /// If the service can't be told: then the leadership runs out after its ttl. A leadership that
    /// was over before is no error.
    pub async fn resign(self) -> Result<(), Error> {
        self.handle.resign().await
    }
}

async fn next_task_token(changes: &mut watch::Receiver<State>, last: &str) -> Option<Arc<str>> {
    loop {
        let (token, over) = {
            let state = changes.borrow_and_update();
            (Arc::clone(&state.task_token), state.is_over())
        };
        if over {
            return None;
        }
        if *token != *last {
            return Some(token);
        }
        changes.changed().await.ok()?;
    }
}
