//! The lines of one pipe, read as they come.

use super::Line;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the reader may go on after the process has ended: a grandchild can hold the pipe open
/// for ever.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The lines of one pipe.
#[derive(Debug)]
pub(super) struct Capture {
    lines: Arc<Mutex<Vec<Line>>>,
    // Says that a line has come; closed when the pipe has ended.
    news: watch::Receiver<()>,
    reader: JoinHandle<()>,
}

impl Capture {
    pub(super) fn start(pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, news) = watch::channel(());
        let reader = tokio::spawn(read_lines(pipe, Arc::clone(&lines), sender));
        Self { lines, news, reader }
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn text(&self) -> String {
        let lines = self.lines();
        lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The first line from `from` on that fits; `None` when the pipe ended without one.
    pub(super) async fn find(&self, from: usize, predicate: impl Fn(&str) -> bool + Send) -> Option<Line> {
        let mut news = self.news.clone();
        let mut seen = from;
        loop {
            // Taken before the look at the lines, so that a line that comes between the two isn't
            // missed.
            let ended = news.has_changed().is_err();
            news.mark_unchanged();
            let new: Vec<Line> = self.lines().into_iter().skip(seen).collect();
            seen += new.len();
            if let Some(line) = new.into_iter().find(|line| predicate(&line.text)) {
                return Some(line);
            }
            if ended {
                return None;
            }
            // An error means that the pipe has ended: one more look, then.
            let _ = news.changed().await;
        }
    }

    pub(super) async fn finish(&mut self) {
        if !self.reader.is_finished() {
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, &mut self.reader).await;
        }
    }
}

async fn read_lines(pipe: impl AsyncRead + Unpin, lines: Arc<Mutex<Vec<Line>>>, news: watch::Sender<()>) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut bytes).await {
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        bytes.clear();
        {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            let index = lines.len();
            lines.push(Line { at: Instant::now(), index, text });
        }
        let _ = news.send(());
    }
}
