//! A candidacy that ended is told so, with one reason; nobody waits for nothing.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{EndReason, Event, Kept, Output, Reply, StreamId, Time};

pub(crate) const NAME: &str = "no-zombie";

#[derive(Debug, Default)]
pub(crate) struct NoZombie {
    /// Must be told that it ended.
    owed: Option<(StreamId, EndReason)>,
}

impl Guarantee for NoZombie {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Said(Output::Ended(ended)) => {
                wrong(truth.ended.contains_key(&ended.enrolment), || format!("{} ends twice", ended.enrolment))?;
                wrong(self.owed.is_some(), || format!("nobody was told on {:?}", self.owed))?;
                let stream = truth.candidacies.get(&ended.enrolment).and_then(|known| known.stream);
                self.owed = stream.map(|stream| (stream, ended.reason));
            }
            Fact::Said(Output::Event { stream, event: Event::Ended(reason), .. })
                if self.owed == Some((*stream, *reason)) =>
            {
                self.owed = None;
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. }) => {
                for kept in kept {
                    if let Kept::Waiting { ticket, .. } = kept {
                        let ended = truth.ended.get(&ticket.enrolment);
                        wrong(ended.is_some(), || format!("{ticket:?} is told to wait, and has ended: {ended:?}"))?;
                    }
                }
            }
            Fact::SaidAll => wrong(self.owed.is_some(), || format!("nobody was told on {:?}", self.owed))?,
            Fact::TheEnd { candidacies, .. } => {
                for (worker, enrolment) in *candidacies {
                    wrong(!truth.candidacies.contains_key(enrolment), || {
                        format!("w{worker} takes {enrolment} for its candidacy, which the server doesn't know")
                    })?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
