//! The network: the system's, or a simulated one (`--cfg turmoil`), in which whole servers run in
//! the tests.

use leasehold_core::Address;
use std::time::Duration;
use tonic::transport::Endpoint;

/// How long a connection to another replica may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The way to another replica.
pub(crate) fn endpoint(address: &Address) -> Endpoint {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is the authority of a URI");
    endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true)
}

#[cfg(not(turmoil))]
mod system {
    use tonic::transport::{Channel, Endpoint, Error};

    pub use tokio::net::{TcpListener, TcpStream};

    /// A connection that is made when it is needed first.
    pub(crate) fn connect_lazy(endpoint: &Endpoint) -> Channel {
        endpoint.connect_lazy()
    }

    /// A connection that is up.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
        endpoint.connect().await
    }
}

#[cfg(turmoil)]
mod simulated;

#[cfg(turmoil)]
pub use simulated::{TcpListener, TcpStream};
#[cfg(turmoil)]
pub(crate) use simulated::{api_client, api_config, connect, connect_lazy};
#[cfg(not(turmoil))]
pub use system::{TcpListener, TcpStream};
#[cfg(not(turmoil))]
pub(crate) use system::{connect, connect_lazy};

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
