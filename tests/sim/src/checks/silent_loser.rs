//! A replica past its deadline answers no call as if it were active.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Output, Reply, Time};

pub(crate) const NAME: &str = "silent-loser";

#[derive(Debug, Default)]
pub(crate) struct SilentLoser;

impl Guarantee for SilentLoser {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, now: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Said(output) = fact else { return Ok(()) };
        let speaks = match output {
            Output::Reply { reply: Ok(Reply::Status(status)), .. } => status.tenure.is_some(),
            Output::Reply { reply: Ok(_), .. } | Output::Event { .. } | Output::Changed(_) | Output::Settled => true,
            Output::RightUntil(until) => {
                let (until, truly) = (Time(until.0 - truth.ahead.0), truth.right_until);
                return wrong(until > truly, || format!("it claims the right until {until:?}; it ends at {truly:?}"));
            }
            _ => false,
        };
        let until = truth.right_until;
        wrong(speaks && (truth.tenure.is_none() || until <= now), || {
            format!("the right ended at {until:?}, tenure {:?}, and it says {output:?}", truth.tenure)
        })
    }
}
