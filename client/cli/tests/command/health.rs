//! `run --health-cmd`: who is unhealthy doesn't lead.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tempfile::TempDir;

use crate::support::{Running, SOON, Server, is_dead, state, text, wait_for, wait_for_line, wait_for_pid};

/// Fails while there is a file `sick`, hangs while there is a file `hangs`.
const HEALTH: &str = "[ ! -e $DIR/sick ] || { echo; echo 'no disk'; exit 3; }; [ ! -e $DIR/hangs ] || sleep 60";
const OBEYS: &str = "echo $$ > $0/pid; trap 'touch $0/asked; exit 0' TERM; while :; do sleep 0.02; done";
/// How soon an unhealthy leader is found out here, and a busy machine's delay: far less than the
/// ttl of 15 s.
const FOUND_OUT: Duration = Duration::from_secs(5);

/// `leasehold run` of a script in a directory, with a health command that finds it in `DIR`.
fn run(server: &Server, directory: &Path, health: &str, options: &[&str], script: &str) -> Running {
    let mut command = server.command(&["run", "demo", "--health-interval", "100ms", "--health-timeout", "500ms"]);
    command.args(["--health-cmd", health]).args(options).args(["--", "sh", "-c", script]).arg(directory);
    command.env("DIR", directory);
    Running::start(command)
}

fn waiting(server: &Server, number: u64) {
    wait_for(SOON, || (server.ask_json(&["get", "demo"])["waiting"] == number).then_some(()));
}

#[test]
fn an_unhealthy_command_is_asked_to_end_and_the_next_one_leads_long_before_the_ttl_is_over() {
    for (sign, why) in [("sick", "the health command exited with 3: no disk"), ("hangs", "hasn't ended within 500ms")] {
        let server = Server::start();
        let (first_dir, second_dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut first = run(&server, first_dir.path(), HEALTH, &[], OBEYS);
        wait_for_pid(first_dir.path().join("pid"));
        let _second = run(&server, second_dir.path(), HEALTH, &[], OBEYS);
        waiting(&server, 1);
        let start = Instant::now();
        fs::write(first_dir.path().join(sign), "").unwrap();
        wait_for_pid(second_dir.path().join("pid"));
        assert!(start.elapsed() < FOUND_OUT, "{:?}", start.elapsed());
        assert_eq!(first.code(), 77);
        assert!(first_dir.path().join("asked").exists());
        let stderr = first.stderr();
        assert!(stderr.contains(why) && stderr.contains("SIGTERM"), "{stderr}");
    }
}

#[test]
fn an_unhealthy_command_that_does_not_end_is_killed_within_the_grace() {
    let server = Server::start();
    let (first_dir, second_dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let hangs = "trap '' TERM; echo $$ > $0/pid; while :; do sleep 0.05; done";
    let mut first = run(&server, first_dir.path(), HEALTH, &["--grace", "500ms"], hangs);
    let pid = wait_for_pid(first_dir.path().join("pid"));
    let died_first = format!("cat /proc/{}/stat > $0/stat; echo done > $0/line", pid.as_raw_nonzero());
    let _second = run(&server, second_dir.path(), HEALTH, &[], &died_first);
    waiting(&server, 1);
    let start = Instant::now();
    fs::write(first_dir.path().join("sick"), "").unwrap();
    wait_for_line(second_dir.path().join("line"));
    assert!(start.elapsed() < FOUND_OUT, "{:?}", start.elapsed());
    assert_eq!(fs::read_to_string(second_dir.path().join("stat")).unwrap(), "", "it was gone when the next one led");
    assert!(is_dead(pid));
    assert_eq!(first.code(), 77);
}

#[test]
fn a_health_command_that_hangs_is_killed_with_its_process_group() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let health = "[ -z \"$LEASEHOLD_FENCING_TOKEN\" ] && exit; echo $$ > $DIR/parent
        sh -c 'trap \"\" TERM; echo $$ > $DIR/child; exec sleep 60'";
    let mut run = run(&server, scratch.path(), health, &[], OBEYS);
    assert_eq!(run.code(), 77);
    let gone = ["parent", "child"].map(|name| wait_for_pid(scratch.path().join(name)));
    wait_for(SOON, || gone.into_iter().all(is_dead).then_some(()));
}

#[test]
fn a_candidate_is_one_only_while_its_health_command_succeeds() {
    let server = Server::start();
    let (leader_dir, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let _leader = run(&server, leader_dir.path(), "true", &[], OBEYS);
    wait_for_pid(leader_dir.path().join("pid"));
    fs::write(dir.path().join("sick"), "").unwrap();
    let mut candidate = run(&server, dir.path(), HEALTH, &[], OBEYS);
    std::thread::sleep(Duration::from_millis(500));
    waiting(&server, 0);
    for _ in 0..2 {
        fs::remove_file(dir.path().join("sick")).unwrap();
        waiting(&server, 1);
        fs::write(dir.path().join("sick"), "").unwrap();
        waiting(&server, 0);
    }
    candidate.signal(rustix::process::Signal::TERM);
    assert_eq!(candidate.code(), 143);
    let stderr = candidate.stderr();
    let told = "unhealthy: the health command exited with 3: no disk; not a candidate for demo until it succeeds";
    assert_eq!(stderr.matches(told).count(), 3, "once each time: {stderr}");
    assert!(!stderr.contains("away for longer"), "{stderr}");
}

#[test]
fn an_unhealthy_machine_does_not_try() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    for options in [&["--no-wait"][..], &["--timeout", "500ms"]] {
        let mut try_it = run(&server, scratch.path(), "echo 'no disk'; false", options, "touch $0/no");
        assert_eq!(try_it.code(), 77, "{options:?}");
        let stderr = try_it.stderr();
        assert!(stderr.ends_with("leasehold: unhealthy: the health command exited with 1: no disk\n"), "{stderr}");
    }
    assert!(!scratch.path().join("no").exists());
}

#[test]
fn the_health_command_finds_the_token_only_while_this_one_leads() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let health = "echo \"$LEASEHOLD_ELECTION $LEASEHOLD_ENDPOINT ${LEASEHOLD_FENCING_TOKEN-none} ${LEASEHOLD_TASK_TOKEN_FILE-none}\" >> $DIR/seen";
    let script = "echo $LEASEHOLD_FENCING_TOKEN $LEASEHOLD_TASK_TOKEN_FILE > $0/token; sleep 1; exit 5";
    let mut run = run(&server, scratch.path(), health, &[], script);
    assert_eq!(run.code(), 5, "the command's own");
    let seen = fs::read_to_string(scratch.path().join("seen")).unwrap();
    let seen: Vec<_> = seen.lines().collect();
    let endpoint = server.endpoint();
    assert_eq!(seen[0], format!("demo {endpoint} none none"));
    let token = wait_for_line(scratch.path().join("token"));
    assert_eq!(seen[seen.len() - 1], format!("demo {endpoint} {token}"));
    assert!(seen.len() > 3, "again and again: {seen:?}");
}

#[test]
fn health_commands_that_succeed_leave_no_trace() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let health = "echo fine; echo fine >&2; sleep 60 & echo $! >> $DIR/left";
    let mut run = run(&server, scratch.path(), health, &[], "echo $$ > $0/pid; sleep 2; echo done");
    wait_for_pid(scratch.path().join("pid"));
    std::thread::sleep(Duration::from_secs(1));
    let left = fs::read_to_string(scratch.path().join("left")).unwrap();
    let left: Vec<_> = left.lines().map(|line| Pid::from_raw(line.parse().unwrap()).unwrap()).collect();
    assert!(left.len() > 2);
    // The last two may still be dying.
    let zombies: Vec<_> = left[..left.len() - 2].iter().filter_map(|pid| state(*pid)).collect();
    assert!(zombies.is_empty(), "{zombies:?}");
    assert_eq!(run.code(), 0);
    assert_eq!(run.stdout(), "done\n");
    let stderr = run.stderr();
    assert!(stderr.lines().count() == 1 && stderr.contains("leading demo"), "{stderr}");
}

#[test]
fn options_of_health_that_make_no_sense_are_refused() {
    let server = Server::start();
    let refused: [&[&str]; 3] = [
        &["--health-interval", "1s"],
        &["--health-cmd", "true", "--health-timeout", "0s"],
        &["--health-cmd", "true", "--health-interval", "often"],
    ];
    for options in refused {
        let output = server.ask(&[&["run", "demo"], options, &["--", "true"]].concat());
        assert_eq!(output.status.code(), Some(64), "{options:?}: {}", text(&output.stderr));
    }
}
