//! An election isn't granted again before the hold of its last grant is over, over failovers as
//! well, as long as the leader comes back or the tenure was handed over.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{ChangeReason, Output, Time};

pub(crate) const NAME: &str = "holds";

#[derive(Debug, Default)]
pub(crate) struct Holds;

impl Guarantee for Holds {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Said(Output::Changed(change)) = fact else { return Ok(()) };
        let granted = change.reason == ChangeReason::Elected;
        let held = truth.holds.get(&change.election).filter(|hold| granted && !hold.forgotten && hold.until > now);
        wrong(held.is_some(), || format!("{change:?}, though it is on hold: {held:?}"))
    }
}
