//! Workers that say who they are: their token, and calls with it.

use anyhow::{Context as _, Result, ensure};
use leasehold_harness::{Campaign, ElectionClient, Issuer, Server, ServerBuilder, by, leased};
use leasehold_proto::v1::{CandidacyState, KeepAliveItem, KeepAliveRequest};
use serde_json::json;
use tempfile::NamedTempFile;
use tonic::Request;

/// The provider's name.
const ISSUER: &str = "https://load.example";
/// What its subjects may do: as much as a real policy says, with the rule that counts as the last.
const POLICY: &str = r#"
[[rule]]
subjects = ["system:serviceaccount:*:*"]
elections = ["{namespace}/**"]
verbs = ["campaign", "observe", "verify"]

[[rule]]
subjects = ["spiffe://example.org/ns/ops/**"]
elections = ["**"]
verbs = ["observe", "step-down"]

[[rule]]
subjects = ["oidc:https://load.example#*"]
elections = ["load/**"]
verbs = ["campaign", "observe", "verify"]
"#;
/// The ttl of each candidacy.
const TTL_MS: u32 = 60_000;

/// An issuer, and the policy for its subjects.
#[derive(Debug)]
pub(crate) struct Callers {
    issuer: Issuer,
    policy: NamedTempFile,
}

impl Callers {
    /// Those of a new provider.
    ///
    /// # Errors
    ///
    /// When there is no temporary folder.
    pub(crate) fn new() -> Result<Self> {
        let policy = NamedTempFile::new()?;
        std::fs::write(policy.path(), POLICY)?;
        Ok(Self { issuer: Issuer::new(ISSUER)?, policy })
    }

    /// Has a server ask who calls.
    pub(crate) fn asked_by(&self, server: ServerBuilder) -> ServerBuilder {
        let policy = self.policy.path().display().to_string();
        server.arg("--oidc").arg(self.issuer.flag()).arg("--policy").arg(policy)
    }

    /// The token of a subject: about as long as that of a Kubernetes service account in a pod,
    /// which has an RSA signature, 256 bytes more in base64 than this one's.
    pub(crate) fn token(&self, sub: &str) -> String {
        let uid = "7c8d9d7a-31f0-4f0e-a06b-5d33a3a1a9ee";
        self.issuer.sign(&json!({
            "iss": ISSUER,
            "aud": ["leasehold"],
            "sub": sub,
            "iat": 1_700_000_000,
            "nbf": 1_700_000_000,
            "exp": 4_000_000_000_u64,
            "jti": uid,
            "kubernetes.io": {
                "namespace": "team-a",
                "node": {"name": "node-1", "uid": uid},
                "pod": {"name": "worker-0", "uid": uid},
                "serviceaccount": {"name": "worker", "uid": uid},
            },
            "signature": "x".repeat(192),
        }))
    }
}

/// A leader that keeps its candidacy alive.
#[derive(Debug)]
pub(crate) struct Leader {
    client: ElectionClient,
    token: Option<String>,
    campaign: Campaign,
}

impl Leader {
    /// Enters an election of its own, and leads.
    ///
    /// # Errors
    ///
    /// When it can't.
    pub(crate) async fn enter(mut client: ElectionClient, token: Option<String>, number: usize) -> Result<Self> {
        let request = leased(&format!("load/election-{number:05}"), "worker", TTL_MS);
        let mut campaign = Campaign::open(&mut client, said_by(token.as_deref(), request)).await?;
        campaign.elected().await?;
        Ok(Self { client, token, campaign })
    }

    /// One KeepAlive.
    ///
    /// # Errors
    ///
    /// When it is refused, or doesn't lead any more.
    pub(crate) async fn keep_alive(&mut self) -> Result<()> {
        let items = vec![KeepAliveItem { ticket: self.campaign.ticket.clone(), want_task_token: false }];
        let request = said_by(self.token.as_deref(), KeepAliveRequest { items });
        let mut results = self.client.keep_alive(request).await.context("KeepAlive failed")?.into_inner().results;
        let kept = results.pop().context("KeepAlive has no result")?;
        ensure!(kept.state() == CandidacyState::Leading, "a leader is told {kept:?}");
        self.campaign.ticket = kept.ticket;
        Ok(())
    }
}

/// A call, with a token if there is one.
pub(crate) fn said_by<T>(token: Option<&str>, message: T) -> Request<T> {
    match token {
        Some(token) => by(token, message),
        None => Request::new(message),
    }
}

/// A release build that logs warnings only.
pub(crate) fn quiet_server() -> ServerBuilder {
    Server::builder().release(true).arg("--log-level=warn")
}
