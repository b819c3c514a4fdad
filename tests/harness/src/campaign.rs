//! A candidacy by raw gRPC: its Campaign stream, its latest ticket, and calls with that ticket.

use crate::ElectionClient;
use anyhow::{Context as _, bail, ensure};
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::{
    CampaignRequest, CampaignResponse, Elected, Ended, Enrolled, KeepAliveItem, KeepAliveRequest, KeepAliveResult,
    ProclaimRequest, ProclaimResponse, ResignRequest, ResignResponse, Waiting,
};
use std::time::Duration;
use tonic::{Request, Status, Streaming};

/// How long a test waits for what must come. A bound, not an expectation: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An open Campaign stream.
#[derive(Debug)]
pub struct Campaign {
    stream: Streaming<CampaignResponse>,
    /// The tenure of the latest response.
    pub tenure: u64,
    /// The first event.
    pub enrolled: Enrolled,
    /// The latest ticket. Empty for a stream-bound candidacy.
    pub ticket: Vec<u8>,
}

impl Campaign {
    /// Opens a stream and awaits `Enrolled`.
    ///
    /// # Errors
    ///
    /// With the status, when the call is refused.
    pub async fn open(
        client: &mut ElectionClient,
        request: impl tonic::IntoRequest<CampaignRequest>,
    ) -> Result<Self, Status> {
        let mut stream = client.campaign(request.into_request()).await?.into_inner();
        let first = tokio::time::timeout(PATIENCE, stream.message()).await;
        let first = first.map_err(|_| Status::internal("Enrolled doesn't come"))??;
        match first {
            Some(CampaignResponse { tenure, event: Some(Event::Enrolled(enrolled)), .. }) => {
                Ok(Self { stream, tenure, ticket: enrolled.ticket.clone(), enrolled })
            }
            other => Err(Status::internal(format!("the first event isn't Enrolled: {other:?}"))),
        }
    }

    /// Opens the stream of a ticket whose candidacy is over: the only event is its end.
    ///
    /// # Errors
    ///
    /// When anything else comes.
    pub async fn open_ended(client: &mut ElectionClient, ticket: Vec<u8>) -> anyhow::Result<Ended> {
        let mut stream = client
            .campaign(CampaignRequest { ticket, want_task_token: true, ..Default::default() })
            .await?
            .into_inner();
        let first = tokio::time::timeout(PATIENCE, stream.message()).await.context("nothing comes")??;
        let Some(Event::Ended(ended)) = first.as_ref().and_then(|response| response.event.clone()) else {
            bail!("the only event ought to be Ended: {first:?}");
        };
        let last = tokio::time::timeout(PATIENCE, stream.message()).await.context("the stream stays open")??;
        ensure!(last.is_none(), "after Ended came {last:?}");
        Ok(ended)
    }

    /// The next event that isn't a heartbeat; `None` when the stream has ended with OK.
    ///
    /// # Errors
    ///
    /// When the stream has failed, with its status; when nothing comes; when the tenure falls.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.message()).await;
            let Some(response) = next.context("no event comes on the Campaign stream")?? else { return Ok(None) };
            ensure!(response.tenure >= self.tenure, "the tenure falls: {} after {}", response.tenure, self.tenure);
            self.tenure = response.tenure;
            match response.event.context("a response without an event")? {
                Event::Heartbeat(_) => {}
                Event::Elected(elected) => {
                    self.ticket.clone_from(&elected.ticket);
                    return Ok(Some(Event::Elected(elected)));
                }
                event => return Ok(Some(event)),
            }
        }
    }

    /// Awaits `Waiting`, the next event.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub async fn waiting(&mut self) -> anyhow::Result<Waiting> {
        match self.next().await? {
            Some(Event::Waiting(waiting)) => Ok(waiting),
            other => bail!("Waiting is due, not {other:?}"),
        }
    }

    /// Awaits `Elected`; `Waiting` may come before.
    ///
    /// # Errors
    ///
    /// When another event comes.
    pub async fn elected(&mut self) -> anyhow::Result<Elected> {
        loop {
            match self.next().await? {
                Some(Event::Waiting(_)) => {}
                Some(Event::Elected(elected)) => return Ok(elected),
                other => bail!("Elected is due, not {other:?}"),
            }
        }
    }

    /// Awaits `Ended`, and the end of the stream with OK; `Waiting` and `Draining` may come before.
    ///
    /// # Errors
    ///
    /// When another event comes, or the stream goes on or fails.
    pub async fn ended(&mut self) -> anyhow::Result<Ended> {
        loop {
            match self.next().await? {
                Some(Event::Waiting(_) | Event::Draining(_)) => {}
                Some(Event::Ended(ended)) => {
                    let after = self.next().await?;
                    ensure!(after.is_none(), "after Ended came {after:?}");
                    return Ok(ended);
                }
                other => bail!("Ended is due, not {other:?}"),
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

    /// Whether nothing but heartbeats comes for this long.
    ///
    /// # Errors
    ///
    /// With what came.
    pub async fn quiet_for(&mut self, time: Duration) -> anyhow::Result<()> {
        match tokio::time::timeout(time, self.next()).await {
            Err(_) => Ok(()),
            Ok(came) => bail!("nothing was due for {time:?}, and there came {came:?}"),
        }
    }

    /// Keeps it alive once, by hand, and takes over the new ticket.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn keep_alive(&mut self, client: &mut ElectionClient) -> Result<KeepAliveResult, Status> {
        let result = keep_alive(client, &self.ticket).await?;
        if !result.ticket.is_empty() {
            self.ticket.clone_from(&result.ticket);
        }
        Ok(result)
    }

    /// Leaves the election.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn resign(&self, client: &mut ElectionClient) -> Result<ResignResponse, Status> {
        let request = ResignRequest { ticket: self.ticket.clone() };
        Ok(client.resign(request).await?.into_inner())
    }

    /// Changes the leader's value, and takes over the new ticket.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn proclaim(&mut self, client: &mut ElectionClient, value: &str) -> Result<ProclaimResponse, Status> {
        let request = ProclaimRequest { ticket: self.ticket.clone(), value: value.to_owned() };
        let response = client.proclaim(request).await?.into_inner();
        self.ticket.clone_from(&response.ticket);
        Ok(response)
    }
}

/// A request of a leased candidacy; its TTL is in milliseconds.
#[must_use]
pub fn leased(election: &str, candidate: &str, ttl_ms: u32) -> CampaignRequest {
    CampaignRequest { ttl: Some(milliseconds(ttl_ms)), ..stream_bound(election, candidate) }
}

/// A request of a stream-bound candidacy.
#[must_use]
pub fn stream_bound(election: &str, candidate: &str) -> CampaignRequest {
    CampaignRequest {
        election: election.to_owned(),
        candidate: candidate.to_owned(),
        want_task_token: true,
        ..Default::default()
    }
}

/// A request that opens the stream of a ticket's candidacy again.
#[must_use]
pub fn reopened(ticket: &[u8]) -> CampaignRequest {
    CampaignRequest { ticket: ticket.to_vec(), want_task_token: true, ..Default::default() }
}

/// So many milliseconds.
#[must_use]
pub fn milliseconds(number: u32) -> prost_types::Duration {
    let nanos = i32::try_from(number % 1000).expect("below 1000") * 1_000_000;
    prost_types::Duration { seconds: i64::from(number / 1000), nanos }
}

/// Keeps the candidacy of one ticket alive once.
///
/// # Errors
///
/// When the call fails, or its answer hasn't one result.
pub async fn keep_alive(client: &mut ElectionClient, ticket: &[u8]) -> Result<KeepAliveResult, Status> {
    let items = vec![KeepAliveItem { ticket: ticket.to_vec(), want_task_token: true }];
    let mut request = Request::new(KeepAliveRequest { items });
    request.set_timeout(PATIENCE);
    let mut results = client.keep_alive(request).await?.into_inner().results;
    match (results.pop(), results.pop()) {
        (Some(result), None) => Ok(result),
        _ => Err(Status::internal("one item was sent, and not one result came")),
    }
}
