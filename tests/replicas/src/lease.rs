//! The Lease as `kubectl get` shows it.

use jiff::Timestamp;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A version of the Lease.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The object.
    pub object: Value,
    /// A moment before it was read.
    pub asked: Instant,
}

impl Lease {
    /// Who holds it; empty if nobody does.
    #[must_use]
    pub fn holder(&self) -> &str {
        self.object["spec"]["holderIdentity"].as_str().unwrap_or_default()
    }

    /// How long it is good for, in seconds.
    #[must_use]
    pub fn duration(&self) -> Option<i64> {
        self.object["spec"]["leaseDurationSeconds"].as_i64()
    }

    /// One of the annotations that replicas write, by its name without the prefix.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.object["metadata"]["annotations"][format!("leasehold.dev/{name}")].as_str()
    }

    /// The tenure that wrote it last.
    #[must_use]
    pub fn tenure(&self) -> Option<u64> {
        self.annotation("tenure")?.parse().ok()
    }

    /// Names the version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.object["metadata"]["resourceVersion"].as_str().unwrap_or_default()
    }

    /// Names the object: another one of the same name has another.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// When it was renewed last, as it says itself.
    #[must_use]
    pub fn renew_time(&self) -> Option<&str> {
        self.object["spec"]["renewTime"].as_str()
    }

    /// The same on the clock of this process, to the millisecond: replicas of the tests have the
    /// same wall clock. A right that this renewal gave counts from a moment that isn't later.
    ///
    /// # Panics
    ///
    /// When it says nothing of the kind, or lies ahead.
    #[must_use]
    pub fn renewed(&self) -> Instant {
        let (now, wall) = (Instant::now(), Timestamp::now());
        let renewed: Timestamp = self.renew_time().expect("a renewal").parse().expect("a time");
        now - Duration::try_from(wall.duration_since(renewed)).expect("not ahead")
    }
}
