//! turmoil's network. It has hosts by name, one of them the API server; no TLS, and no files to
//! read a configuration from.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::ConfigExt as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint, Error};
use tower::ServiceBuilder;

pub use turmoil::net::{TcpListener, TcpStream};

/// Where the API server is.
const API_SERVER: &str = "http://kubernetes:6443";

pub(super) fn connect_lazy(endpoint: &Endpoint) -> Channel {
    endpoint.connect_with_connector_lazy(tower::service_fn(dial_io))
}

pub(super) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    endpoint.connect_with_connector(tower::service_fn(dial_io)).await
}

/// A connection to this host and port.
pub(crate) async fn dial(uri: &Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().to_owned();
    TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await
}

async fn dial_io(uri: Uri) -> io::Result<TokioIo<TcpStream>> {
    Ok(TokioIo::new(dial(&uri).await?))
}

/// What a pod finds.
pub(crate) async fn api_config() -> anyhow::Result<kube::Config> {
    Ok(kube::Config::new(Uri::from_static(API_SERVER)))
}

/// What `kube::Client::try_from` makes, on this network.
pub(crate) fn api_client(config: kube::Config) -> anyhow::Result<kube::Client> {
    let limit = config.connect_timeout.unwrap_or(Duration::MAX);
    let connector = tower::service_fn(move |uri| {
        Box::pin(async move {
            let dialled = tokio::time::timeout(limit, dial_io(uri)).await;
            dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(ApiConnection)
        })
    });
    let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new().layer(config.base_uri_layer()).service(client);
    Ok(kube::Client::new(service, config.default_namespace))
}

/// What the connection pool of the API server's client asks of a connection.
struct ApiConnection(TokioIo<TcpStream>);

impl Connection for ApiConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for ApiConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for ApiConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
