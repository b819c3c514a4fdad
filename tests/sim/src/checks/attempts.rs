//! A Campaign that is sent again finds the candidacy that the first one made: no two candidacies of
//! one attempt live.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Event, Input, Output, Time};

pub(crate) const NAME: &str = "attempts";

#[derive(Debug, Default)]
pub(crate) struct Attempts;

impl Guarantee for Attempts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Said(Output::Event { event: Event::Enrolled { enrolment, .. }, .. }) = fact else { return Ok(()) };
        let Some(Input::Campaign { entry, .. }) = &truth.input else { return Ok(()) };
        if entry.attempt.is_none() {
            return Ok(());
        }
        let twin = truth.candidacies.iter().find(|(other, known)| {
            let same = (&known.election, &known.name) == (&entry.election, &entry.candidate);
            same && known.attempt == entry.attempt && *other != enrolment
        });
        wrong(twin.is_some(), || format!("{enrolment} is made by {:?}, and so was {twin:?}", entry.attempt))
    }
}
