//! Some replicas of one service: their processes, their way to the API server and the way to them.

use crate::{HttpFaults, Lease, Proxy};
use anyhow::{Context as _, bail};
use leasehold_harness::{Server, ServerBuilder};
use leasehold_kube_harness::{ControlPlane, Kubectl};
use leasehold_proto::v1::{GetStatusRequest, GetStatusResponse, Role};
use std::time::Duration;
use tokio::time::Instant;

/// The namespace of the tests.
pub const NAMESPACE: &str = "leasehold";
/// The Lease of the tests.
pub const LEASE: &str = "leasehold";

/// Exactly the rights of the manifests.
pub const RULES: &str = "
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [leasehold]
  verbs: [get, list, watch, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: ['']
  resources: [secrets]
  resourceNames: [leasehold-keys]
  verbs: [get, update]
- apiGroups: ['']
  resources: [secrets]
  verbs: [create]
- apiGroups: ['']
  resources: [configmaps]
  resourceNames: [leasehold-ca]
  verbs: [get, update]
- apiGroups: ['']
  resources: [configmaps]
  verbs: [create]
- apiGroups: ['', events.k8s.io]
  resources: [events]
  verbs: [create, patch]
";

/// How a group is started.
#[derive(Debug, Clone)]
#[must_use]
pub struct GroupBuilder {
    count: usize,
    rules: String,
    args: Vec<String>,
    env: Vec<Vec<(String, String)>>,
    reached_by_way: bool,
    over_http: bool,
    over_tls: bool,
}

/// Replicas with one API server. They are killed when this is dropped.
#[derive(Debug)]
pub struct Group {
    /// The replicas, by their number.
    pub replicas: Vec<Replica>,
    /// The API server.
    pub plane: ControlPlane,
    /// What the replicas may do there.
    pub account: Kubectl,
    builder: GroupBuilder,
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    /// Its process.
    pub server: Server,
    /// Its way to the API server, and nobody else's.
    pub api: Proxy,
    /// A way to it beside its own address.
    pub way: Proxy,
    /// What stands between it and the API server, if it speaks plain HTTP.
    pub http: Option<HttpFaults>,
}

impl GroupBuilder {
    /// So many replicas; three without this.
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Other rights than those of the manifests.
    pub fn rules(mut self, rules: &str) -> Self {
        rules.clone_into(&mut self.rules);
        self
    }

    /// A Lease of 4 s and TTLs of up to 6 s: where it doesn't matter how long a failover takes with
    /// the defaults.
    pub fn quick(self) -> Self {
        let settings = [
            ("--lease-duration", "4s"),
            ("--renew-interval", "1s"),
            ("--request-timeout", "1s"),
            ("--lease-margin", "500ms"),
            ("--max-ttl", "6s"),
        ];
        settings.into_iter().fold(self, |builder, (flag, value)| builder.arg(flag).arg(value))
    }

    /// An argument for all replicas; a flag and its value are two.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A variable in the environment of one replica.
    pub fn env(mut self, replica: usize, name: &str, value: &str) -> Self {
        self.env.resize(self.env.len().max(replica + 1), Vec::new());
        self.env[replica].push((name.to_owned(), value.to_owned()));
        self
    }

    /// The replicas name `way` as their addresses: all that others send them comes through it.
    pub fn reached_by_way(mut self) -> Self {
        self.reached_by_way = true;
        self
    }

    /// The replicas reach the API server by plain HTTP, over a proxy that can refuse requests for
    /// it: `Replica::http`, before `api`.
    pub fn over_http(mut self) -> Self {
        self.over_http = true;
        self
    }

    /// The replicas make an authority and speak TLS, as they do in the manifests. Without this:
    /// plain text, so that a test can use raw connections.
    pub fn over_tls(mut self) -> Self {
        self.over_tls = true;
        self
    }

    /// Starts the API server, makes the Lease as the manifest does (without a spec), and starts the
    /// replicas.
    ///
    /// # Errors
    ///
    /// When something doesn't start.
    pub async fn start(self) -> anyhow::Result<Group> {
        let (plane, account) = self.plane().await?;
        let lease = format!(
            "{{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {{name: {LEASE}, namespace: {NAMESPACE}}}}}"
        );
        plane.admin().apply(&lease).await?;
        self.start_on(plane, &account).await
    }

    /// Starts the API server only, and makes the account of the replicas.
    ///
    /// # Errors
    ///
    /// When it doesn't start.
    pub async fn plane(&self) -> anyhow::Result<(ControlPlane, Kubectl)> {
        let plane = ControlPlane::start().await?;
        let account = plane.service_account_kubeconfig(NAMESPACE, "leasehold", &self.rules).await?;
        Ok((plane, account))
    }

    /// Starts the replicas on an API server, whatever is there, with the rights of `account`.
    ///
    /// # Errors
    ///
    /// When something doesn't start.
    pub async fn start_on(self, plane: ControlPlane, account: &Kubectl) -> anyhow::Result<Group> {
        let mut group = Group { replicas: Vec::new(), plane, account: account.clone(), builder: self };
        for _ in 0..group.builder.count {
            group.add().await?;
        }
        Ok(group)
    }
}

impl Replica {
    async fn start(plane: &ControlPlane, account: &Kubectl, number: usize, how: &GroupBuilder) -> anyhow::Result<Self> {
        let (api, way) = (Proxy::to(plane.address()).await?, Proxy::unaimed().await?);
        let proxied = account.through(api.address()).await?;
        let http = if how.over_http { Some(HttpFaults::before(&proxied).await?) } else { None };
        let account = match &http {
            Some(http) => account.at_http(http.address()).await?,
            None => proxied,
        };
        let mut builder = Server::builder()
            .arg("--kubernetes")
            .arg("--namespace")
            .arg(NAMESPACE)
            .arg("--replica")
            .arg(format!("r{number}"))
            .env("KUBECONFIG", account.kubeconfig().display().to_string());
        if !how.over_tls {
            builder = builder.arg("--tls").arg("off");
        }
        if !how.args.iter().any(|arg| arg.starts_with("--auth=")) {
            builder = builder.arg("--auth").arg("none");
        }
        if how.reached_by_way {
            builder = builder.arg("--advertise").arg(way.address().to_string());
        }
        builder = how.args.iter().fold(builder, ServerBuilder::arg);
        let env = how.env.get(number).cloned().unwrap_or_default();
        builder = env.into_iter().fold(builder, |builder, (name, value)| builder.env(name, value));
        let server = builder.start().await.with_context(|| format!("replica {number}"))?;
        way.aim(server.address());
        Ok(Self { server, api, way, http })
    }

    /// What it says of itself, within two seconds.
    ///
    /// # Errors
    ///
    /// When it doesn't answer.
    pub async fn status(&self) -> anyhow::Result<GetStatusResponse> {
        let ask = async { Ok(self.server.admin().await?.get_status(GetStatusRequest {}).await?.into_inner()) };
        tokio::time::timeout(Duration::from_secs(2), ask).await.context("no status within 2 s")?
    }
}

impl Group {
    /// Three replicas with the settings and rights of the manifests.
    pub fn builder() -> GroupBuilder {
        GroupBuilder {
            count: 3,
            rules: RULES.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            reached_by_way: false,
            over_http: false,
            over_tls: false,
        }
    }

    /// Starts one more replica, like the others; its number.
    ///
    /// # Errors
    ///
    /// When it doesn't start.
    pub async fn add(&mut self) -> anyhow::Result<usize> {
        let number = self.replicas.len();
        self.replicas.push(Replica::start(&self.plane, &self.account, number, &self.builder).await?);
        Ok(number)
    }

    /// The addresses of all replicas, as the client takes them.
    #[must_use]
    pub fn endpoints(&self) -> String {
        self.replicas.iter().map(|replica| replica.server.endpoint()).collect::<Vec<_>>().join(",")
    }

    /// The addresses that the replicas themselves name, as the client takes them.
    #[must_use]
    pub fn offered(&self) -> String {
        if !self.builder.reached_by_way {
            return self.endpoints();
        }
        let ways = self.replicas.iter().map(|replica| format!("http://{}", replica.way.address()));
        ways.collect::<Vec<_>>().join(",")
    }

    /// Waits until one replica says that it is active, and gives back its number. Those that don't
    /// answer are passed over.
    ///
    /// # Errors
    ///
    /// When none is within `timeout`, or two are at once.
    pub async fn active(&self, timeout: Duration) -> anyhow::Result<usize> {
        self.active_where(timeout, |_| true).await
    }

    /// As `active`, but waits until it grants as well.
    ///
    /// # Errors
    ///
    /// As `active`.
    pub async fn settled(&self, timeout: Duration) -> anyhow::Result<usize> {
        self.active_where(timeout, |status| status.settling.is_none()).await
    }

    /// As `active`, for one of which `fits` is true as well.
    ///
    /// # Errors
    ///
    /// As `active`.
    pub async fn active_where(
        &self,
        timeout: Duration,
        fits: impl Fn(&GetStatusResponse) -> bool,
    ) -> anyhow::Result<usize> {
        let deadline = Instant::now() + timeout;
        loop {
            let mut found = Vec::new();
            for (number, replica) in self.replicas.iter().enumerate() {
                if let Ok(status) = replica.status().await
                    && status.role() == Role::Active
                    && fits(&status)
                {
                    found.push((number, status.tenure));
                }
            }
            match found[..] {
                [(number, _)] => return Ok(number),
                [] if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(20)).await,
                [] => bail!("no replica is active within {timeout:?}"),
                // One after the other was asked: between the two questions the lead may have
                // changed.
                _ if Instant::now() < deadline => {}
                _ => bail!("several replicas say that they are active: {found:?}"),
            }
        }
    }

    /// The numbers of all replicas but one.
    #[must_use]
    pub fn others(&self, than: usize) -> Vec<usize> {
        (0..self.replicas.len()).filter(|number| *number != than).collect()
    }

    /// Waits until each of these standbys has as many candidacies in its mirror as the active
    /// replica holds.
    ///
    /// # Errors
    ///
    /// When they haven't within `timeout`.
    pub async fn mirrored(&self, active: usize, standbys: &[usize], timeout: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        for standby in standbys {
            loop {
                let (has, all) = (
                    self.replicas[*standby].status().await?.mirrored,
                    self.replicas[active].status().await?.candidacies,
                );
                if has == all {
                    break;
                }
                if Instant::now() >= deadline {
                    bail!("replica {standby} mirrors {has} of {all} candidacies after {timeout:?}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// The Lease as it stands.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    pub async fn lease(&self) -> anyhow::Result<serde_json::Value> {
        self.plane.admin().json(&["get", "lease", LEASE, "--namespace", NAMESPACE]).await
    }

    /// The same, with names for what is in it.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    pub async fn lease_now(&self) -> anyhow::Result<Lease> {
        let asked = std::time::Instant::now();
        Ok(Lease { object: self.lease().await?, asked })
    }

    /// `kubectl VERB lease leasehold ARGS` as the administrator; its stdout.
    ///
    /// # Errors
    ///
    /// When kubectl fails.
    pub async fn edit(&self, verb: &str, args: &[&str]) -> anyhow::Result<String> {
        self.plane.kubectl(&[&[verb, "lease", LEASE, "--namespace", NAMESPACE], args].concat()).await
    }

    /// Waits until the Lease fits.
    ///
    /// # Errors
    ///
    /// When it doesn't within `timeout`: the error shows it.
    pub async fn lease_where(&self, timeout: Duration, fits: impl Fn(&Lease) -> bool) -> anyhow::Result<Lease> {
        let deadline = Instant::now() + timeout;
        loop {
            let found = self.lease_now().await;
            if let Ok(lease) = &found
                && fits(lease)
            {
                return found;
            }
            if Instant::now() >= deadline {
                bail!("the Lease isn't as it ought to be within {timeout:?}: {found:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
