//! One warning a second of each kind: whoever floods this server doesn't flood its log as well.

use crate::clock;
use leasehold_core::{Millis, Time};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Between two warnings of one kind.
const INTERVAL: Millis = Millis(1000);

/// What was left out.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    kinds: Mutex<HashMap<Identifier, Kind>>,
}

/// Warnings from one place in the code.
#[derive(Debug)]
struct Kind {
    last: Time,
    left_out: u64,
    place: &'static Metadata<'static>,
}

impl Flood {
    /// Whether a warning may be written; otherwise it is counted.
    fn lets(&self, place: &'static Metadata<'static>, now: Time) -> bool {
        if *place.level() > Level::WARN {
            return true;
        }
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(&place.callsite()) {
            Some(kind) if now.since(kind.last) < INTERVAL => {
                kind.left_out += 1;
                false
            }
            Some(kind) => {
                kind.last = now;
                true
            }
            None => {
                kinds.insert(place.callsite(), Kind { last: now, left_out: 0, place });
                true
            }
        }
    }

    /// Says what was left out since the last time.
    pub(crate) fn tell(&self) {
        for (place, left_out) in self.take() {
            let (file, line) = (place.file().unwrap_or_default(), place.line().unwrap_or_default());
            // Not itself a warning: it is told once a second anyway.
            tracing::info!(left_out, of = place.target(), file, line, "left out more of the same kind");
        }
    }

    fn take(&self) -> Vec<(&'static Metadata<'static>, u64)> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = kinds.values_mut().filter(|kind| kind.left_out > 0);
        left_out.map(|kind| (kind.place, std::mem::take(&mut kind.left_out))).collect()
    }
}

/// Stands before what writes the log.
pub(super) struct FloodGate(pub(super) Arc<Flood>);

impl<S: Subscriber> Layer<S> for FloodGate {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.lets(event.metadata(), clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn of_a_flood_one_warning_a_second_is_written_and_the_rest_is_counted() {
        let (lines, flood) = (Lines::default(), Arc::new(Flood::default()));
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(layer).with(FloodGate(Arc::clone(&flood)));
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..100 {
                tracing::warn!(number, "closed a connection");
                tracing::info!(number, "elected");
            }
            tracing::warn!("something else");
            flood.tell();
            flood.tell();
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
        assert_eq!((count("elected"), count("something else")), (100, 1), "{text}");
        let (written, told) = (count("closed a connection"), count("left out more of the same kind"));
        assert_eq!((told, written), (1, 1), "{text}");
        assert!(text.contains("left_out=99 "), "{text}");
    }

    #[test]
    fn a_warning_now_and_then_is_always_written() {
        let flood = Flood::default();
        let place =
            tracing::callsite! { name: "warning", kind: tracing::metadata::Kind::EVENT, level: Level::WARN, fields: };
        let place = tracing::Callsite::metadata(place);
        let times = [10_000, 10_999, 11_000, 11_001, 12_000, 100_000];
        let written = times.map(|time| flood.lets(place, Time(time)));
        assert_eq!(written, [true, false, true, false, true, true]);
        assert_eq!(flood.take().iter().map(|(_, left_out)| *left_out).collect::<Vec<_>>(), [2]);
        assert!(flood.take().is_empty());
    }
}
