//! The start of a held candidacy.

use anyhow::{Context as _, Result, bail};
use leasehold_harness::ElectionClient;
use leasehold_proto::v1::CampaignResponse;
use leasehold_proto::v1::campaign_response::Event;
use std::time::{Duration, Instant};
use tonic::Streaming;

use super::plan::Plan;

/// How long a candidacy may take until it waits or leads.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A candidacy as its worker knows it.
#[derive(Debug)]
pub(super) struct Held {
    /// Its number in the plan.
    pub(super) number: usize,
    /// The latest ticket.
    pub(super) ticket: Vec<u8>,
    /// The worker's own deadline: the moment before the last accepted request was sent, plus ttl.
    pub(super) deadline: Instant,
    /// Its fencing token, if it leads.
    pub(super) fencing_token: Option<u64>,
}

/// Enters the election of a candidacy, and returns when it waits or leads.
///
/// # Errors
///
/// When the server refuses, sends something else, or takes longer than 10 s.
pub(super) async fn enrol(
    client: &mut ElectionClient,
    plan: &Plan,
    number: usize,
) -> Result<(Held, Streaming<CampaignResponse>)> {
    let opened = tokio::time::timeout(TIMEOUT, open(client, plan, number)).await;
    opened
        .with_context(|| format!("it takes longer than {TIMEOUT:?}"))
        .flatten()
        .with_context(|| format!("candidacy {number} can't be enrolled"))
}

async fn open(client: &mut ElectionClient, plan: &Plan, number: usize) -> Result<(Held, Streaming<CampaignResponse>)> {
    let sent = Instant::now();
    let mut stream = client.campaign(plan.request(number)).await?.into_inner();
    let enrolled = match event(&mut stream).await? {
        Event::Enrolled(event) if !event.ticket.is_empty() => event,
        other => bail!("its stream begins with {other:?}"),
    };
    let (ticket, fencing_token) = match event(&mut stream).await? {
        Event::Elected(event) => (event.ticket, Some(event.fencing_token)),
        Event::Waiting(event) if event.settling.is_none() => (enrolled.ticket, None),
        other => bail!("after Enrolled comes {other:?}"),
    };
    Ok((Held { number, ticket, deadline: sent + plan.ttl, fencing_token }, stream))
}

async fn event(stream: &mut Streaming<CampaignResponse>) -> Result<Event> {
    let message = stream.message().await?.context("its stream ended early")?;
    message.event.context("an event of a kind unknown here")
}
