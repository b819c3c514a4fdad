//! Writes to the store don't grow with elections, candidates or observers: once faults have ended,
//! only time makes them.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Millis, Output, Time};

pub(crate) const NAME: &str = "flat-load";

/// What replicas may write beyond renewals: claims, repairs and releases until one tenure lasts.
const ALLOWANCE: u64 = 30;

#[derive(Debug, Default)]
pub(crate) struct FlatLoad {
    /// Since when, and how often the right is renewed.
    calm: Option<(Time, Millis)>,
    writes: u64,
}

impl Guarantee for FlatLoad {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, _: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match (fact, self.calm) {
            (Fact::FaultsEnded { renew_interval }, _) => self.calm = Some((now, *renew_interval)),
            (Fact::Said(Output::Write { .. } | Output::WriteUnsigned { .. }), Some((since, interval))) => {
                self.writes += 1;
                let (passed, writes) = (now.since(since), self.writes);
                // By the fastest clock.
                let most = passed.with_drift().0 / interval.0 + ALLOWANCE;
                wrong(writes > most, || format!("{writes} writes within {passed}: more than renewals need"))?;
            }
            _ => {}
        }
        Ok(())
    }
}
