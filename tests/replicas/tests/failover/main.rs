//! Replicas that crash, end, hang or have wrong clocks: what becomes of the elections.

mod clocks;
mod kill;
mod orderly;
mod pause;
mod restored;
mod ticket;

use std::time::Duration;

/// A whole start: the machine may be busy with other tests.
const START: Duration = Duration::from_secs(60);
/// What a machine that is busy may add to a time that the protocol bounds.
const SLACK: Duration = Duration::from_secs(3);
