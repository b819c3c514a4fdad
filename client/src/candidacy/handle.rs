//! What a [`Candidacy`](super::Candidacy) and a [`Leadership`](super::Leadership) hold: while it
//! exists the candidacy is kept alive, and dropping it resigns.

use super::shared::Shared;
use super::state::State;
use crate::error::Error;
use crate::lost::Lost;
use tokio::sync::{mpsc, oneshot};

/// How many proclamations may wait for the one in flight.
const PROCLAIM_QUEUE: usize = 16;

/// Where to say how the resignation went.
pub(super) type Resignation = oneshot::Sender<Result<(), Error>>;

/// A value to proclaim, and where to say how that went.
#[derive(Debug)]
pub(super) struct Proclamation {
    pub(super) value: String,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
}

/// What the worker wants of the task.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) proclaims: mpsc::Receiver<Proclamation>,
    /// Fails when the handle was dropped, which is an order to resign as well.
    pub(super) resign: oneshot::Receiver<Resignation>,
}

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) election: String,
    pub(super) candidate: String,
    pub(super) shared: Shared,
    proclaims: mpsc::Sender<Proclamation>,
    /// None once it was used.
    resign: Option<oneshot::Sender<Resignation>>,
}

impl Handle {
    /// A handle, and the orders that are given through it.
    pub(super) fn new(election: String, candidate: String, shared: Shared) -> (Self, Orders) {
        let (proclaims, to_proclaim) = mpsc::channel(PROCLAIM_QUEUE);
        let (resign, to_resign) = oneshot::channel();
        let handle = Self { election, candidate, shared, proclaims, resign: Some(resign) };
        (handle, Orders { proclaims: to_proclaim, resign: to_resign })
    }

    /// Resigns, and waits for the answer. From the first poll on the worker doesn't lead.
    pub(super) async fn resign(mut self) -> Result<(), Error> {
        self.shared.update(|state, now| state.end(now, Lost::Resigned));
        let (done, answer) = oneshot::channel();
        let resign = self.resign.take().expect("only this method uses it, and takes the handle");
        if resign.send(done).is_err() {
            // The task is gone: the service has ended the candidacy, and there is nothing to
            // resign.
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    /// Asks the task to proclaim, and waits for the answer or the end of the leadership.
    pub(super) async fn proclaim(&self, value: String) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let ask = async {
            match self.proclaims.send(Proclamation { value, done }).await {
                Ok(()) => answer.await.ok(),
                Err(_) => None,
            }
        };
        if let Some(lost) = self.shared.look(State::lost) {
            return Err(lost.into());
        }
        tokio::select! {
            biased;
            // A task that ends without an answer has ended the leadership first.
            Some(answer) = ask => answer,
            lost = self.shared.lost() => Err(lost.into()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // At once, and not when the task gets to run: futures of `lost` resolve now.
        self.shared.update(|state, now| state.end(now, Lost::Resigned));
    }
}
