//! A real `leasehold-server` on free ports with a data folder of its own.

use crate::{AdminClient, ElectionClient, Ending, Files, Process, Profile, binary};
use anyhow::{Context as _, bail};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tonic::transport::{Channel, Endpoint};

/// How long a start may take; the machine may be busy with other tests.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How a server is started.
#[derive(Debug, Clone)]
#[must_use]
pub struct ServerBuilder {
    profile: Profile,
    listen: SocketAddr,
    http_listen: SocketAddr,
    args: Vec<String>,
    env: Vec<(String, String)>,
    data_dir: Option<PathBuf>,
    open_files: Option<u32>,
    signals_ignored: Option<String>,
}

impl ServerBuilder {
    /// Adds an argument of the command line; a flag and its value are two.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Whether to use the optimised build. Without this: the build that the caller itself is of.
    pub fn release(mut self, release: bool) -> Self {
        self.profile = if release { Profile::Release } else { Profile::Same };
        self
    }

    /// Speaks TLS with these.
    pub fn tls(self, files: &Files) -> Self {
        self.arg("--tls-cert")
            .arg(files.cert.display().to_string())
            .arg("--tls-key")
            .arg(files.key.display().to_string())
    }

    /// Uses this data folder, and leaves it there. Without this: a temporary one.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Lets it open so many files at most. Without this: as many as this process may.
    pub fn open_files(mut self, limit: u32) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Lets it ignore a signal, which has this name without SIG.
    pub fn signals_ignored(mut self, name: &str) -> Self {
        self.signals_ignored = Some(name.to_owned());
        self
    }

    /// Listens for gRPC here. Without this: on a free port of a loopback address of its own.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Listens for HTTP here. Without this: on a free port of a loopback address of its own.
    pub fn http_listen(mut self, address: SocketAddr) -> Self {
        self.http_listen = address;
        self
    }

    /// Starts it and waits until it says where it listens.
    ///
    /// # Errors
    ///
    /// When it isn't built, or doesn't serve within 20 s: the error shows what it wrote.
    pub async fn start(self) -> anyhow::Result<Server> {
        let data = DataDir::new(self.data_dir.as_deref())?;
        let process = self.spawn(data.path())?;
        let (address, http) = addresses(&process).await?;
        Ok(Server { builder: self, process, address, http, data })
    }

    /// Starts it in the belief that it ends by itself, and waits for that.
    ///
    /// # Errors
    ///
    /// When it isn't built, or still runs after 20 s.
    pub async fn run_to_end(self) -> anyhow::Result<Ending> {
        let data = DataDir::new(self.data_dir.as_deref())?;
        self.spawn(data.path())?.wait(START_TIMEOUT).await
    }

    /// The command that starts it, for who wants to start it in a way of its own.
    ///
    /// # Errors
    ///
    /// When it isn't built.
    pub fn command(&self, data_dir: &Path) -> anyhow::Result<Command> {
        let server = binary("leasehold-server", "leasehold-server", self.profile)?;
        let limit = self.open_files.map(|limit| format!("ulimit -n {limit}; ")).unwrap_or_default();
        let ignore = self.signals_ignored.as_ref().map(|name| format!("trap '' {name}; ")).unwrap_or_default();
        let mut command = if limit.is_empty() && ignore.is_empty() {
            Command::new(server)
        } else {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("{limit}{ignore}exec \"$0\" \"$@\"")).arg(server);
            command
        };
        // Settings of the caller's own environment must not change what is tested.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("LEASEHOLD_")) {
                command.env_remove(name);
            }
        }
        command
            .arg("--listen")
            .arg(self.listen.to_string())
            .arg("--http-listen")
            .arg(self.http_listen.to_string())
            .arg("--data-dir")
            .arg(data_dir)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Starts it in the belief that it can't serve yet, and waits for nothing.
    ///
    /// # Errors
    ///
    /// When it isn't built.
    pub fn spawn(&self, data_dir: &Path) -> anyhow::Result<Process> {
        Process::spawn("leasehold-server", self.command(data_dir)?)
    }
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    builder: ServerBuilder,
    process: Process,
    address: SocketAddr,
    http: SocketAddr,
    data: DataDir,
}

impl Server {
    /// Describes a server on free ports with a temporary data folder.
    pub fn builder() -> ServerBuilder {
        let own = SocketAddr::from((own_loopback(), 0));
        ServerBuilder {
            profile: Profile::default(),
            listen: own,
            http_listen: own,
            args: Vec::new(),
            env: Vec::new(),
            data_dir: None,
            open_files: None,
            signals_ignored: None,
        }
    }

    /// Starts a server with no settings but its ports and data folder.
    ///
    /// # Errors
    ///
    /// As `ServerBuilder::start`.
    pub async fn start() -> anyhow::Result<Self> {
        Self::builder().start().await
    }

    /// Where gRPC is served, as a URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where gRPC is served, as address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where HTTP is served, as a URL without a slash at its end.
    #[must_use]
    pub fn http(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Where HTTP is served, as address and port.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Its process: output, signals, end.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// As `process`, for what changes it.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A new connection to it. gRPC calls over it have no deadline of their own.
    ///
    /// # Errors
    ///
    /// When it doesn't answer within 5 s.
    pub async fn channel(&self) -> anyhow::Result<Channel> {
        let endpoint =
            Endpoint::from_shared(self.endpoint())?.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
        endpoint.connect().await.with_context(|| format!("{} doesn't answer", self.address))
    }

    /// A client of elections on a connection of its own.
    ///
    /// # Errors
    ///
    /// As `channel`.
    pub async fn elections(&self) -> anyhow::Result<ElectionClient> {
        Ok(ElectionClient::new(self.channel().await?))
    }

    /// An operator's client on a connection of its own.
    ///
    /// # Errors
    ///
    /// As `channel`.
    pub async fn admin(&self) -> anyhow::Result<AdminClient> {
        Ok(AdminClient::new(self.channel().await?))
    }

    /// Ends it as a crash would, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it had already ended.
    pub async fn kill9(&mut self) -> anyhow::Result<Ending> {
        self.process.kill9().await
    }

    /// Ends it orderly, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it had already ended, or hasn't within `timeout`.
    pub async fn sigterm(&mut self, timeout: Duration) -> anyhow::Result<Ending> {
        self.process.sigterm()?;
        self.process.wait(timeout).await
    }

    /// Starts it again, after its end, on the same ports and data folder.
    ///
    /// # Errors
    ///
    /// As `ServerBuilder::start`.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.builder.listen = self.address;
        self.builder.http_listen = self.http;
        self.process = self.builder.spawn(self.data.path())?;
        addresses(&self.process).await?;
        Ok(())
    }

    /// Changes how it is started next: `restart` uses what `change` gives back.
    pub fn reconfigure(&mut self, change: impl FnOnce(ServerBuilder) -> ServerBuilder) {
        self.builder = change(self.builder.clone());
    }
}

impl Drop for Server {
    /// Shows what the server has logged: the test runner keeps it to itself unless the test fails.
    /// A task of it that panicked takes down one call, and a test may pass all the same: its own
    /// words tell.
    fn drop(&mut self) {
        let stderr = self.process.stderr();
        eprintln!("--- log of the server at {}\n{stderr}\n---", self.address);
        assert!(std::thread::panicking() || !stderr.contains("panicked at"), "the server has panicked");
    }
}

/// A data folder: a temporary one, gone with the last server that uses it, or the caller's.
#[derive(Debug, Clone)]
enum DataDir {
    Temporary(Arc<TempDir>),
    Given(PathBuf),
}

impl DataDir {
    fn new(given: Option<&Path>) -> anyhow::Result<Self> {
        match given {
            Some(path) => Ok(Self::Given(path.to_path_buf())),
            None => Ok(Self::Temporary(Arc::new(tempfile::tempdir().context("no temporary folder")?))),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

/// A loopback address that no other test uses. A server that is restarted needs its port back: on a
/// shared address another server, or a client's outgoing connection, may have got it meanwhile.
fn own_loopback() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    let part = |number: u32| u8::try_from(1 + number % 250).expect("at most 250");
    Ipv4Addr::new(127, part(pid), part(pid / 250), part(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Reads `... listening on ADDRESS (http ADDRESS), data in DIR`.
async fn addresses(process: &Process) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let line = process.wait_for_line(|_| true, START_TIMEOUT).await?.text;
    let Some((address, http)) = parse_addresses(&line) else {
        bail!("the server's first line doesn't say where it listens: {line:?}");
    };
    Ok((address, http))
}

fn parse_addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (_, rest) = line.split_once(" listening on ")?;
    let (address, rest) = rest.split_once(" (http ")?;
    let (http, _) = rest.split_once(')')?;
    Some((address.parse().ok()?, http.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{own_loopback, parse_addresses};

    #[test]
    fn the_first_line_says_where_it_listens() {
        let line = "leasehold-server 0.1.0 listening on 127.0.0.1:7400 (http 127.0.0.1:7401), data in /tmp/x (y)";
        let (address, http) = parse_addresses(line).expect("it is the documented line");
        assert_eq!((address.port(), http.port()), (7400, 7401));
        assert!(parse_addresses("leasehold-server 0.1.0").is_none());
    }

    #[test]
    fn each_server_has_a_loopback_address_of_its_own() {
        let (one, two) = (own_loopback(), own_loopback());
        assert_ne!(one, two);
        assert!(one.is_loopback() && two.is_loopback());
    }
}
