//! A candidacy before it leads.

use crate::hold::Hold;
use crate::view::{Phase, View};
use crate::{Error, Leadership};
use futures::stream::{self, Stream, StreamExt as _};
use std::time::Duration;
use tokio::sync::watch;

/// Where a candidacy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// The service hasn't confirmed it yet; or an outage ended it, and it is being entered again.
    Entering,
    /// Not a candidate: its own health check failed. It is entered again, behind the others, when the check succeeds.
    Unhealthy,
    /// Not a candidate: for longer than the ttl the service has answered with a lower tenure than
    /// this client has seen, as after a restore from a backup. No such answer is believed, as its
    /// fencing tokens may be lower than those handed out before. It is entered again, behind the
    /// others, when the service has come up.
    Outdated {
        /// The tenure of the service.
        tenure: u64,
        /// The highest tenure that this client has seen.
        newest: u64,
    },
    /// In the queue.
    Waiting {
        /// Live candidates that were before this one when it was entered, or when its stream was opened last.
        ahead: Option<u32>,
        /// The service started a short while ago and grants nothing for this long from then.
        settling: Option<Duration>,
        /// The election is on hold, and isn't granted for this long from then: see
        /// [`Campaign::hold`](crate::Campaign::hold).
        hold: Option<Duration>,
    },
    /// The leader.
    Leading,
}

/// A candidacy that the service has confirmed: waiting, or leading already. It is kept alive in the background.
///
/// **Dropping it resigns**, in the background. See [`Campaign`](crate::Campaign).
#[derive(Debug)]
#[must_use = "dropping a candidacy resigns"]
pub struct Candidacy {
    hold: Hold,
}

impl Candidacy {
    pub(crate) async fn enroll(hold: Hold) -> Result<Self, Error> {
        let mut changes = hold.shared.watch();
        loop {
            match verdict(&changes.borrow_and_update())? {
                Standing::Entering | Standing::Unhealthy | Standing::Outdated { .. } => {}
                Standing::Waiting { .. } | Standing::Leading => break,
            }
            // The sender can't be gone: `hold` has it.
            let _ = changes.changed().await;
        }
        Ok(Self { hold })
    }

    /// Waits until this worker leads.
    ///
    /// **Cancel safety:** dropping the future resigns. To go on waiting elsewhere, pin it and poll it by reference.
    ///
    /// # Errors
    ///
    /// As for a [`Campaign`](crate::Campaign).
    pub async fn elected(self) -> Result<Leadership, Error> {
        let mut changes = self.hold.shared.watch();
        loop {
            verdict(&changes.borrow_and_update())?;
            if self.hold.shared.deliver() {
                return Ok(Leadership::new(self.hold));
            }
            let _ = changes.changed().await;
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        // After the end `elected` says why; before that is asked, it stands nowhere.
        self.hold.shared.look(|view| verdict(view).unwrap_or(Standing::Entering))
    }

    /// Where it stands, now and after each change. Ends when it leads or is over; changes in quick succession show as one.
    pub fn standings(&self) -> impl Stream<Item = Standing> + Send + use<> {
        let changes = self.hold.shared.watch();
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
        self.hold.shared.look(|view| view.enrolment)
    }

    /// The election.
    #[must_use]
    pub fn election(&self) -> &str {
        &self.hold.election
    }

    /// The candidate's name.
    #[must_use]
    pub fn candidate(&self) -> &str {
        &self.hold.candidate
    }

    /// Leaves the election, and waits for the answer, 5 s at most.
    ///
    /// **Cancel safety:** once polled, it goes on in the background.
    ///
    /// # Errors
    ///
    /// If the service can't be told: then the candidacy runs out after its ttl.
    pub async fn resign(self) -> Result<(), Error> {
        self.hold.resign().await
    }
}

/// Where it stands, or why it is over.
fn verdict(view: &View) -> Result<Standing, Error> {
    match &view.phase {
        Phase::Alive(standing) => Ok(*standing),
        Phase::Over(lost) => Err(lost.clone().into()),
        Phase::Failed(error) => Err(error.clone()),
    }
}

async fn next_standing(changes: &mut watch::Receiver<View>, last: Option<Standing>) -> Option<Standing> {
    loop {
        let standing = verdict(&changes.borrow_and_update()).ok()?;
        if Some(standing) != last {
            return Some(standing);
        }
        changes.changed().await.ok()?;
    }
}
