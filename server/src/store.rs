//! The store: a file that a thread of its own reads and writes, so that a slow disk never holds up
//! the loop; or a Lease.

use crate::clock;
use crate::kubernetes::LeaseStore;
use crate::metrics::Metrics;
use crate::state_file::StateFile;
use leasehold_core::{Input, Millis, Outcome, Over, Record, Time, WriteId};
use leasehold_shell::{Fact, Write};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two tries to read a record that can't be read.
const READ_RETRY: Duration = Duration::from_secs(1);
/// So often the log is told of what fails again and again.
const SAY_AGAIN: Millis = Millis(60_000);

/// What the loop asks of the store. The core has at most one of these under way, and one more when
/// it stops.
#[derive(Debug)]
enum FileRequest {
    Read,
    Write(WriteId, Box<Record>, Time),
}

/// The loop's end of the store.
#[derive(Debug)]
pub(crate) enum RecordStore {
    /// A file.
    File(FileStore),
    /// A Lease.
    Lease(LeaseStore),
}

impl RecordStore {
    pub(crate) fn read(&self) {
        match self {
            Self::File(file) => file.request(FileRequest::Read),
            Self::Lease(lease) => lease.read(),
        }
    }

    /// Tells the cluster's users. There are none where the record is a file.
    pub(crate) fn tell(&self, fact: Fact) {
        match self {
            Self::File(_) => {}
            Self::Lease(lease) => lease.tell(fact),
        }
    }

    /// Lets what was told be written, for half a second at most.
    pub(crate) async fn finish(self) {
        match self {
            Self::File(_) => {}
            Self::Lease(lease) => lease.finish().await,
        }
    }

    pub(crate) fn write(&self, Write { write, over, record, sent }: Write) {
        match self {
            Self::File(file) => file.request(FileRequest::Write(write, record, sent)),
            Self::Lease(lease) => lease.write(write, over, Some(record)),
        }
    }

    pub(crate) fn write_unsigned(&self, write: WriteId, over: Over) {
        match self {
            Self::File(_) => unreachable!("a file is written with a record"),
            Self::Lease(lease) => lease.write(write, over, None),
        }
    }
}

/// The loop's end of the store thread. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct FileStore {
    requests: blocking::Sender<FileRequest>,
}

impl FileStore {
    /// Starts the thread. Results come as inputs.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(file: StateFile, metrics: Arc<Metrics>, results: mpsc::Sender<Input>) -> std::io::Result<Self> {
        let (requests, received) = blocking::channel();
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            let mut thread = Thread { file, metrics, trouble: None };
            while let Ok(request) = received.recv() {
                let input = match request {
                    FileRequest::Read => thread.read(),
                    FileRequest::Write(write, record, sent) => {
                        Input::Written { write, outcome: thread.write(&record, sent) }
                    }
                };
                if results.blocking_send(input).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests })
    }

    fn request(&self, request: FileRequest) {
        // A store thread that is gone has panicked: the process can't go on without it.
        self.requests.send(request).expect("the store thread lives as long as its FileStore");
    }
}

/// What the store thread has.
struct Thread {
    file: StateFile,
    metrics: Arc<Metrics>,
    trouble: Option<Trouble>,
}

/// Something fails again and again: the log is told once in a while.
struct Trouble {
    since: Time,
    said: Time,
    what: &'static str,
}

impl Thread {
    fn read(&mut self) -> Input {
        loop {
            match self.file.read() {
                Ok(found) => return Input::Found { found, clock_floor: clock::clock_floor() },
                Err(error) => {
                    if self.must_say("can't read the record") {
                        tracing::error!(%error, "can't read the record; trying again each second");
                    }
                }
            }
            std::thread::sleep(READ_RETRY);
        }
    }

    fn write(&mut self, record: &Record, sent: Time) -> Outcome {
        let before = clock::now();
        let result = self.file.write(record, sent);
        self.metrics.store_written(result.is_ok(), clock::now().since(before));
        let error = match result {
            Ok(()) => {
                if let Some(trouble) = self.trouble.take() {
                    tracing::info!(after_ms = clock::now().since(trouble.since).0, "the record is stored again");
                }
                return Outcome::Stored(None);
            }
            Err(error) => error,
        };
        if error.is_lost() {
            if self.must_say("lost") {
                tracing::error!(%error, "the data directory isn't this server's any more");
            }
            return Outcome::Lost;
        }
        if self.file.go_on_without(record).is_ok() {
            if self.must_say("held") {
                tracing::error!(%error, "can't store the record; leaders stay, and grants go on up to the number that is stored");
            }
            return Outcome::Held;
        }
        if self.must_say("failed") {
            tracing::error!(%error, "can't store the record; until it can be stored, nothing is answered");
        }
        Outcome::Unknown
    }

    /// Whether the log is to be told of this trouble, now or again.
    fn must_say(&mut self, what: &'static str) -> bool {
        let now = clock::now();
        match &mut self.trouble {
            Some(trouble) if trouble.what == what && now.since(trouble.said) < SAY_AGAIN => false,
            Some(trouble) => {
                (trouble.said, trouble.what) = (now, what);
                true
            }
            None => {
                self.trouble = Some(Trouble { since: now, said: now, what });
                true
            }
        }
    }
}
