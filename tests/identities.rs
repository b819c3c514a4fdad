//! Servers that ask who calls: whose calls are served, whose candidacies are whose, who may do
//! what, and what becomes of it when keys, tokens and the policy change.

#[path = "identities/certificates.rs"]
mod certificates;
#[path = "identities/keys.rs"]
mod keys;
#[path = "identities/policy.rs"]
mod policy;
#[path = "identities/providers.rs"]
mod providers;
#[path = "identities/subjects.rs"]
mod subjects;
#[path = "identities/token_file.rs"]
mod token_file;

use anyhow::{Context as _, ensure};
use leasehold_harness::{AdminClient, Campaign, Cluster, ElectionClient, PATIENCE, Server, by, http_get, leased};
use leasehold_proto::v1::CampaignRequest;
use serde_json::Value;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// A server in a cluster.
struct Place {
    cluster: Cluster,
    server: Server,
    client: ElectionClient,
    admin: AdminClient,
}

impl Place {
    async fn new(args: &[&str]) -> anyhow::Result<Self> {
        let cluster = Cluster::start().await?;
        let builder = Server::builder().env("KUBECONFIG", cluster.kubeconfig()?).arg("--auth=kubernetes");
        let server = args.iter().fold(builder, |builder, arg| builder.arg(*arg)).start().await?;
        let (client, admin) = (server.elections().await?, server.admin().await?);
        let mut place = Self { cluster, server, client, admin };
        place.knows_the_cluster().await?;
        Ok(place)
    }

    /// Its keys are read while it starts to serve.
    async fn knows_the_cluster(&mut self) -> anyhow::Result<()> {
        let (token, since) = (self.cluster.unbound("any", "any"), Instant::now());
        while let Err(status) = self.admin.get_status(by(&token, Default::default())).await {
            ensure!(status.code() == Code::Unavailable && since.elapsed() < PATIENCE, "{status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn enter(&mut self, token: &str, request: CampaignRequest) -> Result<Campaign, Status> {
        Campaign::open(&mut self.client, by(token, request)).await
    }

    /// Enters, and leads.
    async fn lead(&mut self, token: &str, election: &str) -> anyhow::Result<Campaign> {
        let mut campaign = self.enter(token, leased(election, "worker", TTL_MS)).await?;
        campaign.elected().await?;
        Ok(campaign)
    }

    /// The value of a metric.
    async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let metrics = http_get(&format!("{}/metrics", self.server.http())).await?.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name} in\n{metrics}"))?.parse()?)
    }

    /// The lines of its audit log, as JSON, once there are so many of this event.
    async fn audit(&self, event: &str, count: usize) -> anyhow::Result<Vec<Value>> {
        let since = Instant::now();
        loop {
            let log = self.server.process().stderr();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let lines: Vec<_> = lines.filter(|line| line["target"] == "audit" && line["event"] == event).collect();
            if lines.len() >= count {
                return Ok(lines);
            }
            ensure!(since.elapsed() < PATIENCE, "{count} lines of {event} are due: {lines:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

const TTL_MS: u32 = 10_000;
