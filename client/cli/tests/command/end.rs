//! `run`: what becomes of the command when the leadership ends before it.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{SOON, Server, is_dead, text, wait_for, wait_for_pid};

const TTL: Duration = Duration::from_secs(2);

#[test]
fn a_command_whose_leadership_cannot_be_kept_is_asked_and_then_dead_before_the_deadline() {
    let mut server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "trap 'touch $0/asked' TERM; echo $$ > $0/pid; while :; do sleep 0.05; done";
    let mut run = server.run(&["demo", "--ttl", "2s", "--"], script, scratch.path());
    let pid = wait_for_pid(scratch.path().join("pid"));
    // The last KeepAlive was sent before this moment.
    let lost = Instant::now();
    server.end(Signal::KILL);
    wait_for(SOON, || is_dead(pid).then_some(()));
    assert!(lost.elapsed() < TTL, "dead after {:?}", lost.elapsed());
    assert!(scratch.path().join("asked").exists(), "SIGTERM came first");
    assert_eq!(run.code(), 76);
    let stderr = run.stderr();
    assert!(stderr.contains("can't be kept") && stderr.contains("SIGTERM"), "{stderr}");
}

#[test]
fn a_command_that_obeys_is_not_killed() {
    let mut server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "trap 'touch $0/done; exit 0' TERM; echo $$ > $0/pid; while :; do sleep 0.02; done";
    let mut run = server.run(&["demo", "--ttl", "2s", "--grace", "900ms", "--"], script, scratch.path());
    wait_for_pid(scratch.path().join("pid"));
    server.end(Signal::KILL);
    assert_eq!(run.code(), 76, "its work wasn't done, whatever its own code says");
    assert!(scratch.path().join("done").exists());
}

#[test]
fn all_that_the_command_started_is_dead_before_the_deadline() {
    let mut server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "trap '' TERM
        sh -c 'trap \"\" TERM; echo $$ > $0/inside; while :; do sleep 0.05; done' $0 &
        setsid sh -c 'trap \"\" TERM; echo $$ > $0/outside; while :; do sleep 0.05; done' $0 &
        (setsid sh -c 'echo $$ > $0/orphan; while :; do sleep 0.05; done' $0 &)
        echo $$ > $0/pid; while :; do sleep 0.05; done";
    let mut run = server.run(&["demo", "--ttl", "2s", "--"], script, scratch.path());
    let pids = ["pid", "inside", "outside", "orphan"].map(|name| wait_for_pid(scratch.path().join(name)));
    let lost = Instant::now();
    server.end(Signal::KILL);
    wait_for(SOON, || pids.into_iter().all(is_dead).then_some(()));
    assert!(lost.elapsed() < TTL, "dead after {:?}", lost.elapsed());
    assert_eq!(run.code(), 76);
}

#[test]
fn what_the_command_leaves_running_is_dead_before_the_next_one_leads() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "sh -c 'echo $$ > $0/left; exec sleep 30' $0 & while [ ! -s $0/left ]; do sleep 0.02; done; exit 3";
    let mut run = server.run(&["demo", "--"], script, scratch.path());
    assert_eq!(run.code(), 3);
    assert!(is_dead(wait_for_pid(scratch.path().join("left"))));
}

#[test]
fn an_operator_ends_a_leadership_and_the_next_one_leads() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "trap 'touch $0/asked; exit 0' TERM; echo $$ > $0/pid; while :; do sleep 0.02; done";
    let mut first = server.run(&["demo", "--name", "first", "--ttl", "10s", "--"], script, scratch.path());
    wait_for_pid(scratch.path().join("pid"));
    let mut second = server.run(&["demo", "--name", "second", "--"], "touch $0/second", scratch.path());
    wait_for(SOON, || (server.ask_json(&["get", "demo"])["waiting"] == 1).then_some(()));
    let start = Instant::now();
    let output = server.ask(&["step-down", "demo"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(second.code(), 0);
    assert!(start.elapsed() < Duration::from_secs(5), "long before the ttl of 10 s: {:?}", start.elapsed());
    assert_eq!(first.code(), 76);
    assert!(scratch.path().join("asked").exists() && scratch.path().join("second").exists());
    assert!(first.stderr().contains("handed over"));
}

#[test]
fn a_command_that_does_not_hand_over_is_dead_before_the_next_one_leads() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let mut first = server.run(
        &["demo", "--ttl", "2s", "--"],
        "trap '' TERM; echo $$ > $0/pid; while :; do sleep 0.05; done",
        scratch.path(),
    );
    let pid = wait_for_pid(scratch.path().join("pid"));
    let mut second = server.run(&["demo", "--"], "cat /proc/$(cat $0/pid)/stat > $0/stat; true", scratch.path());
    wait_for(SOON, || (server.ask_json(&["get", "demo"])["waiting"] == 1).then_some(()));
    server.ask(&["step-down", "demo"]);
    assert_eq!(second.code(), 0);
    assert!(is_dead(pid));
    assert_eq!(fs::read_to_string(scratch.path().join("stat")).unwrap(), "", "it was gone when the next one led");
    assert_eq!(first.code(), 76);
}

#[test]
fn a_restart_of_the_server_does_not_touch_the_command() {
    outlives_a_restart(Signal::TERM);
}

#[test]
fn a_crash_of_the_server_that_is_shorter_than_the_ttl_does_not_touch_the_command() {
    outlives_a_restart(Signal::KILL);
}

#[track_caller]
fn outlives_a_restart(signal: Signal) {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "echo $$ > $0/pid; exec sleep 30";
    let mut run = server.run(&["demo", "--ttl", "6s", "--"], script, scratch.path());
    let pid = wait_for_pid(scratch.path().join("pid"));
    let token = server.wait_for_leader("demo")["fencing_token"].clone();
    let server = server.restart(signal);
    assert_eq!(server.wait_for_leader("demo")["fencing_token"], token);
    std::thread::sleep(Duration::from_secs(6));
    assert!(!is_dead(pid), "its leadership was kept beyond the ttl");
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 143);
}
