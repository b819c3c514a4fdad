//! Elections with metrics of their own: those that the settings name, as anybody could make any
//! number of others.

use leasehold_core::{Change, ElectionName};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;

/// The label of such a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Election {
    election: String,
}

/// Gauges of one value for each election that is watched.
pub(super) type Gauges = Family<Election, Gauge>;

/// What the elections that are watched are, as this replica knows while it is active.
#[derive(Debug, Default)]
pub struct Watched(HashMap<ElectionName, (Gauge, Gauge)>);

impl Watched {
    pub(super) fn new(names: &[ElectionName], led: &Gauges, tokens: &Gauges) -> Self {
        let gauges = |name: &ElectionName| {
            let label = Election { election: name.to_string() };
            (led.get_or_create_owned(&label), tokens.get_or_create_owned(&label))
        };
        Self(names.iter().map(|name| (name.clone(), gauges(name))).collect())
    }

    /// An election changed. Costs nothing where none is watched.
    pub fn changed(&self, change: &Change) {
        if self.0.is_empty() {
            return;
        }
        let Some((led, token)) = self.0.get(&change.election) else { return };
        led.set(i64::from(change.leader.is_some()));
        if let Some(leader) = &change.leader {
            token.set(i64::try_from(leader.token.0).unwrap_or(i64::MAX));
        }
    }

    /// This replica isn't active any more: whoever is knows.
    pub fn forget(&self) {
        for (led, token) in self.0.values() {
            led.set(0);
            token.set(0);
        }
    }
}
