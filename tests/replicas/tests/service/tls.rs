//! TLS with nothing to set up: an authority that the first replica makes, certificates that each
//! one signs for itself, and a new authority while workers lead.

use crate::START;
use anyhow::{Context as _, bail, ensure};
use leasehold::{Access, Client, Role};
use leasehold_harness::{Ending, PATIENCE, Process, Profile, binary, http_get, repository};
use leasehold_replica_tests::{Group, NAMESPACE};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Command;

/// Replicas, and whom to trust for them as a worker would be given it.
struct Sealed {
    group: Group,
    dir: TempDir,
}

impl Sealed {
    async fn start() -> anyhow::Result<Self> {
        let group = Group::builder().quick().over_tls().arg("--ca-trust-bundle=leasehold").start().await?;
        let this = Self { group, dir: tempfile::tempdir()? };
        tokio::fs::write(this.ca(), this.published(0).await?).await?;
        Ok(this)
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    fn access(&self) -> Access {
        Access::new().ca(self.ca())
    }

    fn url(&self, replica: usize) -> String {
        format!("https://{}", self.group.replicas[replica].server.address())
    }

    /// What a replica publishes.
    async fn published(&self, replica: usize) -> anyhow::Result<String> {
        let answer = http_get(&format!("{}/ca.crt", self.group.replicas[replica].server.http())).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body)
    }

    /// What the ConfigMap has.
    async fn config_map(&self) -> anyhow::Result<String> {
        let get = ["get", "configmap", "leasehold-ca", "--namespace", NAMESPACE];
        let map = self.group.plane.admin().json(&get).await?;
        Ok(map["data"]["ca.crt"].as_str().context("it has the field")?.to_owned())
    }

    async fn client(&self, replica: usize) -> anyhow::Result<Client> {
        Ok(Client::connect_with(self.url(replica), self.access()).await?)
    }

    /// The replica that is active, once it grants.
    async fn settled(&self) -> anyhow::Result<usize> {
        let since = Instant::now();
        while since.elapsed() < START {
            for (number, _) in self.group.replicas.iter().enumerate() {
                let Ok(client) = self.client(number).await else { continue };
                if let Ok(status) = client.status().await
                    && status.role == Role::Active
                    && status.settling.is_none()
                {
                    return Ok(number);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("no replica settles")
    }

    /// What openssl says of a replica.
    async fn openssl(&self, replica: usize, words: &[&str]) -> anyhow::Result<Ending> {
        let mut command = Command::new("openssl");
        let address = self.group.replicas[replica].server.address().to_string();
        command.args(["s_client", "-connect", &address, "-CAfile", &self.ca().display().to_string()]);
        command.args(["-verify_return_error", "-alpn", "h2"]).args(words).stdin(Stdio::null());
        Process::spawn("openssl", command)?.wait(PATIENCE).await
    }

    /// Gives replicas another authority; what is said of it.
    async fn rotate(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(binary("leasehold-server", "leasehold-server", Profile::Same)?);
        command.arg("rotate-ca").args(words).env("LEASEHOLD_NAMESPACE", NAMESPACE);
        command.env("KUBECONFIG", self.group.account.kubeconfig());
        let ending = Process::spawn("rotate-ca", command)?.wait(PATIENCE).await?;
        ensure!(ending.status.success(), "{ending:?}");
        Ok(ending.stdout)
    }

    /// The common name of whoever has signed what a replica shows.
    async fn signer(&self, replica: usize) -> anyhow::Result<String> {
        let said = self.openssl(replica, &[]).await?.stdout;
        let issuer = said.lines().find_map(|line| line.strip_prefix("issuer=")).context("it has an issuer")?;
        let (_, name) = issuer.split_once("CN").context("the issuer has a name")?;
        Ok(name.trim_start_matches([' ', '=']).to_owned())
    }
}

/// Waits until this holds.
async fn until<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let since = Instant::now();
    while !holds().await? {
        ensure!(since.elapsed() < START, "{what}: in vain");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// What a certificate file says of itself.
async fn text_of(certificate: &str, dir: &Path) -> anyhow::Result<String> {
    let file = dir.join("shown.crt");
    tokio::fs::write(&file, certificate).await?;
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-text", "-in"]).arg(&file);
    Ok(Process::spawn("openssl", command)?.wait(PATIENCE).await?.stdout)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_make_an_authority_and_talk_to_workers_and_to_each_other_by_it() -> anyhow::Result<()> {
    let mut sealed = Sealed::start().await?;
    let first = sealed.settled().await?;
    let published = sealed.published(0).await?;
    for replica in 1..3 {
        ensure!(sealed.published(replica).await? == published, "replica {replica} has another authority");
    }
    until("it is in the ConfigMap", async || Ok(sealed.config_map().await.is_ok_and(|map| map == published))).await?;
    // The component's right is what it takes, and it can come later.
    for file in ["cluster-role.yaml", "cluster-role-binding.yaml"] {
        let file = repository().join("deploy/components/cluster-trust-bundle").join(file).display().to_string();
        sealed.group.plane.kubectl(&["apply", "--filename", &file]).await?;
    }
    let get = ["get", "clustertrustbundle", "leasehold", "--output", "jsonpath={.spec.trustBundle}"];
    let bundle = async || sealed.group.plane.kubectl(&get).await;
    until("it is there for all", async || Ok(bundle().await.is_ok_and(|bundle| bundle.trim() == published.trim())))
        .await?;
    let logs = sealed.group.replicas.iter().map(|replica| replica.server.process().stderr());
    ensure!(logs.filter(|log| log.contains("made an authority for this service's certificates")).count() == 1);

    let shown = sealed.openssl(first, &["-showcerts"]).await?.stdout;
    let (_, leaf) = shown.split_once("-----BEGIN CERTIFICATE-----").context("a certificate is shown")?;
    let (leaf, _) = leaf.split_once("-----END CERTIFICATE-----").context("it has an end")?;
    let leaf = format!("-----BEGIN CERTIFICATE-----{leaf}-----END CERTIFICATE-----\n");
    let text = text_of(&leaf, sealed.dir.path()).await?;
    for name in ["leasehold.leasehold.svc", "leasehold-replicas.leasehold.svc.cluster.local", "leasehold", "localhost"]
    {
        ensure!(text.contains(&format!("DNS:{name},")) || text.contains(&format!("DNS:{name}\n")), "{name}: {text}");
    }
    ensure!(text.contains(&format!("IP Address:{}", sealed.group.replicas[first].server.address().ip())), "{text}");

    // Each of them leads by a standby: it forwards over TLS, and mirrors over TLS.
    let standby = sealed.group.others(first)[0];
    let leadership = sealed.client(standby).await?.campaign("jobs/sealed").ttl(Duration::from_secs(6)).await?;
    let token = leadership.fencing_token();
    until("a standby mirrors it", async || Ok(sealed.client(standby).await?.status().await?.mirrored == 1)).await?;

    // Who asks as a replica must be one.
    let address = sealed.group.replicas[first].server.address().to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address, "-servername", "replica.leasehold.internal", "-ign_eof"]);
    let asks = Process::spawn("openssl", {
        command.stdin(Stdio::null());
        command
    })?;
    until("it is refused", async || Ok(asks.stderr().contains("alert certificate required"))).await?;
    let ending = sealed.openssl(first, &["-tls1_1"]).await?;
    ensure!(!ending.status.success());

    sealed.group.replicas[first].server.sigterm(PATIENCE).await?;
    let second = sealed.settled().await?;
    ensure!(second != first);
    let leader = sealed.client(second).await?.get("jobs/sealed").await?.leader.context("it is led")?;
    ensure!(leader.fencing_token == token && leadership.is_leading());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_authority_comes_into_use_while_workers_lead() -> anyhow::Result<()> {
    let sealed = Sealed::start().await?;
    let first = sealed.settled().await?;
    let standby = sealed.group.others(first)[0];
    let endpoints = (0..3).map(|replica| sealed.url(replica)).collect::<Vec<_>>().join(",");
    let client = Client::connect_with(endpoints, sealed.access()).await?;
    let leadership = client.campaign("jobs/rotated").ttl(Duration::from_secs(6)).await?;
    let token = leadership.fencing_token();
    let (former, signer) = (sealed.published(first).await?, sealed.signer(first).await?);

    let said = sealed.rotate(&["--after", "20s"]).await?;
    ensure!(said.contains("the new one signs in 20s"), "{said}");

    // Both are trusted and published, and the former one signs still.
    let mut bundle = String::new();
    until("both are published", async || {
        let map = sealed.config_map().await?;
        Ok(map.matches("BEGIN CERTIFICATE").count() == 2 && map.starts_with(&former))
    })
    .await?;
    for replica in 0..3 {
        until("by each replica", async || Ok(sealed.published(replica).await? == sealed.config_map().await?)).await?;
    }
    let get = ["get", "clustertrustbundle", "leasehold", "--output", "jsonpath={.spec.trustBundle}"];
    ensure!(sealed.group.plane.kubectl(&get).await.is_err(), "nobody has given the right for that");
    ensure!(sealed.signer(first).await? == signer);
    bundle.push_str(&sealed.config_map().await?);
    let old = sealed.dir.path().join("former.crt");
    tokio::fs::write(&old, &former).await?;
    tokio::fs::write(sealed.ca(), &bundle).await?;

    for replica in 0..3 {
        until("the new one signs", async || Ok(sealed.signer(replica).await? != signer)).await?;
        sealed.client(replica).await?.status().await?;
    }
    let error = Client::connect_with(sealed.url(first), Access::new().ca(&old))
        .await
        .expect_err("it signs no more")
        .to_string();
    ensure!(error.contains("signed by an authority that isn't trusted here"), "{error}");
    // Nobody has lost anything, and replicas reach each other.
    ensure!(leadership.is_leading() && leadership.fencing_token() == token);
    let leader = sealed.client(standby).await?.get("jobs/rotated").await?.leader.context("it is led")?;
    ensure!(leader.fencing_token == token);
    let other = sealed.client(standby).await?.campaign("jobs/more").ttl(Duration::from_secs(6)).await?;
    until("a standby mirrors both", async || Ok(sealed.client(standby).await?.status().await?.mirrored == 2)).await?;
    drop(other);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_distrusted_ends_connections_between_replicas() -> anyhow::Result<()> {
    let sealed = Sealed::start().await?;
    let first = sealed.settled().await?;
    let standby = sealed.group.others(first)[0];
    // A worker that is connected already: it shakes hands no more.
    let client = sealed.client(standby).await?;
    let leadership = client.campaign("jobs/distrusted").ttl(Duration::from_secs(6)).await?;
    let token = leadership.fencing_token();
    until("a standby mirrors it", async || Ok(sealed.client(standby).await?.status().await?.mirrored == 1)).await?;
    let said = sealed.rotate(&["--distrust"]).await?;
    ensure!(said.contains("nobody else is trusted"), "{said}");

    // Two mirrors, and what was forwarded: whichever end hears of it first.
    const CLOSED: &str = "closed a connection between replicas";
    let closed = |replica: usize| sealed.group.replicas[replica].server.process().stderr().matches(CLOSED).count();
    until("connections are closed", async || Ok((0..3).map(closed).sum::<usize>() >= 3)).await?;
    // They are there again by the new one, and nobody has lost anything.
    until("the authority is published", async || {
        tokio::fs::write(sealed.ca(), sealed.published(standby).await?).await?;
        Ok(sealed.published(first).await? == sealed.published(standby).await?)
    })
    .await?;
    // What everybody is shown follows what replicas show each other.
    until("workers get in again, and a standby mirrors it again", async || {
        let Ok(client) = sealed.client(standby).await else { return Ok(false) };
        Ok(client.status().await?.mirrored == 1)
    })
    .await?;
    until("a standby forwards again", async || {
        let Ok(election) = sealed.client(standby).await?.get("jobs/distrusted").await else { return Ok(false) };
        Ok(election.leader.is_some_and(|leader| leader.fencing_token == token))
    })
    .await?;
    let mirrors = async || {
        let log = sealed.group.replicas[first].server.process().stderr();
        Ok(log.matches("a standby mirrors this replica").count() >= 4)
    };
    until("both standbys have opened their mirrors again", mirrors).await?;
    ensure!(leadership.is_leading() && leadership.fencing_token() == token);
    Ok(())
}
