//! Who is at the other end of a connection, as the calls on it know it.

use std::net::IpAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: IpAddr,
    cut: CancellationToken,
}

impl Peer {
    pub(super) fn new(address: IpAddr) -> Self {
        Self { shared: Arc::new(Shared { address, cut: CancellationToken::new() }) }
    }

    /// Its host.
    pub(crate) fn address(&self) -> IpAddr {
        self.shared.address
    }

    /// Ends the connection at once, with all that is under way on it.
    pub(crate) fn cut(&self) {
        self.shared.cut.cancel();
    }

    pub(super) fn cutting(&self) -> &CancellationToken {
        &self.shared.cut
    }
}
