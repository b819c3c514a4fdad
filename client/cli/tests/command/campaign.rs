//! `campaign` and `observe`: what they say, line by line.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Running, SOON, Server, wait_for};

fn json_lines(server: &Server, args: &[&str]) -> (Running, impl Iterator<Item = Value>) {
    let mut running = Running::start(server.command(&[&["--output", "json"], args].concat()));
    let lines = running.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    (running, lines)
}

#[test]
fn a_campaign_tells_what_happens_and_resigns_on_interrupt() {
    let server = Server::start();
    let (mut first, mut events) = json_lines(&server, &["campaign", "demo", "--name", "a", "--value", "here"]);
    let elected = events.next().unwrap();
    assert!(elected["elected"]["fencing_token"].as_u64().unwrap() > 0, "{elected}");
    let (mut second, mut later) = json_lines(&server, &["campaign", "demo", "--name", "b"]);
    assert_eq!(later.next().unwrap()["waiting"]["ahead"], 1);
    let leader = server.wait_for_leader("demo");
    assert_eq!((&leader["candidate"], &leader["value"]), (&"a".into(), &"here".into()));
    first.signal(Signal::INT);
    assert_eq!(events.next().unwrap()["ended"]["reason"], "END_REASON_RESIGNED");
    assert_eq!(first.code(), 0);
    let next = later.next().unwrap();
    assert!(next["elected"]["fencing_token"].as_u64() > elected["elected"]["fencing_token"].as_u64(), "{next}");
    second.signal(Signal::TERM);
    assert_eq!(second.code(), 0);
    assert!(server.ask_json(&["get", "demo"]).get("leader").is_none());
}

#[test]
fn a_campaign_that_is_told_to_hand_over_says_so_and_exits_with_76() {
    let server = Server::start();
    let (mut leader, mut events) = json_lines(&server, &["campaign", "demo", "--ttl", "2s"]);
    let token = events.next().unwrap()["elected"]["fencing_token"].clone();
    server.ask(&["step-down", "demo"]);
    assert_eq!(events.next().unwrap()["draining"]["fencing_token"], token);
    assert!(events.next().unwrap()["ended"]["reason"].is_string());
    assert_eq!(leader.code(), 76);
}

#[test]
fn a_campaign_says_it_in_words_too() {
    let server = Server::start();
    let mut leader = Running::start(server.command(&["campaign", "demo", "--name", "a"]));
    let token = server.wait_for_leader("demo")["fencing_token"].to_string();
    leader.signal(Signal::INT);
    assert_eq!(
        leader.stdout(),
        format!("a leads demo with fencing token {token}\nthe leadership of demo is over: it resigned\n")
    );
}

#[test]
fn a_campaign_that_is_not_granted_exits_with_75() {
    let server = Server::start();
    let _leader = Running::start(server.command(&["campaign", "demo"]));
    server.wait_for_leader("demo");
    assert_eq!(server.ask(&["campaign", "demo", "--no-wait"]).status.code(), Some(75));
    assert_eq!(server.ask(&["campaign", "demo", "--timeout", "300ms"]).status.code(), Some(75));
}

#[test]
fn an_observer_sees_a_leader_then_a_vacancy_then_a_leader() {
    let server = Server::start();
    let (mut observer, mut news) = json_lines(&server, &["observe", "billing/"]);
    assert!(news.next().unwrap()["synced"]["revision"].is_u64());
    assert_eq!(server.ask(&["run", "other", "--", "true"]).status.code(), Some(0));
    for name in ["a", "b"] {
        assert_eq!(server.ask(&["run", "billing/x", "--name", name, "--", "true"]).status.code(), Some(0));
        let elected = news.next().unwrap();
        let change = &elected["change"];
        assert_eq!((&change["election"], &change["reason"]), (&"billing/x".into(), &"CHANGE_REASON_ELECTED".into()));
        assert_eq!(change["leader"]["candidate"], name);
        let vacant = news.next().unwrap();
        assert_eq!(vacant["change"]["reason"], "CHANGE_REASON_RESIGNED");
        assert!(vacant["change"].get("leader").is_none());
    }
    observer.signal(Signal::INT);
    assert_eq!(observer.code(), 0);
}

#[test]
fn an_observer_notices_a_service_that_is_frozen_and_not_one_that_stumbles() {
    let server = Server::start();
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut command = server.command(&["observe"]);
    command.stdout(Stdio::null()).stderr(said.reopen().unwrap());
    let mut observer = command.spawn().unwrap();
    let said = || std::fs::read_to_string(said.path()).unwrap();
    wait_for(SOON, || (server.ask_json(&["status"])["observers"] == 1).then_some(()));
    server.signal(Signal::STOP);
    sleep(Duration::from_millis(1500));
    server.signal(Signal::CONT);
    sleep(Duration::from_secs(4));
    assert_eq!(said(), "");
    server.signal(Signal::STOP);
    let frozen = Instant::now();
    wait_for(SOON, || said().contains("what was told may be old by now").then_some(()));
    assert!(frozen.elapsed() < Duration::from_millis(5500), "{:?}", frozen.elapsed());
    server.signal(Signal::CONT);
    wait_for(SOON, || (server.ask_json(&["status"])["observers"] == 1).then_some(()));
    observer.kill().unwrap();
    observer.wait().unwrap();
}

#[test]
fn an_observer_shows_columns() {
    let server = Server::start();
    let mut observer = Running::start(server.command(&["observe"]));
    let mut lines = observer.lines();
    let heading = lines.next().unwrap().unwrap();
    assert_eq!(
        heading.split_whitespace().collect::<Vec<_>>(),
        ["TIME", "ELECTION", "LEADER", "TOKEN", "CHANGE", "VALUE"]
    );
    let leader = Running::start(server.command(&["campaign", "demo", "--name", "a", "--value", "x y\u{1b}[2J"]));
    let token = server.wait_for_leader("demo")["fencing_token"].to_string();
    let line = lines.next().unwrap().unwrap();
    let cells: Vec<_> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[1..], ["demo", "a", &token, "elected", r"x y\u{1b}[2J"]);
    drop(leader);
}

#[test]
fn whoever_stops_reading_ends_it_quietly() {
    let server = Server::start();
    let endpoint = server.endpoint();
    let script = format!("'{}' --endpoint {endpoint} observe | head -n 1", crate::support::LEASEHOLD);
    let mut pipeline = Command::new("sh");
    pipeline.args(["-c", &script]);
    let mut pipeline = Running::start(pipeline);
    wait_for(SOON, || (server.ask_json(&["status"])["observers"] == 1).then_some(()));
    // The line that it can't write any more ends it.
    server.ask(&["run", "demo", "--", "true"]);
    assert_eq!(pipeline.code(), 0);
    assert_eq!(pipeline.stderr(), "");
}
