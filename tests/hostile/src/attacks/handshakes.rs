//! Handshakes of TLS that come to nothing.

use super::{Attack, PLAIN, Report, Target, end};
use crate::sealed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Between two connections: 200 a second.
const EVERY: Duration = Duration::from_millis(5);

pub(super) const HALF_OPEN: Attack = Attack {
    name: "half-open-tls",
    what: "200 connections a second: half of them garbage, a quarter silent, a quarter silent after a ClientHello",
    over_tls: true,
    // A newcomer is closed after 3 s.
    seconds: 6,
    stays_below_files: 600,
    run: |target, time| Box::pin(half_open(target, time)),
    ..PLAIN
};

/// What a connection says before it is silent, by its number.
fn said(number: usize, hello: &[u8]) -> Vec<u8> {
    let noise =
        |bytes: usize| -> Vec<u8> { (0..bytes).map(|at| (at * 131 + number * 29 + at * at * 7) as u8).collect() };
    match number % 8 {
        0 => noise(700),
        // A record of TLS by its first bytes.
        2 => [&[22, 3, 1, 2, 188][..], &noise(700)].concat(),
        4 => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        // A handshake with one wrong byte.
        6 => {
            let (mut hello, at) = (hello.to_vec(), 5 + number % 64);
            hello[at] ^= 0x55;
            hello
        }
        3 | 7 => hello.to_vec(),
        _ => Vec::new(),
    }
}

async fn half_open(target: Target, time: Duration) -> anyhow::Result<Report> {
    let (end, hello) = (end(time), sealed::client_hello()?);
    let (mut report, mut holders, mut every) = (Report::default(), JoinSet::new(), tokio::time::interval(EVERY));
    let mut opened = 0;
    while Instant::now() < end {
        every.tick().await;
        let said = said(opened, &hello);
        opened += 1;
        holders.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(target.grpc).await else { return false };
            let _ = stream.write_all(&said).await;
            let mut sink = [0; 4096];
            let closed = async { while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {} };
            tokio::time::timeout(end.saturating_duration_since(Instant::now()), closed).await.is_ok()
        });
    }
    let closed = holders.join_all().await;
    report.refused = closed.iter().filter(|closed| **closed).count() as u64;
    report.say(format!("{opened} connections in {:.0} s", time.as_secs_f64()));
    Ok(report)
}
