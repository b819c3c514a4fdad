//! Connections: over the system's network, or a simulated one (`--cfg turmoil`), in which the tests
//! run this client; inside TLS or in plain text.

use super::endpoint::Target;
use super::tls::{Sealed, Tls};
use hyper_util::rt::TokioIo;
pub(crate) use network::TcpStream;
use std::io;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Error};

/// A connection that is made when it is needed first.
pub(super) fn connect_lazy(target: &Target) -> Channel {
    match target.tls.clone() {
        Some(tls) => {
            target.endpoint.connect_with_connector_lazy(tower::service_fn(move |uri| sealed(uri, tls.clone())))
        }
        None => network::connect_lazy(&target.endpoint),
    }
}

/// A connection that is up.
pub(super) async fn connect(target: &Target) -> Result<Channel, Error> {
    match target.tls.clone() {
        Some(tls) => {
            target.endpoint.connect_with_connector(tower::service_fn(move |uri| sealed(uri, tls.clone()))).await
        }
        None => network::connect(&target.endpoint).await,
    }
}

async fn sealed(uri: Uri, tls: Tls) -> io::Result<TokioIo<Sealed<TcpStream>>> {
    Ok(TokioIo::new(tls.connect(network::dial(uri).await?).await?))
}

#[cfg(not(turmoil))]
mod network {
    use hyper_util::client::legacy::connect::HttpConnector;
    use std::io;
    pub(crate) use tokio::net::TcpStream;
    use tonic::codegen::http::Uri;
    use tonic::transport::{Channel, Endpoint, Error};
    use tower::ServiceExt as _;

    pub(super) fn connect_lazy(endpoint: &Endpoint) -> Channel {
        endpoint.connect_lazy()
    }

    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
        endpoint.connect().await
    }

    /// As tonic does in plain text: all addresses of the host are tried.
    pub(super) async fn dial(uri: Uri) -> io::Result<TcpStream> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let connected = connector.oneshot(uri).await;
        connected.map(hyper_util::rt::TokioIo::into_inner).map_err(io::Error::other)
    }
}

#[cfg(turmoil)]
mod network {
    use hyper_util::rt::TokioIo;
    use std::io;
    use tonic::codegen::http::Uri;
    use tonic::transport::{Channel, Endpoint, Error};
    pub(crate) use turmoil::net::TcpStream;

    pub(super) fn connect_lazy(endpoint: &Endpoint) -> Channel {
        endpoint.connect_with_connector_lazy(tower::service_fn(plain))
    }

    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
        endpoint.connect_with_connector(tower::service_fn(plain)).await
    }

    async fn plain(uri: Uri) -> io::Result<TokioIo<TcpStream>> {
        Ok(TokioIo::new(dial(uri).await?))
    }

    pub(super) async fn dial(uri: Uri) -> io::Result<TcpStream> {
        let host = uri.host().unwrap_or_default().to_owned();
        TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await
    }
}
