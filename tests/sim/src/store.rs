//! The store: one record; reads and writes one after the other; slow, hung and failed ones.

use leasehold_core::{Found, Record, Time, WriteId};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub(crate) enum Job {
    Read,
    Write(WriteId, Box<Record>),
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) found: Found,
    pub(crate) jobs: VecDeque<Job>,
    /// The number of the job under way: an answer to another one comes from a process that is gone.
    pub(crate) serial: u64,
    pub(crate) hangs_until: Time,
    pub(crate) fails_until: Time,
    pub(crate) slow_until: Time,
    /// What stood here when a process started.
    pub(crate) versions: Vec<Found>,
    /// An older record was put back; until the next write nobody may die who knows better.
    pub(crate) restored: bool,
    /// Seconds that the wall clock says. It may be set back, unless the record is lost.
    pub(crate) wall_clock: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            found: Found::Fresh,
            jobs: VecDeque::new(),
            serial: 0,
            hangs_until: Time(0),
            fails_until: Time(0),
            slow_until: Time(0),
            versions: Vec::new(),
            restored: false,
            wall_clock: 0,
        }
    }
}
