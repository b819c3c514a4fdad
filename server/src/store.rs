//! The store: a file that a thread of its own reads and writes, so that a slow disk never holds up the loop; or a Lease.

use crate::clock;
use crate::kubernetes::LeaseStore;
use crate::metrics::Metrics;
use crate::state_file::StateFile;
use leasehold_core::{Input, Outcome, Over, Record, Tenure, TenureEnd, Time, WriteId};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two tries to read a record that can't be read.
const READ_RETRY: Duration = Duration::from_secs(1);

/// What the loop asks of the store. The core has at most one of these under way, and one more when it stops.
#[derive(Debug)]
enum Request {
    Read,
    Write(WriteId, Box<Record>, Time),
}

/// What whoever looks at the Lease may want to know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact {
    /// This replica became active.
    Began(Tenure),
    /// It isn't active any more.
    Ended(Tenure, TenureEnd),
}

/// The loop's end of the store.
#[derive(Debug)]
pub(crate) enum Store {
    /// A file.
    File(FileStore),
    /// A Lease.
    Lease(LeaseStore),
}

impl Store {
    pub(crate) fn read(&self) {
        match self {
            Self::File(file) => file.request(Request::Read),
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

    /// `sent` isn't later than the moment at which the core made the record.
    pub(crate) fn write(&self, write: WriteId, over: Over, record: Option<Box<Record>>, sent: Time) {
        match self {
            Self::File(file) => {
                let record = record.expect("a file is always written with a record");
                file.request(Request::Write(write, record, sent));
            }
            Self::Lease(lease) => lease.write(write, over, record),
        }
    }
}

/// The loop's end of the store thread. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct FileStore {
    requests: blocking::Sender<Request>,
}

impl FileStore {
    /// Starts the thread. Results come as inputs.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(file: StateFile, metrics: Arc<Metrics>, results: mpsc::Sender<Input>) -> std::io::Result<Self> {
        let (requests, received) = blocking::channel();
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            while let Ok(request) = received.recv() {
                let input = match request {
                    Request::Read => read(&file),
                    Request::Write(write, record, sent) => store(&file, &metrics, write, &record, sent),
                };
                if results.blocking_send(input).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests })
    }

    fn request(&self, request: Request) {
        // A store thread that is gone has panicked: the process can't go on without it.
        self.requests.send(request).expect("the store thread lives as long as its FileStore");
    }
}

fn read(file: &StateFile) -> Input {
    loop {
        match file.read() {
            Ok(found) => return Input::Found { found, clock_floor: clock::clock_floor() },
            Err(error) => tracing::error!(%error, "can't read the record; trying again in 1 s"),
        }
        std::thread::sleep(READ_RETRY);
    }
}

fn store(file: &StateFile, metrics: &Metrics, write: WriteId, record: &Record, sent: Time) -> Input {
    let before = clock::now();
    let result = file.write(record, sent);
    metrics.store_written(result.is_ok(), clock::now().since(before));
    if let Err(error) = &result {
        tracing::warn!(%error, "can't store the record");
    }
    let outcome = if result.is_ok() { Outcome::Stored(None) } else { Outcome::Unknown };
    Input::Written { write, outcome }
}
