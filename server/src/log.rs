//! The log: written by a thread of its own, so that nothing waits for whoever reads it; and no
//! flood of warnings.

mod flood;

use crate::access::audit;
use crate::settings::{LogFormat, Settings, log_filter};
use flood::Flood;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tracing::Metadata;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Lines that wait for whoever reads them slowly, or not at all. More are lost.
const MOST_LINES: usize = 8192;
/// How long the last words of a process wait for a reader.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The log of this process.
pub(crate) struct Log {
    guard: Option<WorkerGuard>,
    flood: Arc<Flood>,
}

impl Log {
    /// Starts the log of this process. A panic is one more line of it.
    pub(crate) fn start(settings: &Settings) -> Self {
        // It was checked with the other settings.
        let filter = log_filter(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
        let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(MOST_LINES).finish(std::io::stderr());
        let is_audit = |metadata: &Metadata<'_>| metadata.target() == audit::TARGET;
        let json = fmt::layer().with_writer(writer.clone()).json().flatten_event(true);
        let (json, text) = match settings.log_format {
            LogFormat::Json => (json.boxed(), None),
            LogFormat::Text => {
                let text = fmt::layer().with_writer(writer).with_target(false);
                let text = text.with_ansi(std::io::stderr().is_terminal());
                // The audit log is read by programs.
                let text = text.with_filter(filter_fn(move |metadata| !is_audit(metadata)));
                (json.with_filter(filter_fn(is_audit)).boxed(), Some(text))
            }
        };
        let flood = Arc::new(Flood::default());
        let lines = tracing_subscriber::registry().with(json).with(text);
        lines.with(flood::FloodGate(Arc::clone(&flood))).with(filter).init();
        std::panic::set_hook(Box::new(|panic| {
            let backtrace = Backtrace::capture();
            let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
            let thread = std::thread::current();
            tracing::error!(thread = thread.name(), backtrace, "{panic}");
        }));
        Self { guard: Some(guard), flood }
    }

    /// Says each second how many warnings were left out.
    pub(crate) async fn tell_of_floods(flood: Arc<Flood>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            flood.tell();
        }
    }

    pub(crate) fn flood(&self) -> Arc<Flood> {
        Arc::clone(&self.flood)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flood.tell();
        // What lies in the buffer is written, if somebody reads it.
        let guard = self.guard.take();
        last_words(move || drop(guard));
    }
}

/// Writes the last words of a process: whoever doesn't read them doesn't keep it from ending.
pub(crate) fn last_words(write: impl FnOnce() + Send + 'static) {
    let (written, waits) = channel();
    std::thread::spawn(move || {
        write();
        let _ = written.send(());
    });
    let _ = waits.recv_timeout(LAST_WORDS);
}
