//! From the command line to a server that runs, and to its end.

use crate::backend::Backend;
use crate::http::serve_while_waiting;
use crate::server::Server;
use crate::settings::{LogFormat, Settings, log_filter};
use std::io::{ErrorKind, IsTerminal, Write};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// Runs `leasehold-server` as the process was told to.
///
/// # Errors
/// A sentence that says what is wrong and what to do: settings that clash, state that is in use or can't be read, a port that is
/// taken.
pub fn start() -> anyhow::Result<()> {
    let settings = Settings::load()?;
    let _flushes_at_the_end = log(&settings);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(&settings))
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut told_to_stop = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // Before the ports: of two servers started by mistake with one configuration, the second says whose state it is.
    let (backend, http_listener) = tokio::select! {
        opened = open(settings) => opened?,
        () = told_to_stop() => return Ok(()),
    };
    let what = backend.describe();
    let listener = bind("--listen", settings.listen).await?;
    let mut server = Server::start(settings, backend, listener, http_listener)?;
    let (grpc, http) = server.addresses();
    tokio::select! {
        _ = server.serves() => greet(grpc, http, &what),
        () = told_to_stop() => return Ok(server.run(async {}).await?),
    }
    let shutdown = async {
        told_to_stop().await;
        tracing::info!("shutting down");
    };
    Ok(server.run(shutdown).await?)
}

/// Opens the place for record and keys, and the HTTP port. A replica may have to wait for the API server: it answers probes meanwhile, so
/// that nobody kills it for that.
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

fn greet(grpc: SocketAddr, http: SocketAddr, what: &str) {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = std::io::stdout().lock();
    // Whoever started the server may have closed its output: no reason not to serve.
    let _ = writeln!(out, "leasehold-server {version} listening on {grpc} (http {http}), {what}");
    let _ = writeln!(
        out,
        "try: grpcurl -plaintext -d '{{\"election\":\"hello\",\"candidate\":\"me\"}}' {grpc} leasehold.v1.ElectionService/Campaign"
    );
    let _ = out.flush();
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "another process uses it: stop that one, or choose another port",
            ErrorKind::AddrNotAvailable => "this machine doesn't have that address",
            ErrorKind::PermissionDenied => "ports below 1024 need privileges: choose a higher one",
            _ => "choose another one",
        };
        anyhow::anyhow!("can't listen on {address}: {error}; {advice} ({flag})")
    })
}

/// Lines are written by a thread of their own: whoever reads them slowly, or not at all, doesn't hold up the loop. What doesn't fit
/// into its buffer of 128,000 lines is lost.
fn log(settings: &Settings) -> WorkerGuard {
    // It was checked with the other settings.
    let filter = log_filter(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
    }
    guard
}
