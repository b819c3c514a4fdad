//! A replica's process: the whole shell, as `leasehold-server --kubernetes` runs it.

use leasehold_server::backend::Backend;
use leasehold_server::net::TcpListener;
use leasehold_server::server::Server;
use leasehold_server::settings::Settings;
use std::sync::Arc;
use tokio::sync::Notify;

/// Where replicas serve workers.
pub(crate) const PORT: u16 = 7400;
/// The longest TTL, in seconds: so long is the wait after a crash.
pub(crate) const MAX_TTL_S: u64 = 6;

/// Serves until it is told to stop.
pub(crate) async fn serve(name: String, stop: Arc<Notify>) -> turmoil::Result {
    let settings = Settings::from_words([
        "leasehold-server",
        "--kubernetes",
        "--insecure",
        &format!("--replica={name}"),
        &format!("--listen=0.0.0.0:{PORT}"),
        "--http-listen=0.0.0.0:7401",
        &format!("--advertise={name}:{PORT}"),
        &format!("--max-ttl={MAX_TTL_S}s"),
    ])?;
    let opened = tokio::select! {
        opened = Backend::open(&settings) => opened?,
        () = stop.notified() => return Ok(()),
    };
    let listener = TcpListener::bind(settings.listen).await?;
    let http = TcpListener::bind(settings.http_listen).await?;
    Server::start(&settings, opened, listener, http).await?.run(stop.notified()).await?;
    Ok(())
}
