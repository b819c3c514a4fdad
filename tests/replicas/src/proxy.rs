//! A TCP proxy that a test controls: it passes, delays nothing, goes silent in one direction or
//! both, or refuses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often a silent direction looks whether it may pass again.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Mode {
    /// Nothing passes to the target.
    up_silent: AtomicBool,
    /// Nothing passes from the target.
    down_silent: AtomicBool,
    /// New connections are closed at once.
    refuses: AtomicBool,
    /// Bytes that have passed to the target.
    up_bytes: AtomicU64,
}

/// A way to one address that a test can cut. Ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    target: Arc<OnceLock<SocketAddr>>,
    mode: Arc<Mode>,
    /// Counts the times that all connections were broken.
    breaks: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn to(target: SocketAddr) -> anyhow::Result<Self> {
        let proxy = Self::unaimed().await?;
        proxy.aim(target);
        Ok(proxy)
    }

    /// As `to`, for a target that isn't known yet. Until it is, connections are closed at once.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn unaimed() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, (breaks, broken)) = (Arc::new(Mode::default()), watch::channel(0));
        let target = Arc::new(OnceLock::new());
        let (shared, known) = (Arc::clone(&mode), Arc::clone(&target));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Some(target) = known.get()
                    && !shared.refuses.load(Ordering::Relaxed)
                {
                    tokio::spawn(serve(client, *target, Arc::clone(&shared), broken.clone()));
                }
            }
        });
        Ok(Self { address, target, mode, breaks, task })
    }

    /// Says where a proxy leads that was made without that. Only the first word counts.
    pub fn aim(&self, target: SocketAddr) {
        let _ = self.target.set(target);
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes any more, in either direction, and nobody is told: as if packets were
    /// dropped.
    pub fn cut(&self) {
        self.set(true, true);
    }

    /// What is sent arrives, and no answer comes back.
    pub fn lose_answers(&self) {
        self.set(false, true);
    }

    /// New connections are closed at once, and those that are open break.
    pub fn refuse(&self) {
        self.mode.refuses.store(true, Ordering::Relaxed);
        self.break_connections();
    }

    /// All passes again. What was held back comes late.
    pub fn heal(&self) {
        self.mode.refuses.store(false, Ordering::Relaxed);
        self.set(false, false);
    }

    /// Breaks the connections that are open. What was held back is lost.
    pub fn break_connections(&self) {
        self.breaks.send_modify(|count| *count += 1);
    }

    /// Bytes that have passed to the target so far.
    #[must_use]
    pub fn bytes_up(&self) -> u64 {
        self.mode.up_bytes.load(Ordering::Relaxed)
    }

    fn set(&self, up: bool, down: bool) {
        self.mode.up_silent.store(up, Ordering::Relaxed);
        self.mode.down_silent.store(down, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.break_connections();
    }
}

async fn serve(client: TcpStream, target: SocketAddr, mode: Arc<Mode>, mut broken: watch::Receiver<u64>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = server.into_split();
    broken.mark_unchanged();
    let up = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = client_in.read(&mut buffer).await {
            while mode.up_silent.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
            mode.up_bytes.fetch_add(count as u64, Ordering::Relaxed);
            if server_out.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = server_in.read(&mut buffer).await {
            while mode.down_silent.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
            if client_out.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = broken.changed() => {}
    }
}
