//! The network: the system's, or a simulated one (`--cfg turmoil`), in which whole servers run in the tests.

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
