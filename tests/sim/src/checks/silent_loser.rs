//! A replica past its deadline answers no call as if it were active; nor one that was forwarded to
//! another tenure.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Input, Output, Reply, Time};

pub(crate) const NAME: &str = "silent-loser";

#[derive(Debug, Default)]
pub(crate) struct SilentLoser;

impl Guarantee for SilentLoser {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Said(output) = fact else { return Ok(()) };
        let speaks = match output {
            Output::Reply { reply: Ok(Reply::Status(status)), .. } => status.tenure.is_some(),
            Output::Reply { reply: Ok(_), .. } | Output::Event { .. } | Output::Changed(_) | Output::Settled => true,
            Output::MirrorSnapshot(_) | Output::MirrorChanged(_) => true,
            Output::RightUntil(until) => {
                let truly = truth.right_until;
                return wrong(*until > truly, || format!("it claims the right until {until:?}; it ends at {truly:?}"));
            }
            _ => false,
        };
        answers_another(truth, output)?;
        let until = truth.right_until;
        wrong(speaks && (truth.tenure.is_none() || until <= truth.now), || {
            format!("the right ended at {until:?}, tenure {:?}, and it says {output:?}", truth.tenure)
        })
    }
}

/// A call that was forwarded is meant for one tenure.
fn answers_another(truth: &Truth, output: &Output) -> Result<(), String> {
    let Some(meant) = truth.forwarded.filter(|meant| Some(*meant) != truth.tenure) else { return Ok(()) };
    let answers = match (&truth.input, output) {
        // The shell names calls anew. Each is answered at once.
        (Some(Input::Call { .. }), Output::Reply { reply: Ok(_), .. }) => true,
        (
            Some(Input::Campaign { stream: asked, .. } | Input::Reopen { stream: asked, .. }),
            Output::Event { stream, .. },
        ) => asked == stream,
        _ => false,
    };
    wrong(answers, || format!("meant for tenure {meant}, and {:?} says {output:?}", truth.tenure))
}
