//! The network: the system's, or a simulated one (`--cfg turmoil`), in which whole servers run in
//! the tests.

use crate::tls::ReplicaLinks;
use leasehold_core::Address;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint, Error};

/// How long a connection to another replica may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The way to another replica, to begin in plain text or inside TLS.
pub(crate) fn endpoint(address: &Address) -> Endpoint {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is the authority of a URI");
    endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true)
}

/// A connection that is made when it is needed first, inside TLS if `links` are given.
pub(crate) fn connect_lazy(endpoint: &Endpoint, links: Option<&ReplicaLinks>) -> Channel {
    match links.cloned() {
        Some(links) => endpoint.connect_with_connector_lazy(tower::service_fn(move |uri| links.clone().dial(uri))),
        None => plain::connect_lazy(endpoint),
    }
}

/// A connection that is up, likewise.
pub(crate) async fn connect(endpoint: &Endpoint, links: Option<&ReplicaLinks>) -> Result<Channel, Error> {
    match links.cloned() {
        Some(links) => endpoint.connect_with_connector(tower::service_fn(move |uri| links.clone().dial(uri))).await,
        None => plain::connect(endpoint).await,
    }
}

#[cfg(turmoil)]
mod simulated;
#[cfg(not(turmoil))]
mod system;

pub(crate) use plain::dial;
pub use plain::{TcpListener, TcpStream};
#[cfg(turmoil)]
use simulated as plain;
#[cfg(turmoil)]
pub(crate) use simulated::{api_client, api_config};
#[cfg(not(turmoil))]
use system as plain;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_that_of_an_endpoint() {
        for text in ["10.0.0.7:7400", "leasehold-0.leasehold:7400", "[fd00::7]:7400", "a_b-.:0"] {
            let uri = endpoint(&Address::new(text).unwrap()).uri().to_string();
            assert_eq!(uri, format!("http://{text}/"));
        }
    }
}
