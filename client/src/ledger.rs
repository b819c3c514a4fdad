//! What an observer was told, so that over broken streams it is told each change once, in order, vacancies included.

use crate::proto::{ChangeReason, ElectionChange};
use std::collections::{BTreeSet, HashMap};

/// What was told of the elections that matter: those with a leader, and those that lost theirs since the last Synced.
///
/// A stream either begins with a snapshot or resumes after a revision. Until its Synced comes, what it sends needn't be in the order of
/// revisions over elections, so only from then on the newest revision is one to resume after.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    told: HashMap<String, Told>,
    /// The revision to resume after; 0 for a snapshot.
    resume: u64,
    phase: Phase,
}

#[derive(Debug)]
struct Told {
    revision: u64,
    led: bool,
}

#[derive(Debug)]
enum Phase {
    /// A snapshot arrives. With it come the elections that were told as led and that it hasn't named yet.
    Snapshot { unnamed: BTreeSet<String>, first: bool },
    /// What came after the revision arrives.
    CatchUp,
    /// The news are current.
    Live,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Snapshot { unnamed: BTreeSet::new(), first: true }
    }
}

impl Ledger {
    /// A stream is about to be opened: the revision to resume after, or 0 for a snapshot.
    pub(crate) fn begin(&mut self) -> u64 {
        if self.resume == 0 {
            self.resync();
        } else {
            self.phase = Phase::CatchUp;
        }
        self.resume
    }

    /// What was told is stale until Synced: a snapshot follows. Nothing is forgotten before that.
    pub(crate) fn resync(&mut self) {
        let unnamed = self.told.iter().filter(|(_, told)| told.led).map(|(name, _)| name.clone()).collect();
        // Until the first Synced nothing can have been missed.
        let first = matches!(self.phase, Phase::Snapshot { first: true, .. });
        self.resume = 0;
        self.phase = Phase::Snapshot { unnamed, first };
    }

    /// Everything up to this revision was told; 0 before it is synced.
    pub(crate) fn progress(&mut self, revision: u64) {
        if matches!(self.phase, Phase::Live) {
            self.resume = self.resume.max(revision);
        }
    }

    /// A change arrives. None: it was told before.
    pub(crate) fn change(&mut self, mut change: ElectionChange) -> Option<ElectionChange> {
        let before = self.told.get(&change.election).map(|told| told.revision);
        let is_old = match &mut self.phase {
            Phase::Snapshot { unnamed, first } => {
                unnamed.remove(&change.election);
                change.missed_changes |= !*first;
                before == Some(change.revision)
            }
            Phase::CatchUp => change.revision <= before.unwrap_or(self.resume).max(self.resume),
            Phase::Live => {
                self.resume = self.resume.max(change.revision);
                false
            }
        };
        if is_old {
            return None;
        }
        let led = change.leader.is_some();
        if led || !matches!(self.phase, Phase::Live) {
            self.told.insert(change.election.clone(), Told { revision: change.revision, led });
        } else {
            self.told.remove(&change.election);
        }
        Some(change)
    }

    /// All has been named. The elections that were told as led and aren't any more, in the order of names.
    pub(crate) fn synced(&mut self, revision: u64) -> Vec<ElectionChange> {
        let phase = std::mem::replace(&mut self.phase, Phase::Live);
        let gone = if let Phase::Snapshot { unnamed, .. } = phase { unnamed } else { BTreeSet::new() };
        self.resume = self.resume.max(revision);
        self.told.retain(|name, told| told.led && !gone.contains(name));
        let vacant = |election| ElectionChange {
            election,
            revision,
            leader: None,
            reason: ChangeReason::Unspecified.into(),
            missed_changes: true,
            hold: None,
        };
        gone.into_iter().map(vacant).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Leader;

    fn led(election: &str, revision: u64) -> ElectionChange {
        let leader = Some(Leader { fencing_token: revision, ..Leader::default() });
        ElectionChange { election: election.to_owned(), revision, leader, ..ElectionChange::default() }
    }

    fn vacant(election: &str, revision: u64) -> ElectionChange {
        ElectionChange { leader: None, ..led(election, revision) }
    }

    /// An observer that knows a (10) and b (11) as led, live at 12.
    fn observer() -> Ledger {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.begin(), 0);
        assert_eq!(ledger.change(led("b", 11)), Some(led("b", 11)));
        assert_eq!(ledger.change(led("a", 10)), Some(led("a", 10)));
        assert_eq!(ledger.synced(12), []);
        ledger
    }

    #[test]
    fn after_a_resync_who_isnt_named_is_vacant() {
        let mut ledger = observer();
        ledger.resync();
        assert_eq!(ledger.change(led("a", 10)), None, "nothing new");
        let [gone] = &ledger.synced(20)[..] else { panic!("b alone is gone") };
        assert_eq!((gone.election.as_str(), gone.revision, &gone.leader, gone.missed_changes), ("b", 20, &None, true));
        ledger.resync();
        assert_eq!(ledger.synced(30).len(), 1, "a is gone as well, b is told once");
    }

    #[test]
    fn a_snapshot_that_breaks_begins_again_and_forgets_nobody() {
        let mut ledger = observer();
        ledger.resync();
        assert!(ledger.change(led("a", 25)).is_some_and(|change| change.missed_changes));
        assert_eq!(ledger.begin(), 0, "its middle is nothing to resume after");
        assert_eq!(ledger.change(led("a", 25)), None, "told before it broke");
        let gone: Vec<_> = ledger.synced(30).into_iter().map(|change| change.election).collect();
        assert_eq!(gone, ["b"]);
    }

    #[test]
    fn resumes_after_the_newest_change_that_was_told() {
        let mut ledger = observer();
        assert_eq!(ledger.begin(), 12);
        assert_eq!(ledger.synced(12), [], "a resumed stream names only what changed");
        assert!(ledger.change(vacant("a", 13)).is_some());
        assert_eq!(ledger.begin(), 13);
    }

    #[test]
    fn resumes_after_what_progress_says() {
        let mut ledger = observer();
        ledger.progress(20);
        assert_eq!(ledger.begin(), 20);
        ledger.progress(30);
        assert_eq!(ledger.begin(), 20, "not before it is synced again");
    }

    #[test]
    fn a_catch_up_that_breaks_doesnt_show_old_news_as_new() {
        let mut ledger = observer();
        assert_eq!(ledger.begin(), 12);
        assert!(ledger.change(vacant("a", 15)).is_some());
        assert_eq!(ledger.begin(), 12, "a change of b with 14 may not have been sent yet");
        assert_eq!(ledger.change(led("a", 13)), None, "older than the vacancy that was told");
        assert_eq!(ledger.change(vacant("a", 15)), None);
        assert!(ledger.change(vacant("b", 14)).is_some());
        assert_eq!(ledger.synced(15), []);
    }

    #[test]
    fn a_snapshot_of_lower_revisions_is_believed() {
        let mut ledger = observer();
        ledger.resync();
        assert!(ledger.change(led("a", 3)).is_some(), "the service knows what is true now");
    }
}
