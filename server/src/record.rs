//! A record as named numbers: in the state file, and in the annotations of the Lease.

use leasehold_core::{Ceiling, ChangeNumber, Handover, Millis, Record, RecordParts, Revision, Tenure, Unlawful};
use std::num::ParseIntError;

/// The names.
pub(crate) const NAMES: [&str; 9] = [
    "tenure",
    "ceiling",
    "duration-ms",
    "margin-ms",
    "renewed-at-ms",
    "ended-at-ms",
    "longest-ttl-ms",
    "last-change",
    "last-revision",
];

/// Why named numbers make no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRecord {
    #[error("the record has no {0}")]
    Missing(&'static str),
    #[error("{0}")]
    NoNumber(#[from] ParseIntError),
    #[error("{0}")]
    Unlawful(#[from] Unlawful),
}

/// All numbers of a record, in the order of their names. The handover is none.
pub(crate) fn numbers(record: &Record) -> [Option<u64>; 9] {
    [
        Some(record.tenure.0),
        Some(record.ceiling.0),
        Some(record.duration.0),
        Some(record.margin.0),
        Some(record.renewed_at.0),
        record.ended_at.map(|at| at.0),
        Some(record.longest_ttl.0),
        record.last_change.map(|number| number.0),
        record.last_revision.map(|revision| revision.0),
    ]
}

/// The record of these numbers.
pub(crate) fn record(
    number: impl Fn(&'static str) -> Result<Option<u64>, ParseIntError>,
    handover: Option<Handover>,
) -> Result<Record, NoRecord> {
    let needed = |name| number(name)?.ok_or(NoRecord::Missing(name));
    Ok(Record::from_parts(RecordParts {
        tenure: Tenure(needed("tenure")?),
        ceiling: Ceiling(needed("ceiling")?),
        duration: Millis(needed("duration-ms")?),
        margin: Millis(needed("margin-ms")?),
        renewed_at: Millis(needed("renewed-at-ms")?),
        ended_at: number("ended-at-ms")?.map(Millis),
        longest_ttl: Millis(needed("longest-ttl-ms")?),
        last_change: number("last-change")?.map(ChangeNumber),
        handover,
        last_revision: number("last-revision")?.map(Revision),
    })?)
}
