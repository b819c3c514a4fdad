//! The way to a server, on which connections go silent: nothing passes any more, and nothing
//! breaks.

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to an address.
#[derive(Debug)]
pub struct Way {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections whose number is lower are silent.
    silent_below: watch::Sender<u64>,
    taken: watch::Receiver<u64>,
}

impl Way {
    /// Listens on a free port.
    ///
    /// # Errors
    ///
    /// When it can't listen.
    pub async fn to(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (silent_below, silence) = watch::channel(0);
        let (count, taken) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = *count.borrow();
                count.send_replace(number + 1);
                tokio::spawn(pass(number, near, server, silence.clone()));
            }
        });
        Ok(Self { address, silent_below, taken })
    }

    /// All connections that there are go silent for good. New ones work.
    pub fn silence(&self) {
        self.silent_below.send_replace(self.taken());
    }

    /// How many connections were made.
    #[must_use]
    pub fn taken(&self) -> u64 {
        *self.taken.borrow()
    }
}

/// Both ends stay open in silence, as they do when a router forgets a connection.
async fn pass(number: u64, mut near: TcpStream, server: SocketAddr, mut silence: watch::Receiver<u64>) {
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let silent = async { silence.wait_for(|silent_below| number < *silent_below).await.is_ok() };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        true = silent => std::future::pending().await,
    }
}
