//! Connections to the gRPC port that are held.

use super::{Attack, PLAIN, Report, Target, end, sleep_until};
use crate::wire::{PREFACE, connect};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Places of the server, and how many of them one address may have.
const PLACES: usize = 200;

pub(super) const SILENT: Attack = Attack {
    name: "silent-connections",
    what: "3,000 connections that send 0, 1 or 23 bytes of the preface, and are opened again when they are closed",
    run: |target, time| Box::pin(silent(target, time)),
    ..PLAIN
};

pub(super) const MANY: Attack = Attack {
    name: "many-connections",
    what: "1,000 connections from one address that speak HTTP/2 and do nothing, where 200 may be from one address",
    server_args: &["--max-connections-per-address=200"],
    shares_the_address: false,
    run: |target, time| Box::pin(many(target, time)),
    ..PLAIN
};

async fn silent(target: Target, time: Duration) -> anyhow::Result<Report> {
    let end = end(time);
    let mut report = Report::default();
    let mut holders = Vec::new();
    for number in 0..3000 {
        let said = [0, 1, PREFACE.len() - 1][number % 3];
        holders.push(tokio::spawn(async move {
            let mut closed = 0;
            while Instant::now() < end {
                let Ok(mut stream) = TcpStream::connect(target.grpc).await else { continue };
                let _ = stream.write_all(&PREFACE[..said]).await;
                let left = end.saturating_duration_since(Instant::now());
                closed += u64::from(tokio::time::timeout(left, stream.read(&mut [0])).await.is_ok());
            }
            closed
        }));
        // Not all at once: the listener's queue is short.
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for holder in holders {
        report.refused += holder.await?;
    }
    Ok(report)
}

async fn many(target: Target, time: Duration) -> anyhow::Result<Report> {
    let end = end(time);
    let (mut report, mut open) = (Report::default(), Vec::new());
    for _ in 0..5 * PLACES {
        let Ok((writer, mut reader)) = connect(target.grpc, 0).await else {
            report.refused += 1;
            continue;
        };
        match reader.served().await {
            Ok(()) => open.push((writer, reader)),
            Err(_) => report.refused += 1,
        }
    }
    report.say(format!("{} served", open.len()));
    anyhow::ensure!(open.len() <= PLACES, "{} were served, where {PLACES} may be", open.len());
    sleep_until(end).await;
    Ok(report)
}
