//! `run`: stopped, killed, or without its watchdog. The command never outlives the leadership.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{LEASEHOLD, Running, SOON, Server, is_dead, parent, state, wait_for, wait_for_line, wait_for_pid};

const TTL: Duration = Duration::from_secs(2);

/// A command that ignores SIGTERM and has a child that does so too.
const STUBBORN: &str = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > $0/child; while :; do sleep 0.05; done' $0 &
    echo $LEASEHOLD_TASK_TOKEN_FILE > $0/file; echo $$ > $0/pid; while :; do sleep 0.05; done";

fn stubborn(server: &Server, scratch: &TempDir) -> (Running, [Pid; 2]) {
    let run = server.run(&["demo", "--ttl", "2s", "--"], STUBBORN, scratch.path());
    let pids = ["pid", "child"].map(|name| wait_for_pid(scratch.path().join(name)));
    (run, pids)
}

#[test]
fn a_paused_run_has_its_command_killed_while_it_is_paused() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let (mut run, pids) = stubborn(&server, &scratch);
    let paused = Instant::now();
    run.signal(Signal::STOP);
    wait_for(SOON, || pids.into_iter().all(is_dead).then_some(()));
    assert!(paused.elapsed() < TTL, "dead after {:?}", paused.elapsed());
    assert_eq!(state(run.pid()), Some('T'), "it is still paused");
    run.signal(Signal::CONT);
    assert_eq!(run.code(), 76);
}

#[test]
fn a_paused_run_that_wakes_in_time_goes_on() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let (mut run, pids) = stubborn(&server, &scratch);
    for _ in 0..3 {
        run.signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(600));
        run.signal(Signal::CONT);
        std::thread::sleep(Duration::from_millis(900));
    }
    assert!(run.is_running());
    assert!(!pids.into_iter().any(is_dead));
}

#[test]
fn a_command_that_ended_while_run_was_paused_has_its_own_exit_code() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "echo $$ > $0/pid; while [ ! -e $0/go ]; do sleep 0.02; done; exit 5";
    let mut run = server.run(&["demo", "--ttl", "2s", "--"], script, scratch.path());
    wait_for_pid(scratch.path().join("pid"));
    run.signal(Signal::STOP);
    std::fs::write(scratch.path().join("go"), "").unwrap();
    std::thread::sleep(TTL * 2);
    run.signal(Signal::CONT);
    assert_eq!(run.code(), 5);
}

#[test]
fn a_killed_run_takes_everything_with_it_at_once() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let (mut run, pids) = stubborn(&server, &scratch);
    let file = wait_for_line(scratch.path().join("file"));
    let killed = Instant::now();
    run.signal(Signal::KILL);
    wait_for(SOON, || pids.into_iter().all(is_dead).then_some(()));
    assert!(killed.elapsed() < Duration::from_secs(1), "dead after {:?}", killed.elapsed());
    wait_for(SOON, || (!std::path::Path::new(&file).exists()).then_some(()));
    assert_eq!(run.code(), -1);
}

#[test]
fn a_killed_watchdog_takes_everything_with_it_at_once() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let (mut run, pids) = stubborn(&server, &scratch);
    let watchdog = parent(pids[0]);
    assert_eq!(parent(watchdog), run.pid());
    kill_process(watchdog, Signal::KILL).unwrap();
    wait_for(Duration::from_secs(1), || pids.into_iter().all(is_dead).then_some(()));
    assert_eq!(run.code(), 70);
    assert!(run.stderr().contains("watchdog"));
    assert_eq!(server.ask_json(&["get", "demo"])["leader"], serde_json::Value::Null, "it has resigned");
}

#[test]
fn a_command_without_run_and_without_watchdog_is_dead_at_once() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let (mut run, [command, child]) = stubborn(&server, &scratch);
    run.signal(Signal::STOP);
    // Not at once, if it waits for the disk.
    wait_for(SOON, || (state(run.pid()) == Some('T')).then_some(()));
    let killed = Instant::now();
    kill_process(parent(command), Signal::KILL).unwrap();
    wait_for(SOON, || is_dead(command).then_some(()));
    assert!(killed.elapsed() < Duration::from_millis(500), "dead after {:?}", killed.elapsed());
    assert_eq!(state(run.pid()), Some('T'), "nobody else killed it");
    assert!(!is_dead(child), "the kernel does that for the command alone");
    run.signal(Signal::CONT);
    assert_eq!(run.code(), 70);
    assert!(is_dead(child), "run has done the rest");
}

#[test]
fn a_paused_watchdog_is_replaced_by_the_run_itself() {
    let mut server = Server::start();
    let scratch = TempDir::new().unwrap();
    let (mut run, pids) = stubborn(&server, &scratch);
    kill_process(parent(pids[0]), Signal::STOP).unwrap();
    let lost = Instant::now();
    server.end(Signal::KILL);
    wait_for(SOON, || pids.into_iter().all(is_dead).then_some(()));
    assert!(lost.elapsed() < TTL, "dead after {:?}", lost.elapsed());
    assert_eq!(run.code(), 76);
}

#[test]
fn a_watchdog_that_was_paused_and_told_of_a_new_deadline_kills_nobody() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let (mut run, pids) = stubborn(&server, &scratch);
    let watchdog = parent(pids[0]);
    for _ in 0..2 {
        // Longer than what was left of the deadline that it knew, shorter than what is left of the
        // newest.
        kill_process(watchdog, Signal::STOP).unwrap();
        std::thread::sleep(TTL * 2);
        kill_process(watchdog, Signal::CONT).unwrap();
        std::thread::sleep(TTL / 4);
        assert!(run.is_running() && !pids.into_iter().any(is_dead));
    }
}

#[test]
fn what_was_there_before_is_spared() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "sh -c 'echo $$ > $0/before; exec sleep 30' \"$1\" & exec \"$0\" run demo -- sh -c 'echo $$ > $0/pid; exec sleep 30' \"$1\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, LEASEHOLD]).arg(scratch.path()).env("LEASEHOLD_ENDPOINT", server.endpoint());
    let mut run = Running::start(command);
    let [before, pid] = ["before", "pid"].map(|name| wait_for_pid(scratch.path().join(name)));
    kill_process(parent(pid), Signal::KILL).unwrap();
    assert_eq!(run.code(), 70);
    assert!(is_dead(pid) && !is_dead(before));
    kill_process(before, Signal::KILL).unwrap();
}

#[test]
fn signals_that_end_others_do_not_end_the_watchdog() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let (mut run, pids) = stubborn(&server, &scratch);
    let watchdog = parent(pids[0]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::TSTP] {
        kill_process(watchdog, signal).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(!is_dead(watchdog) && state(watchdog) != Some('T') && run.is_running());
    assert!(!pids.into_iter().any(is_dead));
}
