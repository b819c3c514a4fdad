//! Connections to a server, the same for every server that is measured.

use anyhow::{Context as _, Result};
use leasehold_harness::ElectionClient;
use std::time::Duration;
use tonic::transport::Endpoint;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens so many connections, with one client each. A clone of a client shares its connection.
///
/// # Errors
///
/// When the server doesn't answer within 5 s.
pub(crate) async fn connect(endpoint: &str, connections: usize) -> Result<Vec<ElectionClient>> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned())?.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let channel = endpoint.connect().await.with_context(|| format!("{} doesn't answer", endpoint.uri()))?;
        clients.push(ElectionClient::new(channel));
    }
    Ok(clients)
}
