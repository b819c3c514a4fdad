//! At most one replica is active: no two have a right that lasts, and none without a claim that is stored.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Output, Time};

pub(crate) const NAME: &str = "one-active";

#[derive(Debug, Default)]
pub(crate) struct OneActive;

impl Guarantee for OneActive {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let acts = match fact {
            Fact::Said(Output::TenureBegan { tenure, .. }) => {
                wrong(!truth.is_claimed(*tenure), || {
                    format!("tenure {tenure} begins, and its claim was never stored")
                })?;
                true
            }
            Fact::Said(Output::RightUntil(until)) => *until > truth.now && truth.tenure.is_some(),
            Fact::Said(Output::Changed(_) | Output::Reply { reply: Ok(_), .. }) => truth.tenure.is_some(),
            _ => false,
        };
        let rival = if acts { truth.rival(now) } else { None };
        wrong(rival.is_some(), || format!("r{} is active, and so is the replica of {rival:?}", truth.at))
    }
}
