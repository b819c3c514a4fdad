//! What was seen in the end, and the promises that it must keep.

use anyhow::{Context as _, bail, ensure};
use leasehold::proto::{ChangeReason, ElectionChange};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

/// One leadership in the eyes of its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leading {
    /// The election.
    pub election: String,
    /// The worker.
    pub worker: String,
    /// Its fencing token.
    pub token: u64,
    /// When it knew.
    pub from: Instant,
    /// When it didn't believe so any more, or had no right to; `None`: it does still.
    pub until: Option<Instant>,
    /// Why it ended.
    pub why: String,
}

/// All that was seen.
#[derive(Debug)]
pub struct Record {
    /// In the order in which workers learned of it.
    pub leads: Vec<Leading>,
    /// What the observer was told, and when.
    pub changes: Vec<(Instant, ElectionChange)>,
    /// What went wrong on the way: no promise is broken by it.
    pub errors: Vec<String>,
    /// The end of the test.
    pub until: Instant,
}

impl Record {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let mut tokens = BTreeMap::new();
        for lead in &self.leads {
            if let Some(other) = tokens.insert(lead.token, lead) {
                bail!("tokens-rise: a token was granted twice: {other:?} and {lead:?}");
            }
        }
        let elections: BTreeSet<_> = self.leads.iter().map(|lead| &lead.election).collect();
        for election in elections {
            self.check_leads(election)?;
            self.check_news(election)?;
        }
        Ok(())
    }

    fn check_leads(&self, election: &str) -> anyhow::Result<()> {
        let mut leads: Vec<_> = self.of(election).collect();
        leads.sort_by_key(|lead| lead.from);
        for pair in leads.windows(2) {
            let [former, next] = pair else { unreachable!("windows of two") };
            ensure!(former.until.is_some_and(|until| until <= next.from), "one-leader: {former:?} and {next:?}");
            ensure!(former.token < next.token, "tokens-rise: {former:?} and then {next:?}");
        }
        Ok(())
    }

    /// Revisions and tokens rise, and whoever is named leads in its own eyes or hasn't heard of it.
    fn check_news(&self, election: &str) -> anyhow::Result<()> {
        let (mut revision, mut token) = (0, 0);
        for (_, change) in self.changes.iter().filter(|(_, change)| change.election == election) {
            // Where the service can't resume, the client says that a leader is gone, and knows no
            // number of that.
            ensure!(change.revision > revision || change.leader.is_none(), "true-observe: {revision}, then {change:?}");
            revision = revision.max(change.revision);
            let Some(leader) = &change.leader else { continue };
            ensure!(leader.fencing_token >= token, "tokens-rise: the observer saw {token}, then {change:?}");
            token = leader.fencing_token;
            let lead = self.of(election).find(|lead| lead.token == token);
            let other = lead.filter(|lead| lead.worker != leader.candidate);
            ensure!(other.is_none(), "true-observe: {change:?}, and {other:?}");
        }
        Ok(())
    }

    /// The leaderships of one election.
    pub fn of(&self, election: &str) -> impl Iterator<Item = &Leading> {
        self.leads.iter().filter(move |lead| lead.election == election)
    }

    /// Whether this leadership went on to the end of the test, and the observer saw no other leader
    /// and no vacancy since it began.
    ///
    /// # Errors
    ///
    /// With what was seen instead.
    pub fn kept(&self, lead: &Leading) -> anyhow::Result<()> {
        let own = self.of(&lead.election).find(|own| own.token == lead.token).context("it was noted")?;
        let lasted = own.until.is_none_or(|until| until >= self.until);
        ensure!(lasted, "continuity: {own:?} ended, {:?}", self.of(&lead.election).collect::<Vec<_>>());
        let mut seen = false;
        for (_, change) in self.changes.iter().filter(|(_, change)| change.election == lead.election) {
            let named = change.leader.as_ref().map(|leader| leader.fencing_token);
            // The end of the test has the workers resign.
            let resigned = change.reason() == ChangeReason::Resigned;
            ensure!(!seen || named == Some(lead.token) || resigned, "continuity: the observer saw {change:?}");
            seen |= named == Some(lead.token);
            if resigned && seen {
                break;
            }
        }
        ensure!(seen, "the observer never saw {lead:?}");
        Ok(())
    }

    /// The leaderships of all elections that began at this moment or later, and before another.
    pub fn granted_between(&self, from: Instant, to: Instant) -> impl Iterator<Item = &Leading> {
        self.leads.iter().filter(move |lead| lead.from >= from && lead.from < to)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elections: BTreeSet<_> = self.leads.iter().map(|lead| &lead.election).collect();
        let (leads, elections, changes) = (self.leads.len(), elections.len(), self.changes.len());
        write!(f, "{leads} leaderships of {elections} elections, {changes} changes observed, ")?;
        write!(f, "{} errors on the way", self.errors.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Leading, Record};
    use leasehold::proto::{ElectionChange, Leader};
    use std::time::{Duration, Instant};

    /// Times are in seconds.
    fn record(leads: &[(&str, u64, u64, u64)], changes: &[(u64, Option<(&str, u64)>)]) -> Record {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let lead = |&(worker, token, from, until): &(&str, u64, u64, u64)| Leading {
            election: "e".to_owned(),
            worker: worker.to_owned(),
            token,
            from: at(from),
            until: Some(at(until)),
            why: String::new(),
        };
        let leader = |(candidate, token): (&str, u64)| Leader {
            candidate: candidate.to_owned(),
            fencing_token: token,
            ..Leader::default()
        };
        let change = |&(revision, named): &(u64, Option<(&str, u64)>)| {
            let leader = named.map(leader);
            (zero, ElectionChange { election: "e".to_owned(), revision, leader, ..ElectionChange::default() })
        };
        Record {
            leads: leads.iter().map(lead).collect(),
            changes: changes.iter().map(change).collect(),
            errors: Vec::new(),
            until: at(10),
        }
    }

    #[track_caller]
    fn assert_broken(promise: &str, result: anyhow::Result<()>) {
        let error = result.expect_err("the promise is broken").to_string();
        assert!(error.starts_with(promise), "{error}");
    }

    #[test]
    fn what_keeps_all_promises_passes() {
        let fair = record(&[("a", 5, 0, 3), ("b", 7, 3, 10)], &[(5, Some(("a", 5))), (6, None), (7, Some(("b", 7)))]);
        fair.check().expect("no promise is broken");
        fair.kept(&fair.leads[1]).expect("it led to the end");
        assert_broken("continuity", fair.kept(&fair.leads[0]));
    }

    #[test]
    fn each_broken_promise_is_found() {
        assert_broken("one-leader", record(&[("a", 5, 0, 4), ("b", 7, 3, 10)], &[]).check());
        assert_broken("tokens-rise", record(&[("a", 7, 0, 3), ("b", 5, 3, 10)], &[]).check());
        assert_broken("tokens-rise", record(&[("a", 5, 0, 3), ("b", 5, 3, 10)], &[]).check());
        let one = [("a", 5, 0, 10)];
        assert_broken("tokens-rise", record(&one, &[(7, Some(("x", 7))), (8, Some(("a", 5)))]).check());
        assert_broken("true-observe", record(&one, &[(5, Some(("a", 5))), (5, Some(("a", 5)))]).check());
        assert_broken("true-observe", record(&one, &[(5, Some(("b", 5)))]).check());
        let vacant = record(&one, &[(5, Some(("a", 5))), (6, None), (7, Some(("a", 5)))]);
        vacant.check().expect("each change alone is possible");
        assert_broken("continuity", vacant.kept(&vacant.leads[0]));
    }
}
