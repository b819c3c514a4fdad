//! One round: many clients that make cycles for a while, and what that cost the server.

use anyhow::{Context as _, Result, ensure};
use leasehold_harness::ElectionClient;
use leasehold_proto::v1::CampaignRequest;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use super::{CYCLE_TIMEOUT, Target};
use crate::exchange::Exchange;
use crate::latency::Latency;
use crate::machine::{Meter, Usage};

/// The ttl of each candidacy, in seconds.
const TTL_SECONDS: i64 = 15;

/// What a round found.
#[derive(Debug)]
pub(super) struct Round {
    /// Cycles that were made.
    pub(super) cycles: u64,
    /// What they cost.
    pub(super) usage: Usage,
    /// How long each took, from before Campaign to the end of the stream.
    pub(super) latency: Latency,
}

/// What a round is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// How many clients make cycles at the same time.
    pub(super) clients: usize,
    /// Whether they ask for a task token with each grant.
    pub(super) task_tokens: bool,
}

impl Round {
    /// Makes cycles for `length`. Cycles that are under way then are finished, and measured too.
    ///
    /// # Errors
    ///
    /// When one fails or takes longer than 10 s.
    pub(super) async fn make(target: &Target, load: Load, length: Duration) -> Result<Self> {
        let meter = Meter::start(target.pid)?;
        let until = Instant::now() + length;
        let mut running = JoinSet::new();
        for (number, client) in target.clients.iter().cycle().take(load.clients).cloned().enumerate() {
            running.spawn(cycles(client, load.request(number), until));
        }
        let mut latency = Latency::new();
        while let Some(done) = running.join_next().await {
            latency.add(&done.context("a client panicked")?.with_context(|| format!("against {}", target.name))?);
        }
        Ok(Self { cycles: latency.count(), usage: meter.read()?, latency })
    }

    /// Cycles in a second.
    pub(super) fn rate(&self) -> f64 {
        self.cycles as f64 / self.usage.elapsed.as_secs_f64()
    }
}

impl Load {
    /// What client `number` asks for: an election of its own. All names have the same length.
    pub(super) fn request(self, number: usize) -> CampaignRequest {
        CampaignRequest {
            election: format!("load/election-{number:05}"),
            candidate: format!("candidate-{number:05}"),
            ttl: Some(prost_types::Duration { seconds: TTL_SECONDS, nanos: 0 }),
            value: "127.0.0.1:8080".to_owned(),
            want_task_token: self.task_tokens,
            ..Default::default()
        }
    }
}

/// Makes cycles until the time is over. Each grant must have a higher fencing token than the one
/// before.
async fn cycles(mut client: ElectionClient, request: CampaignRequest, until: Instant) -> Result<Latency> {
    let mut latency = Latency::new();
    let mut highest = 0;
    while Instant::now() < until {
        let start = Instant::now();
        let exchange = tokio::time::timeout(CYCLE_TIMEOUT, Exchange::make(&mut client, request.clone(), None))
            .await
            .with_context(|| format!("a cycle took longer than {CYCLE_TIMEOUT:?}"))??;
        latency.record(start.elapsed());
        let token = exchange.fencing_token()?;
        ensure!(token > highest, "fencing token {token} was handed out after {highest}");
        highest = token;
    }
    Ok(latency)
}
