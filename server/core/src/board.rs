//! The board: what observers read. It holds nothing for each of them: a reader brings a cursor and
//! takes what comes after it.
//!
//! The board keeps the last changes of all elections, and of each led election the newest one. So a
//! reader that reads often enough sees every change. A slow one sees the newest state of each
//! election, with the gap marked.

use crate::must::Must;
use crate::{Change, ElectionName, Revision, Tenure};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// At most so many changes of one election are shown to a reader that comes back late.
const MAX_CHAIN: usize = 64;
/// At most so many entries are looked at in one read.
const MAX_SCAN: usize = 4096;
/// The last changes are kept as long as they take no more bytes than this.
const MAX_RECENT_BYTES: usize = 16 << 20;
/// The bytes that a change takes beside its value.
const CHANGE_BYTES: usize = 512;

/// The changes of one tenure.
#[derive(Debug)]
pub struct Board {
    settled: bool,
    log: BTreeMap<Revision, Logged>,
    newest: BTreeMap<ElectionName, Revision>,
    recent: VecDeque<Revision>,
    recent_bytes: usize,
    history: usize,
    head: Revision,
    /// Where the tenure's numbers begin.
    start: Revision,
    /// Every change after this one is in the log.
    complete_after: Revision,
    /// Every election that changed after this is in the log.
    known_after: Revision,
}

#[derive(Clone, Debug)]
struct Logged {
    change: Arc<Change>,
    previous: Revision,
}

/// Which elections a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those whose names begin with this. Empty: all.
    Prefix(String),
    /// Exactly these.
    Named(BTreeSet<ElectionName>),
}

/// Where a reader stands.
#[derive(Clone, Debug)]
pub struct Cursor {
    at: Revision,
    /// Up to here it has seen every change.
    complete: Revision,
    phase: Phase,
    /// The named elections of which the reader was told that they are led.
    led: BTreeSet<ElectionName>,
    /// The named elections that may have changed since the reader looked, and whose changes were
    /// forgotten.
    unsure: BTreeSet<ElectionName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Has read nothing yet.
    Resume,
    /// Reads the newest state of each election. `since` is the board's newest revision at the first
    /// read: a vacancy up to there contradicts nothing that the reader has been shown.
    Snapshot { since: Option<Revision> },
    /// Reads changes, and hasn't been told yet that it is synced.
    CatchingUp,
    /// Reads changes, and was told that it is synced.
    Live,
}

/// A change as one reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The change.
    pub change: Arc<Change>,
    /// Changes of this election right before it were left out.
    pub missed: bool,
}

/// What one read gives, to be told in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What was known before is void: a snapshot follows.
    pub reset: bool,
    /// States or changes, in the order of revisions.
    pub changes: Vec<Seen>,
    /// Named elections that are vacant, without a change on the board that says so.
    pub vacant: Vec<ElectionName>,
    /// All that matches has been told, up to this revision.
    pub synced: Option<Revision>,
    /// There is more: read again at once.
    pub more: bool,
}

impl Selection {
    /// Whether an election is wanted.
    #[must_use]
    pub fn matches(&self, name: &ElectionName) -> bool {
        match self {
            Selection::Prefix(prefix) => name.as_str().starts_with(prefix.as_str()),
            Selection::Named(names) => names.contains(name),
        }
    }
}

impl Cursor {
    /// Begins with a snapshot.
    #[must_use]
    pub fn snapshot() -> Self {
        let phase = Phase::Snapshot { since: None };
        Self { phase, ..Self::after(Revision(0)) }
    }

    /// Up to this revision the reader was told everything, and can resume after it. 0 before it was
    /// synced.
    #[must_use]
    pub fn complete(&self) -> Revision {
        if self.phase == Phase::Live { self.complete } else { Revision(0) }
    }

    /// Resumes after a revision.
    #[must_use]
    pub fn after(revision: Revision) -> Self {
        let (led, unsure) = (BTreeSet::new(), BTreeSet::new());
        Self { at: revision, complete: revision, phase: Phase::Resume, led, unsure }
    }
}

fn bytes(change: &Change) -> usize {
    CHANGE_BYTES + change.leader.as_ref().map_or(0, |leader| leader.value.as_str().len())
}

impl Board {
    /// An empty board that keeps the last `history` changes, or fewer if their values are long.
    #[must_use]
    pub fn new(tenure: Tenure, history: usize) -> Self {
        Self::resuming(tenure, history, None)
    }

    /// A board whose readers can resume after the last change of the former tenure: all leaders of
    /// that tenure will be told as changes of this one.
    #[must_use]
    pub fn resuming(tenure: Tenure, history: usize, former: Option<Revision>) -> Self {
        let start = Revision(tenure.0);
        let known = former.unwrap_or(start).min(start);
        Self {
            settled: false,
            log: BTreeMap::new(),
            newest: BTreeMap::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
            history,
            head: start,
            start,
            complete_after: known,
            known_after: known,
        }
    }

    /// From now on absence means vacancy.
    pub fn settle(&mut self) {
        self.settled = true;
    }

    /// Adds a change. Revisions rise.
    pub fn apply(&mut self, change: Arc<Change>) {
        let revision = change.revision;
        assert!(revision > self.head, "revision {revision} after {}", self.head);
        self.head = revision;
        let previous = self.newest.insert(change.election.clone(), revision).unwrap_or_default();
        self.recent_bytes += bytes(&change);
        self.log.insert(revision, Logged { change, previous });
        self.recent.push_back(revision);
        // A change that has left the recent ones stays only as long as it is the newest of a led
        // election.
        if previous < self.oldest_recent() {
            self.log.remove(&previous);
        }
        while (self.recent.len() > self.history || self.recent_bytes > MAX_RECENT_BYTES)
            && let Some(oldest) = self.recent.pop_front()
        {
            self.forget(oldest);
        }
    }

    fn oldest_recent(&self) -> Revision {
        self.recent.front().copied().unwrap_or_default()
    }

    /// The oldest of the recent changes isn't one of them any more.
    fn forget(&mut self, oldest: Revision) {
        self.complete_after = oldest;
        let Some(entry) = self.log.get(&oldest).must() else { return };
        self.recent_bytes -= bytes(&entry.change);
        let newest = self.newest.get(&entry.change.election) == Some(&oldest);
        if newest && entry.change.leader.is_some() {
            return;
        }
        if newest {
            self.newest.remove(&entry.change.election);
            self.known_after = oldest;
        }
        self.log.remove(&oldest);
    }

    /// What a reader gets next: at most about `limit` changes. Moves the cursor.
    #[must_use]
    pub fn read(&self, selection: &Selection, cursor: &mut Cursor, limit: usize) -> Batch {
        let mut batch = Batch::default();
        let resumes = cursor.phase == Phase::Resume;
        let by_prefix = matches!(selection, Selection::Prefix(_));
        // A vacancy is forgotten once it has left the recent changes. If one after the reader's
        // position is forgotten, the reader may take an election for led that is vacant, whether
        // this stream or one before it has told it so. A reader by prefix can't be told which
        // election that is: it begins anew. A reader by names is told below, election by election.
        let lost = match cursor.phase {
            Phase::Resume => !self.continues(cursor.at),
            Phase::Snapshot { since } => by_prefix && since.is_some_and(|since| since < self.known_after),
            Phase::CatchingUp | Phase::Live => by_prefix && cursor.at < self.known_after,
        };
        if lost {
            batch.reset = true;
            *cursor = Cursor::snapshot();
        } else if resumes {
            cursor.phase = Phase::CatchingUp;
            if let Selection::Named(names) = selection {
                // The reader may take any of them for led. If such an election is vacant and
                // forgotten by a later read, that read tells that it is vacant.
                cursor.led = names.iter().filter(|name| self.newest.contains_key(*name)).cloned().collect();
            }
        }
        if let Phase::Snapshot { since: since @ None } = &mut cursor.phase {
            *since = Some(self.head);
        }
        match selection {
            Selection::Prefix(prefix) => self.scan(prefix, cursor, limit, &mut batch),
            Selection::Named(names) => self.walk(names, cursor, limit, &mut batch),
        }
        if !batch.more && self.settled && cursor.phase != Phase::Live {
            cursor.phase = Phase::Live;
            batch.synced = Some(self.head);
        }
        batch
    }

    /// Whether a reader that has seen everything up to this revision can go on. The former tenure
    /// told of nothing between its last change and the beginning of this tenure. A reader that
    /// names a revision from there has seen numbers of a tenure before numbers fell, as after a
    /// restore.
    fn continues(&self, after: Revision) -> bool {
        let between = self.known_after < after && after < self.start;
        self.known_after <= after && after <= self.head && !between
    }

    fn scan(&self, prefix: &str, cursor: &mut Cursor, limit: usize, batch: &mut Batch) {
        let complete = cursor.complete;
        let after = (std::ops::Bound::Excluded(cursor.at), std::ops::Bound::Unbounded);
        for (scanned, (revision, entry)) in self.log.range(after).enumerate() {
            if batch.changes.len() == limit || scanned == MAX_SCAN {
                batch.more = true;
                break;
            }
            cursor.at = *revision;
            if entry.change.election.as_str().starts_with(prefix) && self.shown(cursor, entry) {
                batch.changes.push(self.seen(entry, complete, cursor));
            }
        }
        self.finish(cursor, batch);
    }

    fn walk(&self, names: &BTreeSet<ElectionName>, cursor: &mut Cursor, limit: usize, batch: &mut Batch) {
        let complete = cursor.complete;
        let mut entries: BTreeMap<Revision, &Logged> = BTreeMap::new();
        for name in names {
            let mut next = self.newest.get(name).copied().unwrap_or_default();
            let mut count = 0;
            while next > cursor.at
                && count < MAX_CHAIN
                && let Some(entry) = self.log.get(&next)
            {
                entries.insert(next, entry);
                if self.reads_states(cursor) {
                    break;
                }
                next = entry.previous;
                count += 1;
            }
        }
        for (revision, entry) in entries {
            if batch.changes.len() == limit {
                batch.more = true;
                break;
            }
            cursor.at = revision;
            let mut seen = self.seen(entry, complete, cursor);
            // A chain of changes that was cut short begins with a gap.
            let told = batch.changes.iter().any(|earlier| earlier.change.revision == entry.previous);
            let cut = entry.previous > complete && !told;
            let unsure = cursor.unsure.remove(&entry.change.election);
            seen.missed |= (cut || unsure) && !self.reads_states(cursor);
            if entry.change.leader.is_some() {
                cursor.led.insert(entry.change.election.clone());
            } else {
                cursor.led.remove(&entry.change.election);
            }
            batch.changes.push(seen);
        }
        self.finish(cursor, batch);
        if batch.more || !self.settled {
            return;
        }
        // A reader that resumes already knows of every vacancy that is older than its position.
        let first = self.reads_states(cursor);
        for name in names.iter().filter(|name| !self.newest.contains_key(*name)) {
            if cursor.led.remove(name) || first {
                batch.vacant.push(name.clone());
            }
            if self.known_after > complete && !self.reads_states(cursor) {
                cursor.unsure.insert(name.clone());
            }
        }
    }

    fn reads_states(&self, cursor: &Cursor) -> bool {
        matches!(cursor.phase, Phase::Snapshot { .. })
    }

    /// Whether a change is shown. A snapshot shows newest states only, and of the vacancies only
    /// those that may contradict what it has shown before.
    fn shown(&self, cursor: &Cursor, entry: &Logged) -> bool {
        let Phase::Snapshot { since } = cursor.phase else { return true };
        let newest = self.newest.get(&entry.change.election) == Some(&entry.change.revision);
        newest && (entry.change.leader.is_some() || Some(entry.change.revision) > since || since.is_none())
    }

    fn seen(&self, entry: &Logged, complete: Revision, cursor: &Cursor) -> Seen {
        // The election's change before this one may have been a vacancy that is forgotten.
        let forgotten = entry.previous == Revision(0) && self.known_after > complete;
        let gap = forgotten || (entry.previous > complete && !self.log.contains_key(&entry.previous));
        Seen { change: Arc::clone(&entry.change), missed: gap && !self.reads_states(cursor) }
    }

    /// Moves the mark up to which the reader has seen everything.
    fn finish(&self, cursor: &mut Cursor, batch: &Batch) {
        if !batch.more {
            cursor.at = cursor.at.max(self.head);
            cursor.complete = cursor.at;
        } else if cursor.complete >= self.complete_after || self.reads_states(cursor) {
            cursor.complete = cursor.at;
        }
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
