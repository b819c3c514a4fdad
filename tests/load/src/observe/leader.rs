//! The leader whose value changes.

use anyhow::{Context as _, Result, bail};
use leasehold_harness::ElectionClient;
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::{CampaignRequest, CampaignResponse, KeepAliveItem, KeepAliveRequest, ProclaimRequest};
use std::time::{Duration, Instant};
use tonic::Streaming;

use super::watcher::Change;

/// The ttl of the leader, and how often it is kept alive.
const TTL: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A leader on a connection of its own.
#[derive(Debug)]
pub(super) struct Leader {
    client: ElectionClient,
    ticket: Vec<u8>,
    kept_alive: Instant,
    /// Open, as a worker's would be; nothing comes on it while the leader leads.
    _stream: Streaming<CampaignResponse>,
}

impl Leader {
    /// Enters this election, and leads it. Its first value is change 0.
    ///
    /// # Errors
    ///
    /// When it isn't granted at once.
    pub(super) async fn campaign(mut client: ElectionClient, election: &str) -> Result<Self> {
        let kept_alive = Instant::now();
        let request = CampaignRequest {
            election: election.to_owned(),
            candidate: "leader".to_owned(),
            ttl: Some(prost_types::Duration::try_from(TTL)?),
            value: Change { number: 0, sent: Duration::ZERO }.to_string(),
            no_wait: true,
            ..Default::default()
        };
        let mut stream = client.campaign(request).await?.into_inner();
        loop {
            let message = stream.message().await?.context("the stream ended before Elected")?;
            match message.event {
                Some(Event::Enrolled(_)) => {}
                Some(Event::Elected(elected)) => {
                    return Ok(Self { client, ticket: elected.ticket, kept_alive, _stream: stream });
                }
                other => bail!("the leader can't lead: {other:?}"),
            }
        }
    }

    /// Makes a change, after a KeepAlive if one is due.
    ///
    /// # Errors
    ///
    /// When the server refuses, or doesn't answer within 10 s.
    pub(super) async fn proclaim(&mut self, change: Change) -> Result<()> {
        if self.kept_alive.elapsed() >= KEEP_ALIVE {
            self.keep_alive().await?;
        }
        let request = ProclaimRequest { ticket: self.ticket.clone(), value: change.to_string() };
        let answer = tokio::time::timeout(TIMEOUT, self.client.proclaim(request)).await;
        self.ticket = answer.context("Proclaim isn't answered within 10 s")??.into_inner().ticket;
        Ok(())
    }

    async fn keep_alive(&mut self) -> Result<()> {
        let sent = Instant::now();
        let items = vec![KeepAliveItem { ticket: self.ticket.clone(), want_task_token: false }];
        let answer = tokio::time::timeout(TIMEOUT, self.client.keep_alive(KeepAliveRequest { items })).await;
        let results = answer.context("KeepAlive isn't answered within 10 s")??.into_inner().results;
        match <[_; 1]>::try_from(results) {
            Ok([result]) if !result.ticket.is_empty() => self.ticket = result.ticket,
            other => bail!("the leader isn't kept alive: {other:?}"),
        }
        self.kept_alive = sent;
        Ok(())
    }
}
