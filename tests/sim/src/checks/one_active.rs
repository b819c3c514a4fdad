//! At most one replica is active: no two have a right that lasts, none without a claim that is
//! stored, and none that reads of another holder.

use super::{Guarantee, wrong};
use crate::api::edits::OTHER_HOLDER;
use crate::truth::{Fact, Truth};
use leasehold_core::{Holder, Input, Lease, Output, Time};

pub(crate) const NAME: &str = "one-active";

#[derive(Debug, Default)]
pub(crate) struct OneActive {
    /// What is being handled says that somebody else holds the Lease.
    supplanted: bool,
}

impl Guarantee for OneActive {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let acts = match fact {
            Fact::Told(input) => {
                self.supplanted = names_another(input);
                false
            }
            Fact::SaidAll => {
                let stays = self.supplanted && truth.tenure.is_some();
                return wrong(stays, || format!("{:?} goes on, and has read of another holder", truth.tenure));
            }
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

fn names_another(input: &Input) -> bool {
    let Input::FoundLease { lease: Some(Lease { content, .. }), .. } = input else { return false };
    content.holder == Some(Holder(OTHER_HOLDER.to_owned()))
}
