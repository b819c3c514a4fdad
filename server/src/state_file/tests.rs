//! Tests of the embedded store.

use super::format::{decode, encode};
use super::*;
use crate::candidacy::tests::{any_carried, parts as candidacy};
use leasehold_core::{
    Carried, Ceiling, ElectionName, Enrolment, Handover, Held, LONGEST, Millis, RecordParts, Revision, Tenure, Ticket,
    TicketParts,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

fn record() -> Record {
    with(|_| {})
}

fn with(change: impl FnOnce(&mut RecordParts)) -> Record {
    let mut parts = RecordParts {
        tenure: Tenure(1_000_000),
        ceiling: Ceiling(2_048_576),
        duration: Millis(3000),
        margin: Millis(300),
        renewed_at: Millis(4000),
        ended_at: None,
        longest_ttl: Millis(15_000),
        last_change: None,
        handover: None,
        last_revision: None,
    };
    change(&mut parts);
    Record::from_parts(parts).unwrap()
}

/// As if the tenure had begun after everything here: nothing is known then of its end.
fn later() -> Time {
    Time(1 << 50)
}

#[test]
fn a_free_lock_bounds_how_long_the_last_tenure_lasted() {
    let (_temp, dir) = dir();
    let first = open(&dir);
    let began = clock::now();
    let renewed = with(|record| record.renewed_at = Millis(100));
    first.write(&renewed, began + Millis(100)).unwrap();
    assert_eq!(ended_at(&first), None, "it is this process's own");
    drop(first);
    std::thread::sleep(Duration::from_millis(20));
    let ended = ended_at(&open(&dir)).unwrap();
    assert!(ended >= Millis(20) && ended <= clock::now().since(began), "{ended}");

    let orderly = renewed.bounded(Some(Millis(5)));
    open(&dir).write(&orderly, began + Millis(100)).unwrap();
    assert_eq!(ended_at(&open(&dir)), Some(Millis(5)), "it said so itself");
}

fn handover(candidacies: Vec<Carried>) -> Option<Handover> {
    Some(Handover { candidacies, holds: Vec::new() })
}

fn ended_at(file: &StateFile) -> Option<Millis> {
    match file.read().unwrap() {
        Found::Record(record) => record.ended_at,
        other => panic!("{other:?}"),
    }
}

/// As on a full disk: what is in the way of the next write.
fn fill(dir: &Path) {
    fs::create_dir(dir.join("state.json.new")).unwrap();
}

#[test]
fn a_tenure_that_went_on_without_a_record_did_not_end_with_it() {
    let (_temp, dir) = dir();
    let began = clock::now();
    let first = open(&dir);
    assert!(first.go_on_without(&record()).is_err(), "nothing of this tenure is stored");
    first.write(&record(), began + record().renewed_at).unwrap();
    assert!(dir.join("steady").exists());
    fill(&dir);
    let renewed = with(|record| record.renewed_at = Millis(5000));
    assert!(first.write(&renewed, began + Millis(5000)).is_err());
    assert!(first.go_on_without(&record().bounded(Some(Millis(1)))).is_err(), "that one doesn't go on");
    assert!(dir.join("steady").exists());
    for _ in 0..2 {
        first.go_on_without(&renewed).unwrap();
        assert!(!dir.join("steady").exists());
    }
    drop(first);
    fs::remove_dir(dir.join("state.json.new")).unwrap();

    // By the record its right ended 6.7 s after it began, however long the process lived; by the
    // clock it is gone since now.
    let mut next = open(&dir);
    next.locked_at = began + Millis(60_000);
    assert_eq!(ended_at(&next), Some(Millis(60_000)));
    // On another start of the machine nobody knows.
    next.boot = Some("another".to_owned());
    assert_eq!(ended_at(&next), Some(LONGEST));
    next.boot = None;
    assert_eq!(ended_at(&next), Some(LONGEST));
}

#[test]
fn a_record_that_is_renewed_again_bounds_its_tenure_again() {
    let (_temp, dir) = dir();
    let file = open(&dir);
    file.write(&record(), later()).unwrap();
    file.go_on_without(&record()).unwrap();
    file.write(&record(), later()).unwrap();
    assert!(dir.join("steady").exists());
    drop(file);
    let mut next = open(&dir);
    next.boot = Some("another".to_owned());
    assert_eq!(ended_at(&next), None, "its right says when it ended");
    // One from before there was such a mark: nobody knows.
    drop(next);
    fs::remove_file(dir.join("steady")).unwrap();
    let mut next = open(&dir);
    next.boot = Some("another".to_owned());
    assert_eq!(ended_at(&next), Some(LONGEST));
}

/// In a folder that it may no longer write to, it says so in the lock, which it has open.
#[test]
fn a_tenure_can_go_on_in_a_folder_that_cannot_be_written() {
    let (_temp, dir) = dir();
    let began = clock::now();
    let first = open(&dir);
    first.write(&record(), began + record().renewed_at).unwrap();
    // Root may write anywhere, so the mark is made such that nobody can remove it as a file.
    fs::remove_file(dir.join("steady")).unwrap();
    fs::create_dir_all(dir.join("steady/in-the-way")).unwrap();
    first.go_on_without(&record()).unwrap();
    let text = fs::read_to_string(dir.join("lock")).unwrap();
    assert_eq!(text, format!("{:<10}!", std::process::id()));
    let error = StateFile::open(&dir).unwrap_err().to_string();
    assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
    drop(first);

    // A process that ends before its first record leaves that as it was.
    for _ in 0..2 {
        let mut next = open(&dir);
        next.boot = Some("another".to_owned());
        assert_eq!(ended_at(&next), Some(LONGEST));
    }
    fs::remove_dir_all(dir.join("steady")).unwrap();
    let next = open(&dir);
    next.write(&with(|record| record.tenure = Tenure(1_000_001)), later()).unwrap();
    drop(next);
    let mut last = open(&dir);
    last.boot = Some("another".to_owned());
    assert_eq!(ended_at(&last), None);
}

/// Whoever has an older record put back under it writes its own again; one that finds a later
/// tenure has been overtaken, whatever the lock says.
#[test]
fn of_two_servers_in_one_directory_the_later_one_goes_on() {
    let (_temp, dir) = dir();
    let first = open(&dir);
    first.write(&record(), later()).unwrap();
    let written = |tenure: u64| {
        let record = with(|record| record.tenure = Tenure(tenure));
        fs::write(dir.join("state.json"), encode(first.keys(), false, Some(&record), None)).unwrap();
    };
    written(900_000);
    first.write(&record(), later()).unwrap();
    assert_eq!(first.read().unwrap(), Found::Record(record()));
    written(1_000_001);
    let error = first.write(&record(), later()).unwrap_err();
    assert!(error.is_lost() && error.to_string().contains("was written by another leasehold-server"), "{error}");
    assert!(first.go_on_without(&record()).unwrap_err().is_lost());
    // For good: the two would take it from each other again and again.
    assert!(first.read().unwrap_err().is_lost());
    let claim = with(|record| record.tenure = Tenure(2_000_000));
    assert!(first.write(&claim, later()).unwrap_err().is_lost());
}

fn carried(number: u64) -> Carried {
    let ticket = TicketParts {
        election: ElectionName::new(&format!("billing/report-{number}")).unwrap(),
        enrolment: Enrolment(number),
        place: Enrolment(number),
        ..candidacy()
    };
    Carried { ticket: Ticket::from_parts(ticket).unwrap(), drains_until: Some(Millis(number)), attempt: None }
}

fn dir() -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state/leasehold");
    (temp, dir)
}

fn open(dir: &Path) -> StateFile {
    StateFile::open(dir).unwrap()
}

#[test]
fn a_new_directory_is_fresh_until_its_first_record() {
    let (_temp, dir) = dir();
    let keys = open(&dir).keys().clone();
    let again = open(&dir);
    assert_eq!(again.read().unwrap(), Found::Fresh);
    assert_eq!(*again.keys(), keys);
    again.write(&record(), later()).unwrap();
    assert_eq!(again.read().unwrap(), Found::Record(record()));
    drop(again);

    let last = open(&dir);
    assert_eq!(last.read().unwrap(), Found::Record(record()));
    assert_eq!(*last.keys(), keys);
    let next = with(|record| (record.tenure, record.ceiling) = (Tenure(2_048_576), Ceiling(3_097_152)))
        .bounded(Some(Millis(9000)));
    last.write(&next, later()).unwrap();
    assert_eq!(last.read().unwrap(), Found::Record(next));
}

#[test]
fn a_process_that_died_before_it_had_keys_leaves_a_fresh_directory() {
    let (_temp, dir) = dir();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("lock"), "").unwrap();
    fs::write(dir.join("state.json.new"), "{\"format\":2").unwrap();
    assert_eq!(open(&dir).read().unwrap(), Found::Fresh);
    assert!(!dir.join("state.json.new").exists());
}

#[test]
fn a_removed_state_is_lost_until_the_next_record() {
    let (_temp, dir) = dir();
    let keys = open(&dir).keys().clone();
    fs::remove_file(dir.join("state.json")).unwrap();
    let after = open(&dir);
    assert_ne!(*after.keys(), keys);
    assert_eq!(after.read().unwrap(), Found::Lost);
    drop(after);

    let again = open(&dir); // the process died before it stored a record
    assert_eq!(again.read().unwrap(), Found::Lost);
    again.write(&record(), later()).unwrap();
    assert_eq!(again.read().unwrap(), Found::Record(record()));
    fs::remove_file(dir.join("state.json")).unwrap(); // while it runs
    assert_eq!(again.read().unwrap(), Found::Lost);
    again.write(&record(), later()).unwrap();
    drop(again);
    assert_eq!(open(&dir).read().unwrap(), Found::Record(record()));
}

#[test]
fn a_second_process_is_told_which_one_is_first() {
    let (_temp, dir) = dir();
    let first = open(&dir);
    let error = StateFile::open(&dir).unwrap_err().to_string();
    let expected = format!(
        "another leasehold-server (process {}) uses {}: stop it, or give this one a directory of its own with --data-dir",
        std::process::id(),
        dir.display()
    );
    assert_eq!(error, expected);
    first.write(&record(), later()).unwrap();
    drop(first);
    assert_eq!(open(&dir).read().unwrap(), Found::Record(record()));
}

#[test]
fn only_the_owner_can_read_the_keys() {
    let (_temp, dir) = dir();
    let _open = open(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("state.json")), 0o600);
    assert_eq!(mode(&dir.join("lock")), 0o600);
}

#[test]
fn a_damaged_file_is_refused_with_advice_and_left_as_it_is() {
    let (_temp, dir) = dir();
    open(&dir).write(&record(), later()).unwrap();
    let path = dir.join("state.json");
    let good = fs::read_to_string(&path).unwrap();
    for (bad, says) in [
        (String::new(), "it is empty"),
        (good[..good.len() / 2].to_owned(), "EOF while parsing"),
        (good.replace("\"tenure\":1000000", "\"tenure\":1000001"), "its sha256 doesn't match"),
        (format!("{good}{good}"), "trailing characters"),
        ("not json".to_owned(), "expected"),
    ] {
        assert_ne!(bad, good);
        fs::write(&path, &bad).unwrap();
        let error = StateFile::open(&dir).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} can't be read as state: ", path.display())), "{error}");
        assert!(error.contains(says), "{error}");
        let advice = format!("restore it from a backup, or, if no worker is running, delete {} to", dir.display());
        assert!(error.contains(&advice), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
    fs::write(&path, good).unwrap();
    assert_eq!(open(&dir).read().unwrap(), Found::Record(record()));
}

#[test]
fn another_format_is_refused_and_left_as_it_is() {
    let (_temp, dir) = dir();
    open(&dir).write(&record(), later()).unwrap();
    let path = dir.join("state.json");
    let good = fs::read_to_string(&path).unwrap();
    for (begins, says, more) in [
        (
            r#""format":3"#,
            "has the format 3, and this leasehold-server",
            "the version that wrote it, or a later one, or, if",
        ),
        (
            r#""version":1"#,
            "has the format 1, and this leasehold-server",
            "start the version that wrote it, or, if no worker",
        ),
    ] {
        let other = good.replace(r#""format":2"#, begins);
        fs::write(&path, &other).unwrap();
        for _ in 0..2 {
            let error = StateFile::open(&dir).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(more), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
    }
}

/// A lock can fail, and a later version start in the same directory: what it has stored isn't
/// replaced.
#[test]
fn a_server_of_another_version_in_the_same_directory_goes_on() {
    let (_temp, dir) = dir();
    let file = open(&dir);
    file.write(&record(), later()).unwrap();
    let path = dir.join("state.json");
    let other = fs::read_to_string(&path).unwrap().replace(r#""format":2"#, r#""format":3"#);
    fs::write(&path, &other).unwrap();
    assert!(file.write(&record(), later()).unwrap_err().is_lost());
    assert!(file.go_on_without(&record()).unwrap_err().is_lost());
    assert_eq!(fs::read_to_string(&path).unwrap(), other);
}

#[test]
fn no_cut_of_a_state_can_be_read() {
    let record = with(|record| record.handover = handover(vec![carried(6)]));
    let text = encode(&Keys::generate(), false, Some(&record), None);
    for length in 0..text.len() - 1 {
        assert!(decode(&text[..length]).is_err(), "{length} bytes");
    }
    assert!(decode(&text[..text.len() - 1]).is_ok(), "the last newline is for people");
}

/// What is lawful the core says, and tests. Found by fuzzing: the core took what isn't, and the
/// server ended, at each start anew.
#[test]
fn what_is_unlawful_is_refused_in_the_file_as_well() {
    let text = String::from_utf8(encode(&Keys::generate(), false, Some(&record()), None)).unwrap();
    let state = |from: &str, to: &str| {
        let (_, state) = text.split_once(r#""state":"#).unwrap();
        let state = state.trim_end().strip_suffix('}').unwrap().replace(from, to);
        let sum = format::sum(state.as_bytes());
        format!(r#"{{"format":{},"sha256":"{sum}","state":{state}}}"#, format::FORMAT).into_bytes()
    };
    assert_eq!(decode(&state("", "")).unwrap().record, Some(record()));
    let candidacy = |message: Vec<u8>| {
        let message = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, message);
        (r#""handover":null"#, format!(r#""handover":{{"candidacies":["{message}"],"holds":[]}}"#))
    };
    for ((from, to), says) in [
        (
            (r#""ceiling":2048576"#, r#""ceiling":1000000"#.to_owned()),
            "tenure is 1000000; it must lie between 1 and 999999",
        ),
        ((r#""margin-ms":300"#, r#""margin-ms":3001"#.to_owned()), "margin is 3001; it must lie between 0 and 3000"),
        ((r#""margin-ms":300,"#, String::new()), "the record has no margin-ms"),
        (candidacy(vec![0x0a, 0x02, b'e']), "failed to decode Protobuf message"),
        (candidacy(vec![0x0a, 0x01, b'e']), "the candidate name is empty"),
    ] {
        let error = decode(&state(from, &to)).unwrap_err();
        let Undecodable::Damaged(why) = error else { panic!("{error:?}") };
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn what_the_system_refuses_is_said_with_advice() {
    let (temp, dir) = dir();
    fs::write(temp.path().join("state"), "a file").unwrap();
    let error = StateFile::open(&dir).unwrap_err().to_string();
    assert!(error.starts_with(&format!("can't make the directory {}: ", dir.display())), "{error}");
    assert!(error.ends_with("; choose another --data-dir"), "{error}");
    for (kind, says) in [
        (ErrorKind::PermissionDenied, "make it belong to the user who runs this server"),
        (ErrorKind::StorageFull, "make room there"),
        (ErrorKind::ReadOnlyFilesystem, "choose another --data-dir"),
    ] {
        let error = failed("write", Path::new("/data/state.json.new"))(kind.into()).to_string();
        assert!(error.starts_with("can't write /data/state.json.new: ") && error.contains(says), "{error}");
    }
}

#[test]
fn a_write_that_fails_leaves_the_former_record() {
    let (_temp, dir) = dir();
    let file = open(&dir);
    file.write(&record(), later()).unwrap();
    fs::create_dir(dir.join("state.json.new")).unwrap(); // in the way of the next write
    let error = file.write(&with(|record| record.ceiling = Ceiling(9_000_000)), later()).unwrap_err().to_string();
    assert!(error.starts_with("can't remove "), "{error}");
    assert_eq!(file.read().unwrap(), Found::Record(record()));
}

#[test]
fn a_server_whose_directory_was_removed_writes_nothing_into_the_next_one() {
    let (_temp, dir) = dir();
    let old = open(&dir);
    old.write(&record(), later()).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    assert!(matches!(old.write(&record(), later()), Err(StateFileError::LockGone { .. })));

    let new = open(&dir);
    assert_eq!(new.read().unwrap(), Found::Fresh);
    let error = old.write(&record(), later()).unwrap_err().to_string();
    assert!(error.contains("/lock was removed or replaced while this server runs"), "{error}");
    assert!(old.read().unwrap_err().is_lost() && old.go_on_without(&record()).unwrap_err().is_lost());
    assert_eq!(new.read().unwrap(), Found::Fresh);
}

#[test]
#[allow(clippy::disallowed_methods)] // how long the disk takes is no matter of suspended machines
fn a_handover_of_a_hundred_thousand_is_stored_within_seconds() {
    let (_temp, dir) = dir();
    let record = with(|record| record.handover = handover((1..=100_000).map(carried).collect()));
    let file = open(&dir);
    let began = std::time::Instant::now();
    file.write(&record, later()).unwrap();
    let written = began.elapsed();
    let found = file.read().unwrap();
    let bytes = fs::metadata(dir.join("state.json")).unwrap().len();
    println!("{bytes} bytes: written in {written:?}, read in {:?}", began.elapsed() - written);
    assert!(found == Found::Record(record), "another record came back");
    assert!(written < Duration::from_secs(20), "{written:?}"); // without optimisation, on a busy machine
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        mut handover in prop::option::of(prop::collection::vec(any_carried(record().ceiling.0), 0..4)),
        holds in prop::collection::vec((0..9_u64, 0..=LONGEST.0), 0..4),
        last_revision in prop::option::of(1..record().ceiling.0),
        ended_at in prop::option::of(0..=LONGEST.0),
        renewed_at in 0..=LONGEST.0,
        lost in any::<bool>(),
    ) {
        let mut enrolments = BTreeSet::new();
        handover.iter_mut().for_each(|all| all.retain(|carried| enrolments.insert(carried.ticket.enrolment)));
        let held = |(number, until)| Held {
            election: ElectionName::new(&format!("tick/{number}")).unwrap(),
            until: Millis(until),
        };
        let holds = holds.into_iter().map(held).collect();
        let record = with(|record| {
            record.handover = handover.map(|candidacies| Handover { candidacies, holds });
            record.last_revision = last_revision.map(Revision);
            record.ended_at = ended_at.map(Millis);
            record.renewed_at = Millis(renewed_at);
        });
        let keys = Keys::generate();
        let state = decode(&encode(&keys, lost, Some(&record), None));
        prop_assert_eq!(state, Ok(State { keys, lost, record: Some(record), began: None }));
    }

    #[test]
    fn other_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_others_could_read_is_closed() {
    let (_temp, dir) = dir();
    drop(open(&dir));
    for (folder, file) in [(0o777, 0o644), (0o750, 0o640), (0o705, 0o604)] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(folder)).unwrap();
        fs::set_permissions(dir.join("state.json"), fs::Permissions::from_mode(file)).unwrap();
        drop(open(&dir));
        assert_eq!((mode(&dir), mode(&dir.join("state.json"))), (0o700, 0o600), "{folder:o} {file:o}");
    }
}

#[test]
fn a_lock_that_leads_elsewhere_is_refused_and_what_it_leads_to_is_left_alone() {
    let (temp, dir) = dir();
    drop(open(&dir));
    let (lock, other) = (dir.join("lock"), temp.path().join("precious"));
    fs::write(&other, "precious words").unwrap();
    type Make = fn(&Path, &Path) -> io::Result<()>;
    let ways: [(Make, &str); 2] = [
        (|other, lock| std::os::unix::fs::symlink(other, lock), "a symbolic link"),
        (|other, lock| fs::hard_link(other, lock), "other names"),
    ];
    for (make, says) in ways {
        fs::remove_file(&lock).unwrap();
        make(&other, &lock).unwrap();
        let error = StateFile::open(&dir).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("remove it, or choose another --data-dir"), "{error}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious words");
    }
}

#[test]
fn a_state_that_is_no_file_or_endless_is_refused_at_once() {
    let (temp, dir) = dir();
    drop(open(&dir));
    let path = dir.join("state.json");
    let refused = |says: &str| {
        let error = StateFile::open(&dir).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()) && error.contains(says), "{error}");
        fs::remove_file(&path).unwrap();
    };
    fs::rename(&path, temp.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(temp.path().join("elsewhere"), &path).unwrap();
    refused("a symbolic link");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    refused("is a pipe");
    File::create(&path).unwrap().set_len(3 << 30).unwrap();
    refused("it has 3221225472 bytes, and no state is longer than 1073741824");
}
