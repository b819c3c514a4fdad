//! Of two grants the later has the higher token; and no number is handed out that the stored ceiling doesn't lie above.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{ChangeReason, Event, FencingToken, Found, Output, Tenure, Time};

pub(crate) const NAME: &str = "tokens-rise";

#[derive(Debug, Default)]
pub(crate) struct TokensRise {
    last: FencingToken,
    tenure: Tenure,
    /// Of the record that this process wrote last.
    ceiling: Option<u64>,
}

impl TokensRise {
    fn handed_out(&self, number: u64) -> Result<(), String> {
        let ceiling = self.ceiling.filter(|ceiling| *ceiling <= number);
        wrong(ceiling.is_some(), || format!("{number} is handed out, and the stored ceiling is {ceiling:?}"))
    }
}

impl Guarantee for TokensRise {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Stored { found, by_fault } => {
                self.ceiling =
                    if let (Found::Record(record), false) = (found, by_fault) { Some(record.ceiling) } else { None };
            }
            Fact::Said(Output::TenureBegan { tenure, .. }) => {
                wrong(*tenure <= self.tenure, || format!("tenure {tenure} comes after {}", self.tenure))?;
                wrong(tenure.0 <= self.last.0, || format!("tenure {tenure} begins below the token {}", self.last))?;
                self.tenure = *tenure;
                self.handed_out(tenure.0)?;
            }
            Fact::Said(Output::Event { event: Event::Enrolled { enrolment, .. }, .. })
                if Some(Tenure(enrolment.0)) > truth.tenure =>
            {
                self.handed_out(enrolment.0)?;
            }
            Fact::Said(Output::Changed(change)) => {
                self.handed_out(change.revision.0)?;
                if let (ChangeReason::Elected, Some(leader)) = (change.reason, &change.leader) {
                    let (token, last) = (leader.token, self.last);
                    wrong(token <= last, || format!("{} is granted with {token} after {last}", change.election))?;
                    self.last = token;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
