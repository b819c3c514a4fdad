//! kubectl as a process, for one user: bounded in time, its answers as text or JSON.

use crate::HttpApi;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long one request of kubectl may take, where nothing else is said. One call makes several.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a whole call of kubectl may take: it asks up to five times what the server can do
/// before it gives up.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How a call of kubectl ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether kubectl's exit code was 0.
    pub success: bool,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// kubectl with one kubeconfig, so with one user's rights.
#[derive(Debug, Clone)]
#[must_use]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    request_timeout: Duration,
}

impl Kubectl {
    /// `home` is where it may keep what it likes.
    pub(crate) fn new(program: &Path, kubeconfig: &Path, home: &Path) -> Self {
        Self {
            program: program.to_path_buf(),
            kubeconfig: kubeconfig.to_path_buf(),
            home: home.to_path_buf(),
            request_timeout: REQUEST_TIMEOUT,
        }
    }

    /// The same with another kubeconfig.
    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_path_buf(), ..self.clone() }
    }

    /// The same with another time for each request; without this: 10 s. A whole call may take 60 s
    /// in any case.
    pub fn with_request_timeout(&self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self.clone() }
    }

    /// The same user, who reaches the API server through a TCP proxy at `proxy`. The proxy's IP
    /// address must be 127.0.0.1: the certificate names that and the API server's own.
    ///
    /// # Errors
    ///
    /// When the new kubeconfig can't be written.
    pub async fn through(&self, proxy: SocketAddr) -> anyhow::Result<Self> {
        let mut config = self.json(&["config", "view", "--raw"]).await?;
        let server = config.pointer_mut("/clusters/0/cluster/server").context("a kubeconfig has a server")?;
        *server = Value::from(format!("https://{proxy}"));
        self.with_config(&config).await
    }

    /// Somebody without a password, who reaches an API server by plain HTTP: what `serve_http`
    /// serves, or a proxy before it.
    ///
    /// # Errors
    ///
    /// When the new kubeconfig can't be written.
    pub async fn at_http(&self, address: SocketAddr) -> anyhow::Result<Self> {
        let mut config = self.json(&["config", "view", "--raw"]).await?;
        *config.pointer_mut("/clusters/0/cluster").context("a kubeconfig has a cluster")? =
            json!({"server": format!("http://{address}")});
        *config.pointer_mut("/users/0/user").context("a kubeconfig has a user")? = json!({});
        self.with_config(&config).await
    }

    /// Serves the API of this user, without a password, by plain HTTP on a port of 127.0.0.1
    /// (`kubectl proxy`).
    ///
    /// # Errors
    ///
    /// When it doesn't say within 10 s where.
    pub async fn serve_http(&self) -> anyhow::Result<HttpApi> {
        HttpApi::start(self.command(&["proxy", "--port=0"])).await
    }

    async fn with_config(&self, config: &Value) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.kubeconfig.with_extension(format!("{number}.proxied"));
        tokio::fs::write(&path, config.to_string()).await.with_context(|| format!("{}", path.display()))?;
        Ok(self.with_kubeconfig(&path))
    }

    /// Its kubeconfig, which any other Kubernetes client can use as well.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs `kubectl ARGS`, and gives back its end, whatever it is. Without `stdin` its input is
    /// empty.
    ///
    /// # Errors
    ///
    /// When it can't be started, or runs for 60 s: it is killed then.
    pub async fn output(&self, args: &[&str], stdin: Option<&str>) -> anyhow::Result<Output> {
        let mut command = self.command(args);
        command.arg(format!("--request-timeout={}ms", self.request_timeout.as_millis()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let run = async {
            let mut child = command.spawn().with_context(|| format!("{} doesn't start", self.program.display()))?;
            let mut pipe = child.stdin.take().context("stdin is piped")?;
            // It may end without having read its input: its own words say why, not this error.
            let _ = pipe.write_all(stdin.unwrap_or_default().as_bytes()).await;
            drop(pipe);
            child.wait_with_output().await.context("kubectl can't be waited for")
        };
        let output = tokio::time::timeout(CALL_TIMEOUT, run)
            .await
            .with_context(|| format!("`kubectl {}` hasn't ended within {CALL_TIMEOUT:?}", args.join(" ")))??;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // The caller's own settings (KUBERC, KUBECTL_*, proxies) must not change what is tested.
        command.env_clear().env("HOME", &self.home).env("KUBECONFIG", &self.kubeconfig).args(args);
        command
    }

    /// Runs `kubectl ARGS`; gives back its stdout.
    ///
    /// # Errors
    ///
    /// As `output`, and when kubectl fails: the error holds what it wrote to stderr.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        self.run_with(args, None).await
    }

    /// Runs `kubectl ARGS -o json`; gives back what it answers.
    ///
    /// # Errors
    ///
    /// As `run`, and when the answer isn't JSON.
    pub async fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let stdout = self.run(&[args, &["--output=json"]].concat()).await?;
        serde_json::from_str(&stdout).with_context(|| format!("`kubectl {}` answers {stdout:?}", args.join(" ")))
    }

    /// `kubectl apply` of manifests in YAML or JSON.
    ///
    /// # Errors
    ///
    /// As `run`.
    pub async fn apply(&self, manifests: &str) -> anyhow::Result<String> {
        self.run_with(&["apply", "--filename=-"], Some(manifests)).await
    }

    pub(crate) async fn run_with(&self, args: &[&str], stdin: Option<&str>) -> anyhow::Result<String> {
        let output = self.output(args, stdin).await?;
        if !output.success {
            bail!("`kubectl {}` fails: {}", args.join(" "), output.stderr.trim_end());
        }
        Ok(output.stdout)
    }
}
