//! Connections: over the system's network, or a simulated one (`--cfg turmoil`), in which the tests
//! run this client.

#[cfg(turmoil)]
pub(crate) use simulated::{TcpStream, connect, connect_lazy};
#[cfg(not(turmoil))]
pub(crate) use system::{TcpStream, connect, connect_lazy};

#[cfg(not(turmoil))]
mod system {
    pub(crate) use tokio::net::TcpStream;
    use tonic::transport::{Channel, Endpoint, Error};

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
mod simulated {
    use hyper_util::rt::TokioIo;
    use std::io;
    use tonic::codegen::http::Uri;
    use tonic::transport::{Channel, Endpoint, Error};
    pub(crate) use turmoil::net::TcpStream;

    pub(crate) fn connect_lazy(endpoint: &Endpoint) -> Channel {
        endpoint.connect_with_connector_lazy(tower::service_fn(dial))
    }

    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
        endpoint.connect_with_connector(tower::service_fn(dial)).await
    }

    async fn dial(uri: Uri) -> io::Result<TokioIo<TcpStream>> {
        let host = uri.host().unwrap_or_default().to_owned();
        Ok(TokioIo::new(TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?))
    }
}
