//! Of two words about a candidacy the one with the higher version is newer, over failovers as well;
//! words of one version say the same.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Enrolment, Event, FencingToken, Kept, Output, Reply, StateVersion, Time};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "versions";

#[derive(Debug, Default)]
pub(crate) struct Versions {
    last: BTreeMap<Enrolment, (StateVersion, State)>,
    /// Said by the input at hand: it may have brought several changes, and the answer to it comes
    /// last.
    new: BTreeMap<Enrolment, (StateVersion, State)>,
}

/// The token, and whether it drains: `None` where that isn't said.
type State = (Option<FencingToken>, Option<bool>);

impl Versions {
    fn says(&mut self, id: Enrolment, version: StateVersion, state: State) -> Result<(), String> {
        if let Some((before, said)) = self.last.get(&id) {
            wrong(version < *before, || format!("{id} is told of {version}, and was told of {before}"))?;
            let differs = said.0 != state.0 || (said.1.is_some() && state.1.is_some() && said.1 != state.1);
            wrong(version == *before && differs, || format!("{id} is {state:?} in {version}, and was {said:?}"))?;
        }
        let new = self.new.entry(id).or_insert((version, state));
        if version > new.0 {
            *new = (version, state);
        } else if version == new.0 {
            new.1.1 = new.1.1.or(state.1);
        }
        Ok(())
    }
}

impl Guarantee for Versions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Fell => *self = Self::default(),
            Fact::Told(_) => self.last.append(&mut self.new),
            Fact::Said(Output::Event { stream, version, event }) => {
                let (id, state) = match event {
                    Event::Enrolled { enrolment, ticket } => {
                        let Some(ticket) = ticket else { return Ok(()) };
                        (*enrolment, (ticket.token, None))
                    }
                    Event::Ended(_) => {
                        return wrong(version.0 > 0, || format!("an end is told as version {version}"));
                    }
                    told => {
                        let of = |(_, known): &(_, &crate::truth::Known)| known.stream == Some(*stream);
                        let Some((id, _)) = truth.candidacies.iter().find(of) else { return Ok(()) };
                        let state = match told {
                            Event::Elected(lead) => (Some(lead.token), Some(false)),
                            Event::Draining { token, .. } => (Some(*token), Some(true)),
                            _ => (None, Some(false)),
                        };
                        (*id, state)
                    }
                };
                self.says(id, *version, state)?;
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. }) => {
                for kept in kept {
                    match kept {
                        Kept::Waiting { ticket, version } | Kept::Leading { ticket, version } => {
                            self.says(ticket.enrolment, *version, (ticket.token, Some(false)))?;
                        }
                        Kept::Draining { ticket, version, .. } => {
                            self.says(ticket.enrolment, *version, (ticket.token, Some(true)))?;
                        }
                        Kept::Ended(_) => {}
                    }
                }
            }
            Fact::Said(Output::Reply { reply: Ok(Reply::Proclaimed { revision, ticket }), .. }) => {
                self.says(ticket.enrolment, StateVersion(revision.0), (ticket.token, None))?;
            }
            _ => {}
        }
        Ok(())
    }
}
