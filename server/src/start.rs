//! From the command line to a server that runs, and to its end.

use crate::backend::Backend;
use crate::http::serve_while_waiting;
use crate::kubernetes::{Cluster, rotate_authorities};
use crate::log::{Log, last_words};
use crate::server::Server;
use crate::settings::{ServerCommand, Settings};
use anyhow::Context as _;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

/// So many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Runs `leasehold-server` as the process was told to. What goes wrong is said on stderr: settings
/// that clash, state that is in use or can't be read, a port that is taken.
#[must_use]
pub fn start() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            last_words(move || _ = writeln!(std::io::stderr(), "leasehold-server: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let (settings, command) = Settings::load()?;
    let log = Log::start(&settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(ServerCommand::RotateCa { after, distrust }) = command {
        return runtime.block_on(rotate_ca(&settings, after.0, distrust));
    }
    runtime.spawn(Log::tell_of_floods(log.flood()));
    runtime.block_on(serve(&settings))
}

/// Gives the replicas a new authority, and says what becomes of both.
async fn rotate_ca(settings: &Settings, after: Duration, distrust: bool) -> anyhow::Result<()> {
    let replica = settings.replica.as_ref().context("replicas on Kubernetes share an authority; nobody else does")?;
    let cluster = Cluster::connect(replica).await?;
    rotate_authorities(&cluster, after, distrust).await?;
    let (namespace, map) = (&cluster.namespace, cluster.published());
    let said = if distrust {
        format!(
            "a new authority signs from now on, and nobody else is trusted: give clients the ConfigMap {namespace}/{map}"
        )
    } else {
        format!(
            "both authorities are trusted, and stand in the ConfigMap {namespace}/{map} within some seconds; the new one signs \
             in {}: clients must have read it by then. The former one is trusted for 25 h more",
            humantime::format_duration(after)
        )
    };
    std::io::stdout().write_all(format!("{said}\n").as_bytes())?;
    Ok(())
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(ignore(SignalKind::hangup(), "SIGHUP")?);
    tokio::spawn(ignore(SignalKind::user_defined1(), "SIGUSR1")?);
    tokio::spawn(ignore(SignalKind::user_defined2(), "SIGUSR2")?);
    let mut told_to_stop = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // Before the ports: of two servers started by mistake with one configuration, the second says
    // whose state it is.
    let (backend, http_listener) = tokio::select! {
        opened = open(settings) => opened?,
        () = told_to_stop() => return Ok(()),
    };
    let what = backend.describe();
    let listener = bind("--listen", settings.listen).await?;
    let mut server = Server::start(settings, backend, listener, http_listener).await?;
    let addresses = server.addresses();
    tokio::select! {
        _ = server.serves() => greet(settings, addresses, &what),
        () = told_to_stop() => return Ok(server.run(async {}).await?),
    }
    let shutdown = async {
        told_to_stop().await;
        tracing::info!("shutting down");
    };
    Ok(server.run(shutdown).await?)
}

/// Opens the place for record and keys, and the HTTP port. A replica may have to wait for the API
/// server: it answers probes meanwhile, so that nobody kills it for that.
async fn open(settings: &Settings) -> anyhow::Result<(Backend, TcpListener)> {
    if settings.replica.is_none() {
        let backend = Backend::open(settings).await?;
        return Ok((backend, bind("--http-listen", settings.http_listen).await?));
    }
    let listener = bind("--http-listen", settings.http_listen).await?.into_std()?;
    let waiting = TcpListener::from_std(listener.try_clone()?)?;
    tokio::select! {
        backend = Backend::open(settings) => Ok((backend?, TcpListener::from_std(listener)?)),
        () = serve_while_waiting(waiting) => anyhow::bail!("the HTTP port can't be served"),
    }
}

/// Signals that would end a process that doesn't listen to them.
fn ignore(kind: SignalKind, name: &'static str) -> std::io::Result<impl Future<Output = ()>> {
    let mut signals = signal(kind)?;
    Ok(async move {
        while signals.recv().await.is_some() {
            tracing::info!("{name} means nothing here: settings are read at the start only. SIGTERM ends this server");
        }
    })
}

fn greet(settings: &Settings, (grpc, http): (SocketAddr, SocketAddr), what: &str) {
    let trust = if settings.tls.is_on() { "-cacert ca.crt" } else { "-plaintext" };
    let version = env!("CARGO_PKG_VERSION");
    let greeting = format!(
        "leasehold-server {version} listening on {grpc} (http {http}), {what}\n\
         try: grpcurl {trust} -d '{{\"election\":\"hello\",\"candidate\":\"me\"}}' {grpc} \
         leasehold.v1.ElectionService/Campaign\n"
    );
    // Whoever started the server may have closed its output, or not read it: no reason not to
    // serve, or not to end.
    std::thread::spawn(move || std::io::stdout().write_all(greeting.as_bytes()));
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    listen(address).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "another process uses it: stop that one, or choose another port",
            ErrorKind::AddrNotAvailable => "this machine doesn't have that address",
            ErrorKind::PermissionDenied => "ports below 1024 need privileges: choose a higher one",
            _ => "choose another one",
        };
        anyhow::anyhow!("can't listen on {address}: {error}; {advice} ({flag})")
    })
}

/// With room for a burst of newcomers: the system makes those wait for a second or more that find
/// the queue full.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
