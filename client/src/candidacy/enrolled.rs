//! A candidacy that the service has confirmed, before it leads.

use super::handle::Handle;
use super::leadership::Leadership;
use super::standing::Standing;
use super::state::State;
use crate::error::Error;
use futures::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;

/// A candidacy that the service has confirmed: waiting, or leading already. It is kept alive in the
/// background.
///
/// **Dropping it resigns**, in the background. See [`Campaign`](crate::Campaign).
///
/// ```no_run
/// # async fn example(client: leasehold::Client) -> Result<(), leasehold::Error> {
/// use futures::StreamExt as _;
/// use leasehold::Standing;
///
/// let candidacy = client.campaign("billing/nightly").enroll().await?;
/// let mut standings = candidacy.standings();
/// while let Some(standing) = standings.next().await {
///     if let Standing::Waiting { ahead: Some(ahead), .. } = standing {
///         println!("{ahead} before this one");
///     }
/// }
/// let leadership = candidacy.elected().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropping a candidacy resigns"]
pub struct Candidacy {
    handle: Handle,
}

impl Candidacy {
    pub(super) async fn enroll(handle: Handle) -> Result<Self, Error> {
        let mut changes = handle.shared.watch();
        loop {
            match changes.borrow_and_update().verdict()? {
                Standing::Entering | Standing::Unhealthy | Standing::Outdated { .. } => {}
                Standing::Waiting { .. } | Standing::Leading => break,
            }
            let changed = changes.changed().await;
            debug_assert!(changed.is_ok(), "the handle has the sender");
        }
        Ok(Self { handle })
    }

    /// Waits until this worker leads.
    ///
    /// **Cancel safety:** dropping the future resigns. To go on waiting elsewhere, pin it and poll
    /// it by reference.
    ///
    /// # Errors
    ///
    /// As for a [`Campaign`](crate::Campaign).
    pub async fn elected(self) -> Result<Leadership, Error> {
        let mut changes = self.handle.shared.watch();
        loop {
            changes.borrow_and_update().verdict()?;
            if self.handle.shared.update(State::deliver) {
                return Ok(Leadership::new(self.handle));
            }
            let changed = changes.changed().await;
            debug_assert!(changed.is_ok(), "the handle has the sender");
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        // After the end `elected` says why; before that is asked, it stands nowhere.
        self.handle.shared.look(|state, _| state.verdict().unwrap_or(Standing::Entering))
    }

    /// Where it stands, now and after each change. Ends when it leads or is over; changes in quick
    /// succession show as one.
    pub fn standings(&self) -> impl Stream<Item = Standing> + Send + use<> {
        let changes = self.handle.shared.watch();
        stream::unfold((changes, None), |(mut changes, last)| async move {
            if last == Some(Standing::Leading) {
                return None;
            }
            let next = next_standing(&mut changes, last).await?;
            Some((next, (changes, Some(next))))
        })
        .boxed()
    }

    /// The number of the candidacy; also its place in the queue.
    #[must_use]
    pub fn enrolment(&self) -> u64 {
        self.handle.shared.look(|state, _| state.enrolment)
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

    /// Leaves the election, and waits for the answer, 5 s at most.
    ///
    /// **Cancel safety:** once polled, it goes on in the background.
    ///
    /// # Errors
    ///
    /// If the service can't be told: then the candidacy runs out after its ttl.
    pub async fn resign(self) -> Result<(), Error> {
        self.handle.resign().await
    }
}

async fn next_standing(changes: &mut watch::Receiver<State>, last: Option<Standing>) -> Option<Standing> {
    loop {
        let standing = changes.borrow_and_update().verdict().ok()?;
        if Some(standing) != last {
            return Some(standing);
        }
        changes.changed().await.ok()?;
    }
}
