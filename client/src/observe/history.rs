//! What an observer was told, so that over broken streams it is told each change once, in order,
//! vacancies included. No I/O.

use crate::proto::{ChangeReason, ElectionChange};
use std::collections::{BTreeSet, HashMap};

/// What was told of the elections with a leader, and of those that lost theirs since the last
/// Synced.
///
/// A stream either begins with a snapshot or resumes after a revision. Before its Synced it may
/// send the changes of two elections out of the order of their revisions. So only after Synced the
/// newest revision is one to resume after.
#[derive(Debug, Default)]
pub(super) struct History {
    told: HashMap<String, Told>,
    /// The revision to resume after; 0 for a snapshot.
    resume: u64,
    phase: Catching,
}

#[derive(Debug)]
struct Told {
    revision: u64,
    led: bool,
}

#[derive(Debug)]
enum Catching {
    /// A snapshot arrives. With it come the elections that were told as led and that it hasn't
    /// named yet.
    Snapshot { unnamed: BTreeSet<String>, first: bool },
    /// What came after the revision arrives.
    CatchUp,
    /// The news are current.
    Live,
}

impl Default for Catching {
    fn default() -> Self {
        Self::Snapshot { unnamed: BTreeSet::new(), first: true }
    }
}

impl History {
    /// A stream is about to be opened: the revision to resume after, or 0 for a snapshot.
    pub(super) fn begin(&mut self) -> u64 {
        if self.resume == 0 {
            self.resync();
        } else {
            self.phase = Catching::CatchUp;
        }
        self.resume
    }

    /// What was told is stale until Synced: a snapshot follows. Nothing is forgotten before that.
    pub(super) fn resync(&mut self) {
        let unnamed = self.told.iter().filter(|(_, told)| told.led).map(|(name, _)| name.clone()).collect();
        // Until the first Synced nothing can have been missed.
        let first = matches!(self.phase, Catching::Snapshot { first: true, .. });
        self.resume = 0;
        self.phase = Catching::Snapshot { unnamed, first };
    }

    /// Everything up to this revision was told; 0 before it is synced.
    pub(super) fn progress(&mut self, revision: u64) {
        if matches!(self.phase, Catching::Live) {
            self.resume = self.resume.max(revision);
        }
    }

    /// A change arrives. None: it was told before.
    pub(super) fn change(&mut self, mut change: ElectionChange) -> Option<ElectionChange> {
        let before = self.told.get(&change.election).map(|told| told.revision);
        let is_old = match &mut self.phase {
            Catching::Snapshot { unnamed, first } => {
                unnamed.remove(&change.election);
                change.missed_changes |= !*first;
                before == Some(change.revision)
            }
            Catching::CatchUp => change.revision <= before.unwrap_or(self.resume).max(self.resume),
            Catching::Live => {
                self.resume = self.resume.max(change.revision);
                false
            }
        };
        if is_old {
            return None;
        }
        let led = change.leader.is_some();
        if led || !matches!(self.phase, Catching::Live) {
            self.told.insert(change.election.clone(), Told { revision: change.revision, led });
        } else {
            self.told.remove(&change.election);
        }
        Some(change)
    }

    /// All has been named. The elections that were told as led and aren't any more, in the order of
    /// names.
    pub(super) fn synced(&mut self, revision: u64) -> Vec<ElectionChange> {
        let phase = std::mem::replace(&mut self.phase, Catching::Live);
        let gone = if let Catching::Snapshot { unnamed, .. } = phase { unnamed } else { BTreeSet::new() };
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
    fn observer() -> History {
        let mut history = History::default();
        assert_eq!(history.begin(), 0);
        assert_eq!(history.change(led("b", 11)), Some(led("b", 11)));
        assert_eq!(history.change(led("a", 10)), Some(led("a", 10)));
        assert_eq!(history.synced(12), []);
        history
    }

    #[test]
    fn after_a_resync_who_isnt_named_is_vacant() {
        let mut history = observer();
        history.resync();
        assert_eq!(history.change(led("a", 10)), None, "nothing new");
        let [gone] = &history.synced(20)[..] else { panic!("b alone is gone") };
        assert_eq!((gone.election.as_str(), gone.revision, &gone.leader, gone.missed_changes), ("b", 20, &None, true));
        history.resync();
        assert_eq!(history.synced(30).len(), 1, "a is gone as well, b is told once");
    }

    #[test]
    fn a_snapshot_that_breaks_begins_again_and_forgets_nobody() {
        let mut history = observer();
        history.resync();
        assert!(history.change(led("a", 25)).is_some_and(|change| change.missed_changes));
        assert_eq!(history.begin(), 0, "its middle is nothing to resume after");
        assert_eq!(history.change(led("a", 25)), None, "told before it broke");
        let gone: Vec<_> = history.synced(30).into_iter().map(|change| change.election).collect();
        assert_eq!(gone, ["b"]);
    }

    #[test]
    fn resumes_after_the_newest_change_that_was_told() {
        let mut history = observer();
        assert_eq!(history.begin(), 12);
        assert_eq!(history.synced(12), [], "a resumed stream names only what changed");
        assert!(history.change(vacant("a", 13)).is_some());
        assert_eq!(history.begin(), 13);
    }

    #[test]
    fn resumes_after_what_progress_says() {
        let mut history = observer();
        history.progress(20);
        assert_eq!(history.begin(), 20);
        history.progress(30);
        assert_eq!(history.begin(), 20, "not before it is synced again");
    }

    #[test]
    fn a_catch_up_that_breaks_doesnt_show_old_news_as_new() {
        let mut history = observer();
        assert_eq!(history.begin(), 12);
        assert!(history.change(vacant("a", 15)).is_some());
        assert_eq!(history.begin(), 12, "a change of b with 14 may not have been sent yet");
        assert_eq!(history.change(led("a", 13)), None, "older than the vacancy that was told");
        assert_eq!(history.change(vacant("a", 15)), None);
        assert!(history.change(vacant("b", 14)).is_some());
        assert_eq!(history.synced(15), []);
    }

    #[test]
    fn a_snapshot_of_lower_revisions_is_believed() {
        let mut history = observer();
        history.resync();
        assert!(history.change(led("a", 3)).is_some(), "the service knows what is true now");
    }
}
