//! The hold that a guard has on the keeper of its candidacy: while it exists the candidacy is kept, when it goes it is resigned.

use crate::view::{self, Shared, View};
use crate::{Error, Lost};
use tokio::sync::{mpsc, oneshot};

/// Where to say how the resignation went. Nobody asks when the guard was dropped.
pub(crate) type Resignation = oneshot::Sender<Result<(), Error>>;

/// A value to proclaim, and where to say how that went.
#[derive(Debug)]
pub(crate) struct Proclamation {
    pub(crate) value: String,
    pub(crate) done: oneshot::Sender<Result<(), Error>>,
}

#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) election: String,
    pub(crate) candidate: String,
    pub(crate) shared: Shared,
    pub(crate) proclaims: mpsc::Sender<Proclamation>,
    /// Dropping it unused tells the keeper to resign as well.
    pub(crate) resign: Option<oneshot::Sender<Resignation>>,
}

impl Hold {
    /// Resigns, and waits for the answer. From the first poll on the worker doesn't lead.
    pub(crate) async fn resign(mut self) -> Result<(), Error> {
        self.shared.end(Lost::Resigned);
        let (done, answer) = oneshot::channel();
        let Some(resign) = self.resign.take() else { return Ok(()) };
        if resign.send(done).is_err() {
            // The keeper is gone: the service has ended the candidacy, there is nothing to resign.
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    /// Asks the keeper to proclaim, and waits for the answer or the end of the leadership.
    pub(crate) async fn proclaim(&self, value: String) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let ask = async {
            match self.proclaims.send(Proclamation { value, done }).await {
                Ok(()) => answer.await.ok(),
                Err(_) => None,
            }
        };
        if let Some(lost) = self.shared.look(View::lost) {
            return Err(lost.into());
        }
        tokio::select! {
            biased;
            // A keeper that goes without an answer has ended the leadership first.
            Some(answer) = ask => answer,
            lost = view::lost(self.shared.watch()) => Err(lost.into()),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // At once, not when the keeper gets to run: clones of the future `lost` hear it now.
        self.shared.end(Lost::Resigned);
    }
}
