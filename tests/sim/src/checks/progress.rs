//! When faults end and one tenure lasts, every election with a live candidate has a leader within
//! lease duration and longest TTL.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::Time;

pub(crate) const NAME: &str = "progress";

#[derive(Debug, Default)]
pub(crate) struct Progress;

impl Guarantee for Progress {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::ProgressDue { wanted } => {
                wrong(truth.tenure.is_none(), || "no replica is active".to_owned())?;
                for election in *wanted {
                    let led = truth.leaders.contains_key(election) || truth.holds.may_last(election, now);
                    wrong(!led, || format!("{election} has candidates and no leader"))?;
                }
                Ok(())
            }
            Fact::BackDue { heard } => {
                wrong(truth.tenure.is_none(), || "no replica is active".to_owned())?;
                let deaf = heard.iter().find(|(_, tenure)| Some(*tenure) > truth.tenure);
                wrong(deaf.is_some(), || {
                    format!("after a restore {deaf:?} listens to no lower tenure, and {:?} is active", truth.tenure)
                })
            }
            Fact::TheEnd { led, .. } => {
                wrong(truth.tenure.is_none(), || "no replica is active".to_owned())?;
                let idle = truth.leaders.iter().find(|(_, token)| !led.contains(token));
                wrong(idle.is_some(), || {
                    let known = truth.candidacies.values().find(|known| known.token == idle.map(|(_, token)| *token));
                    format!("a TTL later still {idle:?} is the leader, and no worker believes that it leads: {known:?}")
                })
            }
            // While its right has lapsed a server with a file grants nothing.
            Fact::SaidAll if truth.settled && truth.tenure.is_some() && truth.right_until > truth.now => {
                let idle = |election| !truth.leaders.contains_key(election) && !truth.holds.may_last(election, now);
                let waiting = truth.candidacies.values().find(|known| idle(&known.election));
                wrong(waiting.is_some(), || format!("settled and vacant, yet this one waits: {waiting:?}"))
            }
            _ => Ok(()),
        }
    }
}
