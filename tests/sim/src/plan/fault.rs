//! The kinds of faults.

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; what was being written is stored or isn't.
    Crash,
    /// SIGTERM.
    Shutdown,
    /// All replicas are told to stop, one after the other.
    Rolling,
    /// SIGSTOP, later SIGCONT.
    Pause,
    /// The machine is suspended: what comes meanwhile is lost.
    Suspend,
    WallClock,

    StoreHangs,
    StoreFails,
    StoreSlow,
    /// The disk is full.
    StoreFull,
    /// The record is removed while no process runs.
    StoreLost,
    /// An older record is put back while a process runs that has seen the later one.
    StoreRestored,

    /// A replica and the API server don't reach each other, or only one way.
    ApiCut,
    ApiOutage,
    /// 429 and 500.
    ApiErrors,
    ApiHangs,
    ApiSlow,
    WatchCut,
    /// A watch is far behind, or begins with what is long over.
    WatchStale,
    /// A mirror's stream breaks, or its buffer overflows.
    MirrorCut,
    LeaseDeleted,
    /// `kubectl apply` of a manifest with an empty holder.
    LeaseEmptied,
    /// The annotations are gone.
    LeaseStripped,
    OtherHolder,
    DurationChanged,
    Labelled,
    /// An older Lease is put back while all that live have seen later ones.
    LeaseRestored,
    /// All replicas are stopped, the Lease is deleted, and they start again.
    Runbook,

    StreamsCut,
    Partition,
    WorkerCrash,
    WorkerPause,
    StepDown,
    Replay,
}

impl Fault {
    /// Afterwards nobody finds the ceiling, the longest TTL, the longest duration.
    pub(crate) fn loses_the_record(self) -> bool {
        matches!(self, Fault::StoreLost | Fault::LeaseDeleted | Fault::LeaseStripped)
    }
}

impl Fault {
    /// A replica may not reach the API server for longer than a moment.
    pub(crate) fn keeps_from_the_api(self) -> bool {
        use Fault::{ApiCut, ApiErrors, ApiHangs, ApiOutage, ApiSlow, LeaseDeleted, Pause, Suspend, WatchStale};
        matches!(
            self,
            ApiCut | ApiErrors | ApiHangs | ApiOutage | ApiSlow | LeaseDeleted | Pause | Suspend | WatchStale
        )
    }
}

/// Of one process with a file.
pub(crate) const FILE_FAULTS: &[Fault] = &[
    Fault::Crash,
    Fault::Shutdown,
    Fault::Pause,
    Fault::StoreHangs,
    Fault::StoreFails,
    Fault::StoreSlow,
    Fault::StoreFull,
    Fault::StoreLost,
    Fault::StoreRestored,
    Fault::WallClock,
];

/// Of replicas with a Lease.
pub(crate) const LEASE_FAULTS: &[Fault] = &[
    Fault::Crash,
    Fault::Crash,
    Fault::Shutdown,
    Fault::Rolling,
    Fault::Pause,
    Fault::Suspend,
    Fault::WallClock,
    Fault::ApiCut,
    Fault::ApiOutage,
    Fault::ApiErrors,
    Fault::ApiHangs,
    Fault::ApiSlow,
    Fault::WatchCut,
    Fault::WatchStale,
    Fault::MirrorCut,
    Fault::LeaseDeleted,
    Fault::LeaseEmptied,
    Fault::LeaseStripped,
    Fault::OtherHolder,
    Fault::DurationChanged,
    Fault::Labelled,
    Fault::LeaseRestored,
];

/// Chance alone seldom brings these together. An older Lease comes back while nobody is active, one
/// that knows nothing starts, and tickets come that are over.
pub(crate) const OF_RESTORING: &[Fault] = &[
    Fault::LeaseRestored,
    Fault::LeaseRestored,
    Fault::LeaseStripped,
    Fault::Crash,
    Fault::Rolling,
    Fault::Replay,
    Fault::StepDown,
    Fault::WorkerPause,
];

/// Numbers fall: clocks are an hour apart, and the Lease is deleted while no replica runs.
pub(crate) const OF_THE_RUNBOOK: &[Fault] = &[
    Fault::Runbook,
    Fault::Crash,
    Fault::Rolling,
    Fault::WallClock,
    Fault::StreamsCut,
    Fault::Partition,
    Fault::WorkerCrash,
    Fault::WorkerPause,
    Fault::StepDown,
    Fault::Replay,
];

/// Leaders aren't heard until others lead, and their older tickets come again after a crash.
pub(crate) const OF_TICKETS: &[Fault] = &[
    Fault::Crash,
    Fault::Crash,
    Fault::WorkerPause,
    Fault::Partition,
    Fault::StreamsCut,
    Fault::Replay,
    Fault::Replay,
];

/// The Lease is gone again and again, and who makes it hears little.
pub(crate) const OF_DELETING: &[Fault] =
    &[Fault::LeaseDeleted, Fault::LeaseDeleted, Fault::WatchCut, Fault::ApiCut, Fault::Crash, Fault::StreamsCut];

/// Of workers and the network.
pub(crate) const CLIENT_FAULTS: &[Fault] =
    &[Fault::StreamsCut, Fault::Partition, Fault::WorkerCrash, Fault::WorkerPause, Fault::StepDown, Fault::Replay];
