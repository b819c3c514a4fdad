//! The network between a client and a service, in the hands of the test.

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They work.
    Pass,
    /// They are taken, and nothing ever comes back.
    Swallow,
    /// They are closed.
    Cut,
    /// Old ones work, new ones are closed: there are as many as may be.
    Full,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    taken: watch::Receiver<u32>,
}

impl Proxy {
    pub(crate) async fn start(service: SocketAddr, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(mode);
        let (count, taken) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                tokio::spawn(pass(near, service, modes.clone()));
            }
        });
        Self { address, mode, taken }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many connections were made to it.
    pub(crate) fn taken(&self) -> u32 {
        *self.taken.borrow()
    }
}

async fn pass(mut near: TcpStream, service: SocketAddr, mut modes: watch::Receiver<Mode>) {
    let Ok(mut far) = TcpStream::connect(service).await else { return };
    if *modes.borrow() == Mode::Full {
        return;
    }
    loop {
        let mode = *modes.borrow_and_update();
        match mode {
            Mode::Cut => return,
            Mode::Swallow => {}
            Mode::Pass | Mode::Full => tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                _ = modes.changed() => continue,
            },
        }
        if modes.changed().await.is_err() {
            return;
        }
    }
}
