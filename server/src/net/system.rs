//! The system's network.

use std::io;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint, Error};

pub use tokio::net::{TcpListener, TcpStream};

pub(super) fn connect_lazy(endpoint: &Endpoint) -> Channel {
    endpoint.connect_lazy()
}

pub(super) async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    endpoint.connect().await
}

/// A connection to this host and port.
pub(crate) async fn dial(uri: &Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
