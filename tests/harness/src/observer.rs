//! An Observe stream by raw gRPC.

use crate::{ElectionClient, PATIENCE};
use anyhow::{Context as _, bail, ensure};
use leasehold_proto::v1::observe_response::Event;
use leasehold_proto::v1::{ChangeReason, ElectionChange, ObserveRequest, ObserveResponse};
use std::time::Instant;
use tonic::{Status, Streaming};

/// An open Observe stream.
#[derive(Debug)]
pub struct Observer {
    stream: Streaming<ObserveResponse>,
    /// The tenure of the latest response.
    pub tenure: u64,
    /// Up to here everything was told: the highest revision to resume after.
    pub complete: u64,
    /// What was left of the wait when the stream was opened.
    pub settling: Option<prost_types::Duration>,
}

/// What an observer is told of one change, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The leader's label; `None`: vacant.
    pub leader: Option<String>,
    /// Why.
    pub reason: ChangeReason,
}

impl Observer {
    /// Opens a stream.
    ///
    /// # Errors
    ///
    /// With the status, when the call is refused.
    pub async fn open(
        client: &mut ElectionClient,
        request: impl tonic::IntoRequest<ObserveRequest>,
    ) -> Result<Self, Status> {
        Ok(Self {
            stream: client.observe(request.into_request()).await?.into_inner(),
            tenure: 0,
            complete: 0,
            settling: None,
        })
    }

    /// Opens a stream of one election.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub async fn of(client: &mut ElectionClient, election: &str) -> Result<Self, Status> {
        Self::open(client, ObserveRequest { elections: vec![election.to_owned()], ..Default::default() }).await
    }

    /// The next event that isn't about the stream itself; `None` when the stream has ended with OK.
    ///
    /// # Errors
    ///
    /// When the stream has failed, with its status; when nothing comes; when the tenure falls.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.message()).await;
            let Some(response) = next.context("no event comes on the Observe stream")?? else { return Ok(None) };
            ensure!(response.tenure >= self.tenure, "the tenure falls: {} after {}", response.tenure, self.tenure);
            self.tenure = response.tenure;
            match response.event.context("a response without an event")? {
                Event::Progress(progress) => self.complete = self.complete.max(progress.revision),
                Event::Settling(settling) => self.settling = settling.remaining,
                event => return Ok(Some(event)),
            }
        }
    }

    /// Awaits a change, the next event.
    ///
    /// # Errors
    ///
    /// When another event comes.
    pub async fn change(&mut self) -> anyhow::Result<ElectionChange> {
        match self.next().await? {
            Some(Event::Change(change)) => Ok(change),
            other => bail!("a change is due, not {other:?}"),
        }
    }

    /// Awaits the `Synced` mark: the snapshot before it, and its revision.
    ///
    /// # Errors
    ///
    /// When another event comes.
    pub async fn synced(&mut self) -> anyhow::Result<(Vec<ElectionChange>, u64)> {
        let mut snapshot = Vec::new();
        loop {
            match self.next().await? {
                Some(Event::Change(change)) => snapshot.push(change),
                Some(Event::Synced(synced)) => return Ok((snapshot, synced.revision)),
                other => bail!("a change or Synced is due, not {other:?}"),
            }
        }
    }

    /// Reads changes until one fits, which is the last of the result; with the moment it came.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub async fn changes_until(
        &mut self,
        last: impl Fn(&ElectionChange) -> bool + Send,
    ) -> anyhow::Result<(Vec<ElectionChange>, Instant)> {
        let mut changes = Vec::new();
        loop {
            let change = self.change().await.with_context(|| format!("after {changes:#?}"))?;
            let done = last(&change);
            changes.push(change);
            if done {
                return Ok((changes, Instant::now()));
            }
        }
    }

    /// Awaits the failure of the stream; events may come before.
    ///
    /// # Errors
    ///
    /// When the stream ends with OK or goes on in silence.
    pub async fn failure(&mut self) -> anyhow::Result<Status> {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => bail!("the stream ought to fail, and ended with OK"),
                Err(error) => return error.downcast::<Status>().map_err(|other| other.context("no status came")),
            }
        }
    }
}

/// A change in short.
#[must_use]
pub fn seen(change: &ElectionChange) -> Seen {
    Seen { leader: change.leader.as_ref().map(|leader| leader.candidate.clone()), reason: change.reason() }
}
