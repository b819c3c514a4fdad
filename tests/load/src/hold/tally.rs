//! What became of the candidacies, KeepAlive by KeepAlive.

use anyhow::{Result, bail};
use leasehold_proto::v1::{CandidacyState, KeepAliveResult};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::enrol::Held;
use super::plan::Plan;
use crate::latency::Latency;

/// What one KeepAlive of one candidacy came to. Everything but `Kept` is a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// WAITING or LEADING, as before, in time.
    Kept,
    /// ENDED.
    Ended,
    /// REFUSED.
    Refused,
    /// The call had no answer for it.
    Missing,
    /// The worker's own deadline had passed before the answer came: it would have given up.
    Late,
    /// An answer of another kind, e.g. a waiter that suddenly leads, or a leader with another
    /// fencing token.
    Odd,
    /// The call failed as a whole; counted once for the call.
    CallFailed,
}

impl Fate {
    /// All losses, with their names for people.
    pub(super) const LOSSES: [(Self, &'static str); 6] = [
        (Self::Ended, "ended"),
        (Self::Refused, "refused"),
        (Self::Missing, "missing"),
        (Self::Late, "late"),
        (Self::Odd, "odd"),
        (Self::CallFailed, "failed calls"),
    ];

    fn of(one: &Held, result: &KeepAliveResult, plan: &Plan, answered: Instant) -> Self {
        let as_before = match one.fencing_token {
            Some(token) => {
                let task_token = !plan.task_tokens || !result.task_token.is_empty();
                result.state() == CandidacyState::Leading && result.fencing_token == token && task_token
            }
            None => result.state() == CandidacyState::Waiting,
        };
        match result.state() {
            CandidacyState::Ended => Self::Ended,
            CandidacyState::Refused => Self::Refused,
            _ if !as_before || result.ticket.is_empty() => Self::Odd,
            _ if answered >= one.deadline => Self::Late,
            _ => Self::Kept,
        }
    }
}

/// The count of all fates, and how long the calls took.
#[derive(Debug)]
pub(super) struct Tally {
    counts: BTreeMap<Fate, u64>,
    first_problem: Option<String>,
    /// How long measured calls took.
    pub(super) latency: Latency,
    /// How much later than they were due measured calls were sent: what the client's side is to
    /// blame for.
    pub(super) sent_late: Latency,
}

impl Tally {
    /// With nothing counted.
    pub(super) fn new() -> Self {
        Self { counts: BTreeMap::new(), first_problem: None, latency: Latency::new(), sent_late: Latency::new() }
    }

    /// How many came to this.
    pub(super) fn count(&self, fate: Fate) -> u64 {
        self.counts.get(&fate).copied().unwrap_or(0)
    }

    /// Adds the counts of another.
    pub(super) fn add(&mut self, other: &Self) {
        for (&fate, count) in &other.counts {
            *self.counts.entry(fate).or_default() += count;
        }
        self.first_problem = self.first_problem.take().or_else(|| other.first_problem.clone());
        self.latency.add(&other.latency);
        self.sent_late.add(&other.sent_late);
    }

    /// Counts a call that was measured.
    pub(super) fn measure(&mut self, late: Duration, took: Duration) {
        self.sent_late.record(late);
        self.latency.record(took);
    }

    /// Counts a call that failed as a whole.
    pub(super) fn call_failed(&mut self, why: &str) {
        self.lose(Fate::CallFailed, 1, || format!("a KeepAlive call failed: {why}"));
    }

    /// Counts the answers to one call, and brings `held` up to date: what is lost isn't held any
    /// more.
    pub(super) fn judge(
        &mut self,
        held: &mut Vec<Held>,
        results: Vec<KeepAliveResult>,
        plan: &Plan,
        [sent, answered]: [Instant; 2],
    ) {
        let asked = held.len();
        let mut results = results.into_iter();
        held.retain_mut(|one| {
            let Some(result) = results.next() else {
                self.lose(Fate::Missing, 1, || format!("a call with {asked} items had no answer for all"));
                // The server may still have it: it stays held, with the deadline it had.
                return true;
            };
            let fate = Fate::of(one, &result, plan, answered);
            if fate != Fate::Kept {
                self.lose(fate, 1, || describe(one, &result, answered));
                return false;
            }
            *self.counts.entry(fate).or_default() += 1;
            one.ticket = result.ticket;
            one.deadline = sent + plan.ttl;
            true
        });
    }

    /// Counts those whose own deadline has passed at the end: they were lost before an answer said
    /// so.
    pub(super) fn finish(&mut self, held: &[Held], end: Instant) {
        let overdue = held.iter().filter(|one| one.deadline <= end).count();
        if overdue > 0 {
            self.lose(Fate::Late, overdue as u64, || {
                format!("{overdue} of a batch were past their deadline at the end")
            });
        }
    }

    /// Whether every candidacy was kept.
    ///
    /// # Errors
    ///
    /// When one wasn't, with the first reason; or when nothing was asked at all.
    pub(super) fn verdict(&self) -> Result<()> {
        if let Some(first) = &self.first_problem {
            let losses: u64 = Fate::LOSSES.iter().map(|&(fate, _)| self.count(fate)).sum();
            bail!("{losses} losses, the first: {first}");
        }
        if self.count(Fate::Kept) == 0 {
            bail!("no KeepAlive was answered: the run was too short to show anything");
        }
        Ok(())
    }

    fn lose(&mut self, fate: Fate, count: u64, why: impl FnOnce() -> String) {
        *self.counts.entry(fate).or_default() += count;
        self.first_problem.get_or_insert_with(why);
    }
}

fn describe(one: &Held, result: &KeepAliveResult, answered: Instant) -> String {
    let left = one.deadline.saturating_duration_since(answered);
    let token = one.fencing_token.map_or("waiting".to_owned(), |token| format!("leading with {token}"));
    format!("candidacy {}, {token}, {left:?} before its deadline, was answered {result:?}", one.number)
}

#[cfg(test)]
mod tests {
    use super::{Fate, Tally};
    use crate::hold::enrol::Held;
    use crate::hold::plan::tests::plan;
    use leasehold_proto::v1::{CandidacyState, KeepAliveResult};
    use std::time::{Duration, Instant};

    const TOKEN: u64 = 77;

    fn held(now: Instant, fencing_token: Option<u64>) -> Held {
        Held { number: 0, ticket: vec![1], deadline: now + Duration::from_secs(15), fencing_token }
    }

    fn answer(state: CandidacyState) -> KeepAliveResult {
        let led = state == CandidacyState::Leading;
        KeepAliveResult {
            state: state.into(),
            ticket: vec![2],
            fencing_token: if led { TOKEN } else { 0 },
            task_token: if led { "jwt".to_owned() } else { String::new() },
            ..Default::default()
        }
    }

    /// What one answer, so much later, comes to; and whether the candidacy is still held.
    fn fate_of(fencing_token: Option<u64>, answers: Vec<KeepAliveResult>, after: Duration) -> (Vec<Fate>, usize) {
        let now = Instant::now();
        let (mut tally, mut held) = (Tally::new(), vec![held(now, fencing_token)]);
        tally.judge(&mut held, answers, &plan(&[]).expect("lawful"), [now, now + after]);
        assert_eq!(tally.verdict().is_ok(), tally.count(Fate::Kept) == 1, "{tally:?}");
        (tally.counts.keys().copied().collect(), held.len())
    }

    #[test]
    fn what_is_as_before_is_kept() {
        let soon = Duration::from_millis(1);
        assert_eq!(fate_of(Some(TOKEN), vec![answer(CandidacyState::Leading)], soon), (vec![Fate::Kept], 1));
        assert_eq!(fate_of(None, vec![answer(CandidacyState::Waiting)], soon), (vec![Fate::Kept], 1));
    }

    #[test]
    fn everything_else_is_a_loss() {
        let soon = Duration::from_millis(1);
        let other_token = KeepAliveResult { fencing_token: TOKEN + 1, ..answer(CandidacyState::Leading) };
        let no_task_token = KeepAliveResult { task_token: String::new(), ..answer(CandidacyState::Leading) };
        let no_ticket = KeepAliveResult { ticket: Vec::new(), ..answer(CandidacyState::Leading) };
        for (result, fate) in [
            (answer(CandidacyState::Ended), Fate::Ended),
            (answer(CandidacyState::Refused), Fate::Refused),
            (answer(CandidacyState::Waiting), Fate::Odd),
            (answer(CandidacyState::Draining), Fate::Odd),
            (answer(CandidacyState::Unspecified), Fate::Odd),
            (other_token, Fate::Odd),
            (no_task_token, Fate::Odd),
            (no_ticket, Fate::Odd),
        ] {
            assert_eq!(fate_of(Some(TOKEN), vec![result.clone()], soon), (vec![fate], 0), "{result:?}");
        }
        assert_eq!(fate_of(None, vec![answer(CandidacyState::Leading)], soon), (vec![Fate::Odd], 0));
        assert_eq!(fate_of(None, vec![], soon), (vec![Fate::Missing], 1));
        let past = Duration::from_secs(15);
        assert_eq!(fate_of(Some(TOKEN), vec![answer(CandidacyState::Leading)], past), (vec![Fate::Late], 0));
    }

    #[test]
    fn the_deadline_counts_from_before_the_send() {
        let now = Instant::now();
        let plan = plan(&["--ttl", "15s"]).expect("lawful");
        let (mut tally, mut all) = (Tally::new(), vec![held(now, None)]);
        let times = [now + Duration::from_secs(5), now + Duration::from_secs(9)];
        tally.judge(&mut all, vec![answer(CandidacyState::Waiting)], &plan, times);
        assert_eq!((all[0].deadline, all[0].ticket.as_slice()), (now + Duration::from_secs(20), [2].as_slice()));
        tally.finish(&all, now + Duration::from_millis(19_999));
        assert!(tally.verdict().is_ok());
        tally.finish(&all, now + Duration::from_secs(20));
        assert_eq!(tally.count(Fate::Late), 1);
        assert!(tally.verdict().is_err());
    }

    #[test]
    fn a_failed_call_and_a_run_without_calls_show_nothing_good() {
        let (mut all, mut one) = (Tally::new(), Tally::new());
        assert!(all.verdict().is_err(), "nothing was asked");
        one.call_failed("the server is gone");
        all.add(&one);
        let text = all.verdict().expect_err("a call failed").to_string();
        assert_eq!(text, "1 losses, the first: a KeepAlive call failed: the server is gone");
    }
}
