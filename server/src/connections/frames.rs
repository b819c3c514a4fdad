//! Reads the heads of HTTP/2 frames as they come by, and counts those that do nothing.

use crate::clock;
use leasehold_core::{Millis, Time};

/// Length, kind, flags and stream (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;
/// PRIORITY: h2 reads it and does nothing. It has been deprecated since 2022.
const PRIORITY: u8 = 2;
/// CONTINUATION, the highest kind that HTTP/2 itself knows. Others must be ignored.
const HIGHEST_KNOWN: u8 = 9;
/// So many frames that do nothing may come on one connection in each window.
const MOST_IDLE: u32 = 1000;
const WINDOW: Millis = Millis(10_000);

/// What is known of the frames on one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    /// How much of the head has come.
    have: usize,
    /// How much of the frame's payload is still to come.
    payload_left: usize,
    idle: u32,
    window_began: Time,
}

/// More frames that do nothing than anybody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdleFlood;

impl Frames {
    /// Looks at the next bytes that the client has sent after its preface.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Result<(), IdleFlood> {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD_BYTES - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEAD_BYTES {
                self.have = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                if kind == PRIORITY || kind > HIGHEST_KNOWN {
                    self.count(clock::now())?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, now: Time) -> Result<(), IdleFlood> {
        if now.since(self.window_began) > WINDOW {
            (self.window_began, self.idle) = (now, 0);
        }
        self.idle += 1;
        if self.idle > MOST_IDLE { Err(IdleFlood) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![0; HEAD_BYTES + payload];
        frame[1..3].copy_from_slice(&u16::try_from(payload).unwrap().to_be_bytes());
        frame[3] = kind;
        frame
    }

    #[test]
    fn frames_that_do_nothing_are_counted_however_they_are_cut() {
        for kind in [PRIORITY, HIGHEST_KNOWN + 1, 0xfa] {
            for piece in [1, 7, 9, 14, 4096] {
                let mut frames = Frames::default();
                let bytes = frame(kind, 5).repeat(MOST_IDLE as usize);
                assert!(bytes.chunks(piece).all(|bytes| frames.see(bytes).is_ok()), "{kind} in pieces of {piece}");
                assert_eq!(frames.see(&frame(kind, 5)), Err(IdleFlood), "{kind} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn frames_that_do_something_arent_counted_whatever_is_in_them() {
        let mut frames = Frames::default();
        for kind in [0, 1, 3, 4, 6, 7, 8, HIGHEST_KNOWN] {
            // The payload looks like frames that do nothing.
            let mut bytes = frame(kind, 18);
            bytes[HEAD_BYTES + 3] = PRIORITY;
            bytes[HEAD_BYTES + 12] = PRIORITY;
            for _ in 0..=MOST_IDLE {
                assert_eq!(frames.see(&bytes), Ok(()), "{kind}");
            }
        }
    }

    #[test]
    fn a_few_now_and_then_are_no_flood() {
        let mut frames = Frames::default();
        let mut now = clock::now();
        for _ in 0..10 {
            assert!((0..MOST_IDLE).all(|_| frames.count(now).is_ok()));
            now = now + WINDOW + Millis(1);
        }
    }
}
