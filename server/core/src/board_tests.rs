//! Tests of the board: a fast reader sees everything, a slow one the truth.

use super::*;
use crate::{CandidateName, ChangeReason, EndReason, FencingToken, Leader, Value};
use proptest::prelude::*;

fn name(number: usize) -> ElectionName {
    ElectionName::new(&format!("e{number}")).unwrap()
}

fn change(election: usize, revision: u64, led: bool) -> Arc<Change> {
    let leader = led.then(|| Leader {
        candidate: CandidateName::new("c").unwrap(),
        token: FencingToken(revision),
        value: Value::new("").unwrap(),
        draining: false,
        leased: true,
    });
    let reason = if led { ChangeReason::Elected } else { ChangeReason::Ended(EndReason::Resigned) };
    Arc::new(Change { election: name(election), revision: Revision(revision), leader, reason, held_until: None })
}

fn all() -> Selection {
    Selection::Prefix(String::new())
}

fn revisions(batch: &Batch) -> Vec<u64> {
    batch.changes.iter().map(|seen| seen.change.revision.0).collect()
}

fn board(changes: &[(usize, u64, bool)], history: usize) -> Board {
    let mut board = Board::new(Tenure(10), history);
    board.settle();
    for &(election, revision, led) in changes {
        board.apply(change(election, revision, led));
    }
    board
}

#[test]
fn a_snapshot_names_leaders_then_syncs_then_every_change_follows() {
    let mut board = board(&[(1, 11, true), (2, 12, true), (1, 13, false), (3, 14, true)], 100);
    let mut cursor = Cursor::snapshot();
    let batch = board.read(&all(), &mut cursor, 10);
    assert_eq!(revisions(&batch), [12, 14]);
    assert_eq!(batch.synced, Some(Revision(14)));
    board.apply(change(2, 15, false));
    board.apply(change(2, 16, true));
    let batch = board.read(&all(), &mut cursor, 10);
    assert_eq!(revisions(&batch), [15, 16]);
    assert_eq!(batch.synced, None);
}

#[test]
fn changes_with_long_values_are_fewer() {
    let long = |revision: u64| {
        let mut change = Change::clone(&change(1, revision, true));
        let leader = change.leader.as_mut().unwrap();
        leader.value = Value::new(&"v".repeat(4096)).unwrap();
        Arc::new(change)
    };
    let mut board = board(&[], 16_384);
    for revision in 11..20_000 {
        board.apply(long(revision));
        assert!(board.recent_bytes <= MAX_RECENT_BYTES && board.log.len() == board.recent.len());
    }
    assert_eq!(board.recent.len(), MAX_RECENT_BYTES / (CHANGE_BYTES + 4096));
    // Short ones push them out, and then as many are kept as may be.
    for revision in 20_000..40_000 {
        board.apply(change(1, revision, true));
    }
    assert_eq!((board.recent.len(), board.recent_bytes), (16_384, 16_384 * CHANGE_BYTES));
    let mut cursor = Cursor::after(Revision(39_990));
    assert_eq!(board.read(&all(), &mut cursor, 100).changes.len(), 9);
}

#[test]
fn absence_says_nothing_before_the_tenure_has_settled() {
    let mut board = Board::new(Tenure(10), 100);
    let mut cursor = Cursor::snapshot();
    let named = Selection::Named(BTreeSet::from([name(1), name(2)]));
    assert_eq!(board.read(&named, &mut cursor, 10), Batch::default());
    board.apply(change(1, 11, true));
    board.settle();
    let batch = board.read(&named, &mut cursor, 10);
    assert_eq!(revisions(&batch), [11]);
    assert_eq!(batch.vacant, [name(2)]);
    assert_eq!(batch.synced, Some(Revision(11)));
}

#[test]
fn a_named_vacancy_is_part_of_the_snapshot() {
    let board = board(&[(1, 11, true), (1, 12, false)], 100);
    let named = Selection::Named(BTreeSet::from([name(1)]));
    assert_eq!(revisions(&board.read(&named, &mut Cursor::snapshot(), 10)), [12]);
}

/// What comes before Synced is what is, not what was: the vacancy between two leaders may be left
/// out without a mark, also where the first of them was shown.
#[test]
fn a_snapshot_shows_states_and_not_changes() {
    for selection in [all(), Selection::Named(BTreeSet::from([name(1), name(2)]))] {
        let mut board = board(&[(1, 11, true), (2, 12, true)], 100);
        let mut cursor = Cursor::snapshot();
        let batch = board.read(&selection, &mut cursor, 1);
        assert_eq!((revisions(&batch), batch.more, batch.synced), (vec![11], true, None));
        board.apply(change(1, 13, false));
        board.apply(change(1, 14, true));
        let batch = board.read(&selection, &mut cursor, 10);
        assert_eq!((revisions(&batch), batch.synced), (vec![12, 14], Some(Revision(14))), "{selection:?}");
        assert!(batch.changes.iter().all(|seen| !seen.missed), "{selection:?}: {batch:?}");
        // From Synced on every change is shown.
        board.apply(change(1, 15, false));
        board.apply(change(1, 16, true));
        assert_eq!(revisions(&board.read(&selection, &mut cursor, 10)), [15, 16]);
    }
}

#[test]
fn resuming_gives_what_came_between() {
    let board = board(&[(1, 11, true), (2, 12, true), (1, 13, false)], 100);
    let mut cursor = Cursor::after(Revision(11));
    let batch = board.read(&all(), &mut cursor, 10);
    assert!(!batch.reset);
    assert_eq!(revisions(&batch), [12, 13]);
    assert_eq!(batch.synced, Some(Revision(13)));
}

/// Numbers can fall after a restore, and rise again beyond those that a reader has seen before: it
/// must not be taken for one that has seen everything.
#[test]
fn only_whoever_has_seen_the_last_change_of_the_former_tenure_goes_on_in_this_one() {
    let mut board = Board::resuming(Tenure(100), 100, Some(Revision(15)));
    board.settle();
    board.apply(change(1, 101, true));
    for (after, resets) in [(14, true), (15, false), (16, true), (99, true), (100, false), (101, false), (102, true)] {
        let batch = board.read(&all(), &mut Cursor::after(Revision(after)), 10);
        assert_eq!(batch.reset, resets, "after {after}");
    }
}

#[test]
fn resuming_from_another_tenure_or_the_future_resets() {
    let board = board(&[(1, 11, true)], 100);
    for after in [3, 99] {
        let batch = board.read(&all(), &mut Cursor::after(Revision(after)), 10);
        assert!(batch.reset);
        assert_eq!(revisions(&batch), [11]);
    }
}

#[test]
fn a_slow_reader_gets_the_newest_states_with_the_gap_marked() {
    let mut board = board(&[(1, 11, true), (2, 12, true)], 3);
    let mut cursor = Cursor::snapshot();
    let _ = board.read(&all(), &mut cursor, 10);
    for revision in 13..20 {
        board.apply(change(1, revision, revision % 2 == 0));
    }
    board.apply(change(2, 20, true));
    for selection in [all(), Selection::Named(BTreeSet::from([name(1)]))] {
        let batch = board.read(&selection, &mut cursor.clone(), 10);
        assert_eq!(batch.changes[0].change.revision, Revision(18));
        assert!(batch.changes[0].missed, "{selection:?}");
        assert!(!batch.changes[1].missed, "{selection:?}");
    }
}

#[test]
fn a_forgotten_vacancy_resets_whoever_may_have_missed_it() {
    let mut board = board(&[(1, 11, true)], 2);
    let mut everything = Cursor::snapshot();
    let mut one = Cursor::snapshot();
    let named = Selection::Named(BTreeSet::from([name(1)]));
    let _ = board.read(&all(), &mut everything, 10);
    let _ = board.read(&named, &mut one, 10);
    board.apply(change(1, 12, false));
    for revision in 13..16 {
        board.apply(change(2, revision, true));
    }
    let batch = board.read(&all(), &mut everything, 10);
    assert!(batch.reset && batch.synced.is_some());
    assert_eq!(revisions(&batch), [15]);
    let batch = board.read(&named, &mut one, 10);
    assert!(!batch.reset);
    assert_eq!(batch.vacant, [name(1)]);
}

/// One reader, what it believes, and what it was shown.
struct Reader {
    cursor: Cursor,
    picture: BTreeMap<ElectionName, Revision>,
    told: BTreeSet<Revision>,
    missed: BTreeSet<Revision>,
    /// Up to here a snapshot may stand for all that came before.
    excused: Revision,
    highest: Revision,
    synced: bool,
}

impl Reader {
    /// Takes one batch, and says whether there is more.
    fn read(&mut self, board: &Board, selection: &Selection, limit: usize) -> bool {
        let batch = board.read(selection, &mut self.cursor, limit);
        if batch.reset {
            self.picture.clear();
            self.synced = false;
        }
        for seen in &batch.changes {
            let (revision, election) = (seen.change.revision, seen.change.election.clone());
            self.told.insert(revision);
            self.highest = self.highest.max(revision);
            if seen.missed {
                self.missed.insert(revision);
            }
            if !self.synced {
                self.excused = self.excused.max(revision);
            }
            if seen.change.leader.is_some() {
                self.picture.insert(election, revision);
            } else {
                self.picture.remove(&election);
            }
        }
        for election in &batch.vacant {
            self.picture.remove(election);
        }
        if let Some(at) = batch.synced {
            self.synced = true;
            self.excused = self.excused.max(at);
        }
        batch.more
    }

    /// Its stream broke. One that was synced resumes after what it saw last.
    fn reconnect(&mut self) {
        if self.synced {
            self.cursor = Cursor::after(self.highest);
        } else {
            self.cursor = Cursor::snapshot();
            self.picture.clear();
        }
        self.synced = false;
    }
}

proptest! {
    /// Whatever the pace, a reader's picture ends up true; and whatever it wasn't shown is marked.
    #[test]
    fn every_reader_ends_up_with_the_truth(
        changes in prop::collection::vec((0..4_usize, 0..3_usize, 0..12_usize), 1..120),
        history in 1..12_usize,
        limit in 1..5_usize,
        named in any::<bool>(),
        settles_at in 0..60_usize,
    ) {
        let selection = if named { Selection::Named(BTreeSet::from([name(0), name(1)])) } else { all() };
        let mut board = Board::new(Tenure(10), history);
        let mut reader = Reader {
            cursor: Cursor::snapshot(),
            picture: BTreeMap::new(),
            told: BTreeSet::new(),
            missed: BTreeSet::new(),
            excused: Revision(0),
            highest: Revision(0),
            synced: false,
        };
        let mut truth: BTreeMap<ElectionName, Revision> = BTreeMap::new();
        let mut chain: BTreeMap<ElectionName, Vec<Revision>> = BTreeMap::new();
        for (index, (election, reads, reconnects)) in changes.iter().enumerate() {
            if index == settles_at {
                board.settle();
            }
            let revision = 11 + index as u64;
            // As in an election: a vacancy comes after a leader only.
            let led = truth.remove(&name(*election)).is_none();
            if led {
                truth.insert(name(*election), Revision(revision));
            }
            board.apply(change(*election, revision, led));
            chain.entry(name(*election)).or_default().push(Revision(revision));
            if *reconnects == 0 {
                reader.reconnect();
            }
            for _ in 0..*reads {
                reader.read(&board, &selection, limit);
            }
        }
        board.settle();
        while reader.read(&board, &selection, limit) || !reader.synced {}
        truth.retain(|election, _| selection.matches(election));
        prop_assert_eq!(&reader.picture, &truth);
        for revisions in chain.values() {
            for pair in revisions.windows(2) {
                let left_out = reader.told.contains(&pair[1]) && !reader.told.contains(&pair[0]);
                if left_out && pair[0] > reader.excused {
                    prop_assert!(reader.missed.contains(&pair[1]), "{} was left out silently", pair[0]);
                }
            }
        }
    }
}
