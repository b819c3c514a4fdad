//! Accepts connections, for gRPC and for HTTP: whoever says nothing makes room for whoever comes
//! later.

use crate::net::{TcpListener, TcpStream};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// After an accept that failed for want of file descriptors, trying at once would only burn the
/// processor.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port on which connections come.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    /// For the log.
    pub(crate) name: &'static str,
    /// So many connections may be new, and not have said yet what they want. When one more comes,
    /// the oldest is told to make room.
    pub(crate) newcomers: usize,
}

impl Port {
    /// Accepts connections until `closing`, and gives each one to `admit`, which starts a task for
    /// it and must not wait. A connection that is admitted has to end when the token that `admit`
    /// returns is cancelled, unless it isn't new any more.
    pub(crate) async fn accept(
        self,
        closing: impl Future<Output = ()>,
        mut admit: impl FnMut(TcpStream, IpAddr) -> Option<CancellationToken>,
    ) {
        let mut closing = std::pin::pin!(closing);
        let mut newcomers: VecDeque<CancellationToken> = VecDeque::new();
        loop {
            let accepted = tokio::select! {
                () = &mut closing => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    newcomers.extend(admit(stream, from.ip()));
                    if newcomers.len() > self.newcomers
                        && let Some(oldest) = newcomers.pop_front()
                    {
                        oldest.cancel();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection on the {} port", self.name);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
