//! Of two grants the later has the higher token; and no number is handed out that the stored
//! ceiling doesn't lie above. Where the Lease was deleted and clocks are behind, tokens fall until
//! a ticket shows higher numbers, and are above those from then on.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{
    Ceiling, ChangeReason, Event, FencingToken, Found, Output, Record, Tenure, TenureEnd, Ticket, Time,
};
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "tokens-rise";

#[derive(Debug, Default)]
pub(crate) struct TokensRise {
    last: FencingToken,
    tenure: Tenure,
    /// The last number of any kind.
    highest: u64,
    /// The highest ceiling that each tenure has stored.
    ceilings: BTreeMap<Tenure, Ceiling>,
    /// Numbers may have fallen.
    fell: bool,
    /// What a ticket has shown to each replica that was behind.
    shown: BTreeMap<usize, u64>,
}

impl TokensRise {
    fn stored(&mut self, record: &Record) {
        let ceiling = self.ceilings.entry(record.tenure).or_default();
        *ceiling = record.ceiling.max(*ceiling);
        if self.ceilings.len() > 100 {
            self.ceilings.pop_first();
        }
    }

    fn handed_out(&mut self, tenure: Option<Tenure>, number: u64) -> Result<(), String> {
        self.highest = self.highest.max(number);
        let ceiling = tenure.and_then(|tenure| self.ceilings.get(&tenure)).copied().unwrap_or_default();
        wrong(ceiling.0 <= number, || format!("{number} is handed out, and the stored ceiling is {ceiling:?}"))
    }
}

impl Guarantee for TokensRise {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Stored { found: Found::Record(record), by_fault: false } => self.stored(record),
            Fact::Applied { record: Some(record), .. } => self.stored(record),
            Fact::Fell => *self = Self { fell: true, ..Self::default() },
            Fact::Said(Output::TenureEnded { tenure, why: TenureEnd::Behind }) => {
                wrong(!self.fell, || format!("tenure {tenure} is behind, and no number was lost"))?;
                let highest = truth.tickets().iter().map(Ticket::highest).max().unwrap_or_default();
                wrong(highest <= tenure.0, || format!("{:?} doesn't show that {tenure} is behind", truth.input))?;
                self.shown.insert(truth.at, highest);
            }
            // Only the process itself knew.
            Fact::Started { .. } => _ = self.shown.remove(&truth.at),
            Fact::Said(Output::TenureBegan { tenure, .. }) => {
                let shown = self.shown.remove(&truth.at).unwrap_or_default();
                wrong(tenure.0 <= shown, || format!("tenure {tenure} begins after a ticket with {shown}"))?;
                let last = self.tenure.0.max(self.highest);
                wrong(tenure.0 <= last, || format!("tenure {tenure} begins after the number {last}"))?;
                self.tenure = *tenure;
                self.handed_out(Some(*tenure), tenure.0)?;
            }
            Fact::Said(Output::Event { event: Event::Enrolled { enrolment, .. }, .. })
                if Some(Tenure(enrolment.0)) > truth.tenure =>
            {
                self.handed_out(truth.tenure, enrolment.0)?;
            }
            Fact::Said(Output::Changed(change)) => {
                self.handed_out(truth.tenure, change.revision.0)?;
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
