//! The open Campaign streams: nothing but heartbeats may come on them, and those often enough.

use anyhow::{Result, ensure};
use leasehold_proto::v1::CampaignResponse;
use leasehold_proto::v1::campaign_response::Event;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::Streaming;

/// A stream is silent when nothing comes for so long: the promise is a heartbeat every 20 s.
const SILENCE: Duration = Duration::from_secs(25);

/// The streams that are watched.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Each task ends only when its stream does what it mustn't, and says what that was.
    watchers: Mutex<JoinSet<String>>,
    heartbeats: Arc<AtomicU64>,
}

/// What came on all streams.
#[derive(Debug)]
pub(super) struct StreamCount {
    /// Streams that were watched.
    pub(super) watched: usize,
    /// Heartbeats on all of them.
    pub(super) heartbeats: u64,
    /// What went wrong, one for each stream on which something did.
    pub(super) broken: Vec<String>,
}

impl Streams {
    /// Watches this one until `finish`.
    pub(super) fn watch(&self, stream: Streaming<CampaignResponse>) {
        let work = watch(stream, Arc::clone(&self.heartbeats));
        self.watchers.lock().expect("nothing panics while it is held").spawn(work);
    }

    /// Says what came so far, and closes all streams.
    pub(super) async fn finish(&self) -> StreamCount {
        let mut watchers = std::mem::take(&mut *self.watchers.lock().expect("nothing panics while it is held"));
        let watched = watchers.len();
        let mut broken = Vec::new();
        while let Some(done) = watchers.try_join_next() {
            broken.push(done.unwrap_or_else(|error| error.to_string()));
        }
        watchers.shutdown().await;
        StreamCount { watched, heartbeats: self.heartbeats.load(Ordering::Relaxed), broken }
    }
}

impl StreamCount {
    /// Whether all streams stayed open and alive.
    ///
    /// # Errors
    ///
    /// When one didn't.
    pub(super) fn verdict(&self) -> Result<()> {
        let first = self.broken.first().map_or("", String::as_str);
        ensure!(self.broken.is_empty(), "{} of {} streams broke, one so: {first}", self.broken.len(), self.watched);
        Ok(())
    }
}

/// Returns when something else than a heartbeat comes, or nothing for too long.
async fn watch(mut stream: Streaming<CampaignResponse>, heartbeats: Arc<AtomicU64>) -> String {
    loop {
        match tokio::time::timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(CampaignResponse { event: Some(Event::Heartbeat(_)), .. }))) => {
                heartbeats.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Ok(Some(other))) => return format!("{other:?} came"),
            Ok(Ok(None)) => return "the server closed it".to_owned(),
            Ok(Err(status)) => return format!("it failed: {status}"),
            Err(_) => return format!("nothing came for {SILENCE:?}"),
        }
    }
}
