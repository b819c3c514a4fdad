//! Connections to the HTTP port that are held.

use super::{Attack, PLAIN, Report, end};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// New connections, so many each 10 ms.
const EACH_TIME: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);
/// The attacker has no more open.
const MOST: usize = 2000;

pub(super) const SILENT: Attack = Attack {
    name: "silent-http",
    what: "400 new connections a second to the HTTP port that send nothing, or half a request",
    run: |target, time| Box::pin(hold(target.http, time, &["", "GET /healthz HTTP/1.1\r\nhost: a\r\n"])),
    ..PLAIN
};

pub(super) const UNREAD: Attack = Attack {
    name: "unread-http",
    what: "400 new connections a second to the HTTP port whose answers aren't read",
    is_refused: false,
    run: |target, time| {
        let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").leak() as &str;
        Box::pin(async move { hold(target.http, time, &[ask("/metrics"), ask("/healthz")]).await })
    },
    ..PLAIN
};

async fn hold(address: SocketAddr, time: Duration, words: &[&str]) -> anyhow::Result<Report> {
    let end = end(time);
    let (mut open, mut opened, mut report) = (Vec::new(), 0, Report::default());
    while Instant::now() < end {
        for _ in 0..EACH_TIME {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(1024)?;
            let Ok(Ok(mut stream)) = tokio::time::timeout(PAUSE, socket.connect(address)).await else { continue };
            // A server that has closed it already doesn't take this.
            let _ = stream.write_all(words[opened % words.len()].as_bytes()).await;
            opened += 1;
            open.push(stream);
        }
        if open.len() > MOST {
            report.refused += closed(open.drain(..MOST / 2)).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    report.refused += closed(open.drain(..)).await;
    report.say(format!("{opened} connections"));
    Ok(report)
}

/// How many of these the server has closed without a word.
async fn closed(connections: impl Iterator<Item = TcpStream>) -> u64 {
    let mut closed = 0;
    for mut connection in connections {
        let read = tokio::time::timeout(Duration::ZERO, connection.read(&mut [0])).await;
        closed += u64::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    closed
}
