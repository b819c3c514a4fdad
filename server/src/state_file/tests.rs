//! Tests of the embedded store.

use super::format::{decode, encode};
use super::*;
use leasehold_core::{
    Attempt, CandidateName, Carried, ElectionName, Enrolment, FencingToken, Handover, HeldElection, MAX_MAX_TTL,
    Millis, NUMBER_LIMIT, Revision, Subject, Tenure, Ticket, Value,
};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

fn record() -> Record {
    Record {
        tenure: Tenure(1_000_000),
        ceiling: 2_048_576,
        duration: Millis(3000),
        margin: Millis(300),
        renewed_at: Millis(4000),
        ended_at: None,
        longest_ttl: Millis(15_000),
        last_change: None,
        handover: None,
        last_revision: None,
    }
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
    let renewed = Record { renewed_at: Millis(100), ..record() };
    first.write(&renewed, began + Millis(100)).unwrap();
    assert_eq!(ended_at(&first), None, "it is this process's own");
    drop(first);
    std::thread::sleep(Duration::from_millis(20));
    let ended = ended_at(&open(&dir)).unwrap();
    assert!(ended >= Millis(20) && ended <= clock::now().since(began), "{ended}");

    let orderly = Record { ended_at: Some(Millis(5)), ..renewed };
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
    let renewed = Record { renewed_at: Millis(5000), ..record() };
    assert!(first.write(&renewed, began + Millis(5000)).is_err());
    assert!(first.go_on_without(&Record { ended_at: Some(Millis(1)), ..record() }).is_err(), "that one doesn't go on");
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
    assert_eq!(ended_at(&next), Some(Millis(u64::MAX)));
    next.boot = None;
    assert_eq!(ended_at(&next), Some(Millis(u64::MAX)));
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
    assert_eq!(ended_at(&next), Some(Millis(u64::MAX)));
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
        assert_eq!(ended_at(&next), Some(Millis(u64::MAX)));
    }
    fs::remove_dir_all(dir.join("steady")).unwrap();
    let next = open(&dir);
    next.write(&Record { tenure: Tenure(1_000_001), ..record() }, later()).unwrap();
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
        let record = Record { tenure: Tenure(tenure), ..record() };
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
    let claim = Record { tenure: Tenure(2_000_000), ..record() };
    assert!(first.write(&claim, later()).unwrap_err().is_lost());
}

fn carried(number: u64) -> Carried {
    Carried {
        ticket: Ticket {
            election: ElectionName::new(&format!("billing/report-{number}")).unwrap(),
            candidate: CandidateName::new("wörker \"1\"").unwrap(),
            subject: Subject::anonymous(),
            value: Value::new("10.0.0.1:80\n").unwrap(),
            ttl: Millis(15_000),
            enrolment: Enrolment(number),
            place: Enrolment(number),
            token: number.is_multiple_of(2).then_some(FencingToken(number + 1)),
            tenure: Tenure(1_000_000),
            accepted_at: Millis(number),
            hold: Millis(number % 2),
            issued: Tenure(1_000_000 + number % 2),
        },
        drain_left: number.is_multiple_of(3).then_some(Millis(number)),
        attempt: number.is_multiple_of(2).then(|| Attempt::new("6f1c2b1e").unwrap()),
    }
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
    let next = Record { tenure: Tenure(2_048_576), ceiling: 3_097_152, ended_at: Some(Millis(9000)), ..record() };
    last.write(&next, later()).unwrap();
    assert_eq!(last.read().unwrap(), Found::Record(next));
}

#[test]
fn a_process_that_died_before_it_had_keys_leaves_a_fresh_directory() {
    let (_temp, dir) = dir();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("lock"), "").unwrap();
    fs::write(dir.join("state.json.new"), "{\"version\":1").unwrap();
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
    fs::write(&path, good.replace("\"version\":1", "\"version\":2")).unwrap();
    let error = StateFile::open(&dir).unwrap_err().to_string();
    assert!(error.contains("has the format 2, and this leasehold-server"), "{error}");
    fs::write(&path, good).unwrap();
    assert_eq!(open(&dir).read().unwrap(), Found::Record(record()));
}

#[test]
fn no_cut_of_a_state_can_be_read() {
    let text =
        encode(&Keys::generate(), false, Some(&Record { handover: handover(vec![carried(6)]), ..record() }), None);
    for length in 0..text.len() - 1 {
        assert!(decode(&text[..length]).is_err(), "{length} bytes");
    }
    assert!(decode(&text[..text.len() - 1]).is_ok(), "the last newline is for people");
}

#[test]
fn numbers_out_of_range_are_refused() {
    let ticket = carried(2).ticket;
    let with = |ticket| handover(vec![Carried { ticket, drain_left: None, attempt: None }]);
    for (bad, says) in [
        (Record { ceiling: NUMBER_LIMIT + 1, ..record() }, "must be tenure < ceiling <= 9007199254740992"),
        (Record { tenure: Tenure(2_048_576), ..record() }, "tenure 2048576 and ceiling 2048576 must be"),
        (Record { margin: Millis(3001), ..record() }, "margin_ms 3001 is more than duration_ms 3000"),
        (
            Record { renewed_at: Millis(u64::MAX), ..record() },
            "renewed_at_ms is 18446744073709551615; it must be below",
        ),
        (Record { ended_at: Some(Millis(NUMBER_LIMIT)), ..record() }, "ended_at_ms is"),
        (Record { longest_ttl: Millis(NUMBER_LIMIT), ..record() }, "longest_ttl_ms is"),
        (
            Record { handover: with(Ticket { place: Enrolment(NUMBER_LIMIT), ..ticket.clone() }), ..record() },
            "place is",
        ),
        (Record { handover: with(Ticket { token: Some(FencingToken(u64::MAX)), ..ticket }), ..record() }, "token is"),
    ] {
        let error = decode(&encode(&Keys::generate(), false, Some(&bad), None)).unwrap_err();
        let Undecodable::Damaged(why) = error else { panic!("{error:?}") };
        assert!(why.contains(says), "{why}");
    }
    let highest = Record { tenure: Tenure(NUMBER_LIMIT - 1), ceiling: NUMBER_LIMIT, ..record() };
    assert_eq!(decode(&encode(&Keys::generate(), false, Some(&highest), None)).unwrap().record, Some(highest));
}

/// Found by fuzzing: the core took them, and its invariants were broken or the server ended, at each start anew.
#[test]
fn a_handover_that_cannot_have_come_about_is_refused() {
    let ticket = carried(6).ticket;
    let with = |tickets: &[Ticket]| {
        let carried = tickets.iter().map(|ticket| Carried { ticket: ticket.clone(), drain_left: None, attempt: None });
        Record { handover: handover(carried.collect()), ..record() }
    };
    for (bad, says) in [
        (with(&[Ticket { token: Some(FencingToken(2_048_576)), ..ticket.clone() }]), "the number 2048576; it must be"),
        (with(&[Ticket { issued: Tenure(3_000_000), ..ticket.clone() }]), "the number 3000000; it must be below"),
        (with(&[Ticket { tenure: Tenure(3_000_000), ..ticket.clone() }]), "the number 3000000; it must be below"),
        (with(&[Ticket { place: Enrolment(7), ..ticket.clone() }]), "place 7 is behind its own enrolment 6"),
        (with(&[ticket.clone(), ticket.clone()]), "enrolment 6 is handed over twice"),
        (
            with(&[Ticket { ttl: Millis(MAX_MAX_TTL.0 + 1), ..ticket }]),
            "ttl_ms is 86400001; it must be at most 86400000",
        ),
    ] {
        let error = decode(&encode(&Keys::generate(), false, Some(&bad), None)).unwrap_err();
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
    let error = file.write(&Record { ceiling: 9_000_000, ..record() }, later()).unwrap_err().to_string();
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
    let record = Record { handover: handover((1..=100_000).map(carried).collect()), ..record() };
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

prop_compose! {
    fn any_carried()(
        candidate in "\\PC{1,40}",
        value in "(?s).{0,80}",
        numbers in prop::array::uniform5(0..record().ceiling),
        ttl in 0..=MAX_MAX_TTL.0,
        token in prop::option::of(0..record().ceiling),
        drain_left in prop::option::of(0..NUMBER_LIMIT),
        attempt in prop::option::of("[!-~]{1,64}"),
        hold in 0..NUMBER_LIMIT,
        issued in prop::option::of(0..record().ceiling),
    ) -> Carried {
        let [enrolment, place, tenure, accepted_at, election] = numbers;
        Carried {
            ticket: Ticket {
                election: ElectionName::new(&format!("e/{election}")).unwrap(),
                candidate: CandidateName::new(&candidate).unwrap(),
                subject: Subject::new(&candidate).unwrap(),
                value: Value::new(&value).unwrap(),
                ttl: Millis(ttl),
                enrolment: Enrolment(enrolment),
                place: Enrolment(place.min(enrolment)),
                token: token.map(FencingToken),
                tenure: Tenure(tenure),
                accepted_at: Millis(accepted_at),
                hold: Millis(hold),
                issued: Tenure(issued.map_or(tenure, |issued| issued.max(tenure))),
            },
            drain_left: drain_left.map(Millis),
            attempt: attempt.map(|attempt| Attempt::new(&attempt).unwrap()),
        }
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        mut handover in prop::option::of(prop::collection::vec(any_carried(), 0..4)),
        holds in prop::collection::vec((0..9_u64, 0..NUMBER_LIMIT), 0..4),
        last_revision in prop::option::of(0..NUMBER_LIMIT),
        ended_at in prop::option::of(0..NUMBER_LIMIT),
        renewed_at in 0..NUMBER_LIMIT,
        lost in any::<bool>(),
    ) {
        handover.iter_mut().for_each(|all| all.dedup_by_key(|carried| carried.ticket.enrolment));
        let held = |(number, left)| HeldElection {
            election: ElectionName::new(&format!("tick/{number}")).unwrap(),
            left: Millis(left),
        };
        let holds = holds.into_iter().map(held).collect();
        let record = Record {
            handover: handover.map(|candidacies| Handover { candidacies, holds }),
            last_revision: last_revision.map(Revision),
            ended_at: ended_at.map(Millis),
            renewed_at: Millis(renewed_at),
            ..record()
        };
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
