//! Writes to the store don't grow with elections, candidates or observers: only time and what goes wrong there makes them.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Output, Time};

pub(crate) const NAME: &str = "flat-load";

/// No settings renew more often than this by any clock, in milliseconds.
const SHORTEST_INTERVAL_MS: u64 = 200;
/// What replicas may write beyond that when faults have ended: a claim, a repair, a release each.
const ALLOWANCE: u64 = 40;

#[derive(Debug, Default)]
pub(crate) struct FlatLoad {
    calm_since: Option<Time>,
    writes: u64,
}

impl Guarantee for FlatLoad {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, _: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match (fact, self.calm_since) {
            (Fact::FaultsEnded, _) => self.calm_since = Some(now),
            (Fact::Said(Output::Write { .. }), Some(since)) => {
                self.writes += 1;
                let (passed, writes) = (now.since(since), self.writes);
                let most = passed.0 / SHORTEST_INTERVAL_MS + ALLOWANCE;
                wrong(writes > most, || format!("{writes} writes within {passed}: more than renewals need"))?;
            }
            _ => {}
        }
        Ok(())
    }
}
