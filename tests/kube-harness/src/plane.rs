//! The control plane as tests see it.

use crate::binaries::Binaries;
use crate::supervisor::Supervisor;
use crate::{Kubectl, Write, account, audit};
use anyhow::Context as _;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long a start may take: etcd first, then the API server, 60 s each. Usual are 5 s.
const START_TIMEOUT: Duration = Duration::from_secs(130);

/// How long a signal may take to have its effect, on both.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The port of the API server, on an address of its own.
const API_SERVER_PORT: u16 = 6443;

/// Which of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Both: the whole control plane.
    Both,
    /// The API server only. Connections to it are refused while it is stopped, and hang while it is
    /// frozen.
    ApiServer,
    /// etcd only: the API server takes requests, and can't answer most of them.
    Etcd,
}

impl Part {
    fn names(self) -> &'static str {
        match self {
            Self::Both => "etcd kube-apiserver",
            Self::ApiServer => "kube-apiserver",
            Self::Etcd => "etcd",
        }
    }
}

/// The process ids of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pids {
    /// The process that has started the two, and that ends them.
    pub supervisor: u32,
    /// etcd; none while it is stopped.
    pub etcd: Option<u32>,
    /// The API server; none while it is stopped.
    pub api_server: Option<u32>,
}

/// An API server and its etcd on a loopback address of their own, with their data in a temporary
/// folder. RBAC is on; there are no nodes and no controllers, so nobody makes the account `default`
/// of a namespace, and a namespace that is deleted stays there. Both processes are killed when this
/// is dropped, and when the process that owns it dies.
#[derive(Debug)]
pub struct ControlPlane {
    // Before the folder: it is dropped first.
    supervisor: Supervisor,
    admin: Kubectl,
    address: SocketAddr,
    dir: TempDir,
}

impl ControlPlane {
    /// Starts one and waits until it serves. Builds the programs first, if they aren't built yet
    /// and `LEASEHOLD_CONTROLPLANE` doesn't say where they are.
    ///
    /// # Errors
    ///
    /// When they can't be built, or don't serve within 60 s each: the error shows the end of their
    /// logs.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// As `start`, on an address of this machine that others can reach: for replicas in network
    /// namespaces. Its ports 6443, 2379 and 2380 must be free there, and whoever reaches the latter
    /// two needs no password.
    ///
    /// # Errors
    ///
    /// As `start`, and when a port is taken.
    pub async fn start_on(address: IpAddr) -> anyhow::Result<Self> {
        Self::start_with(&[format!("--address={address}")]).await
    }

    /// The program of `tests/controlplane`, for what this harness doesn't do with it.
    ///
    /// # Errors
    ///
    /// When it can't be built.
    pub async fn program() -> anyhow::Result<PathBuf> {
        Ok(Binaries::find().await?.controlplane)
    }

    async fn start_with(flags: &[String]) -> anyhow::Result<Self> {
        let binaries = Binaries::find().await?;
        let dir = tempfile::Builder::new().prefix("controlplane-").tempdir().context("no temporary folder")?;
        let (supervisor, kubeconfig) =
            Supervisor::start(&binaries.controlplane, dir.path(), flags, START_TIMEOUT).await?;
        let admin = Kubectl::new(&binaries.kubectl, &kubeconfig, &dir.path().join("home"));
        let ip = tokio::fs::read_to_string(dir.path().join("address")).await.context("the address isn't known")?;
        let ip = ip.trim().parse().with_context(|| format!("{ip:?} isn't an IP address"))?;
        Ok(Self { supervisor, admin, address: SocketAddr::new(ip, API_SERVER_PORT), dir })
    }

    /// The kubeconfig of an administrator, who may do everything.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.admin.kubeconfig()
    }

    /// kubectl as that administrator.
    pub fn admin(&self) -> &Kubectl {
        &self.admin
    }

    /// `kubectl ARGS` as the administrator; gives back its stdout.
    ///
    /// # Errors
    ///
    /// As `Kubectl::run`.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.admin.run(args).await
    }

    /// Where the API server listens, with TLS. It stays the same over stops and starts.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate in PEM of the authority that has signed the API server's.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("pki/ca.crt")
    }

    /// The file with the private key that signs tokens of service accounts, in PEM. What else
    /// stands in it checks tokens as well, and is published. Read when the API server starts.
    #[must_use]
    pub fn account_key(&self) -> PathBuf {
        self.dir.path().join("pki/service-accounts.key")
    }

    /// The process ids as they are now.
    ///
    /// # Errors
    ///
    /// When the supervisor has ended.
    pub async fn pids(&self) -> anyhow::Result<Pids> {
        let supervisor = self.supervisor.pid().context("the control plane has ended")?;
        let api_server = self.pid("kube-apiserver.pid").await?;
        Ok(Pids { supervisor, etcd: self.pid("etcd.pid").await?, api_server })
    }

    /// Freezes it, as a paused machine would be (SIGSTOP), and waits until no thread runs any more.
    /// Connections stay open, and new ones are accepted by the kernel: nothing is answered.
    ///
    /// # Errors
    ///
    /// When the part is stopped.
    pub async fn freeze(&self, part: Part) -> anyhow::Result<()> {
        self.supervisor.command(&format!("freeze {}", part.names()), SIGNAL_TIMEOUT).await
    }

    /// Lets it go on after `freeze`. Requests that were held up are answered now, unless their time
    /// was over.
    ///
    /// # Errors
    ///
    /// When the part is stopped.
    pub async fn thaw(&self, part: Part) -> anyhow::Result<()> {
        self.supervisor.command(&format!("thaw {}", part.names()), SIGNAL_TIMEOUT).await
    }

    /// Kills it (SIGKILL), and waits until it is gone. Its data stays. Connections are refused from
    /// now on.
    ///
    /// # Errors
    ///
    /// When it isn't gone within 10 s.
    pub async fn stop(&self, part: Part) -> anyhow::Result<()> {
        self.supervisor.command(&format!("stop {}", part.names()), SIGNAL_TIMEOUT).await
    }

    /// Starts it after `stop`, with its data, on its address, and waits until it serves. What runs
    /// already isn't touched. Without etcd the API server is started and not waited for.
    ///
    /// # Errors
    ///
    /// As `start`.
    pub async fn start_again(&self, part: Part) -> anyhow::Result<()> {
        self.supervisor.command(&format!("start {}", part.names()), START_TIMEOUT).await
    }

    /// Makes the namespace and the service account, unless they are there, gives the account a Role
    /// of its own with `rules` (YAML or JSON: a list, as in a Role; empty for no rights), waits
    /// until the API server acts on it, and gets a token. Gives back kubectl as that account; its
    /// kubeconfig is for any other client too. Called again, the new rules take the place of the
    /// old ones, and earlier tokens stay valid.
    ///
    /// # Errors
    ///
    /// When the rules aren't valid, or the API server doesn't answer.
    pub async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
        rules: &str,
    ) -> anyhow::Result<Kubectl> {
        account::equip(&self.admin, namespace, name, rules).await?;
        let token = account::token(&self.admin, namespace, name, None).await?;
        let server = format!("https://{}", self.address);
        let authority = self.authority().display().to_string();
        let config = account::kubeconfig(&server, &authority, &token, namespace);
        let path = self.dir.path().join(format!("{namespace}-{name}.kubeconfig"));
        tokio::fs::write(&path, config.to_string()).await.with_context(|| format!("{}", path.display()))?;
        Ok(self.admin.with_kubeconfig(&path))
    }

    /// A token of a service account for an audience, e.g. `leasehold`: what a pod would have in a
    /// projected volume.
    ///
    /// # Errors
    ///
    /// When there is no such account.
    pub async fn service_account_token(&self, namespace: &str, name: &str, audience: &str) -> anyhow::Result<String> {
        account::token(&self.admin, namespace, name, Some(audience)).await
    }

    /// All writes that the API server has answered since the first start, refused ones included,
    /// those of the administrator and of the API server itself too. One that was answered just now
    /// may come some milliseconds late.
    ///
    /// # Errors
    ///
    /// When the audit log can't be read.
    pub async fn writes(&self) -> anyhow::Result<Vec<Write>> {
        audit::read(&self.dir.path().join("audit.log")).await
    }

    /// How many of `writes` changed the Lease of this name, whoever sent them.
    ///
    /// # Errors
    ///
    /// As `writes`.
    pub async fn write_count(&self, namespace: &str, lease: &str) -> anyhow::Result<usize> {
        let is_it = |w: &&Write| w.accepted() && w.resource == "leases" && w.namespace == namespace && w.name == lease;
        Ok(self.writes().await?.iter().filter(is_it).count())
    }

    async fn pid(&self, file: &str) -> anyhow::Result<Option<u32>> {
        match tokio::fs::read_to_string(self.dir.path().join(file)).await {
            Ok(text) => Ok(Some(text.trim().parse().with_context(|| format!("{text:?} isn't a process id"))?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| file.to_owned()),
        }
    }
}

impl Drop for ControlPlane {
    /// Shows what a failed test's author wants to see.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for file in ["up.log", "etcd.log", "kube-apiserver.log"] {
            let text = std::fs::read_to_string(self.dir.path().join(file)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- {file}\n{}\n---", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}
