//! `--hold`: once per tick, on whichever machine comes first.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Running, SOON, Server, leasehold, text, wait_for};

/// The recipe for cron on this machine. Returns its exit code.
fn tick(server: &Server, machine: &str, hold: &str) -> Option<i32> {
    let args = ["run", "--no-wait", "--quiet", "--hold", hold, "--name", machine, "nightly/report", "--", "true"];
    let output = server.ask(&args);
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()), "cron would mail it");
    output.status.code()
}

#[test]
fn of_two_machines_one_does_the_job_until_the_hold_is_over() {
    let server = Server::start();
    let begun = Instant::now();
    assert_eq!(tick(&server, "one", "3s"), Some(0));
    let code = wait_for(SOON, || Some(tick(&server, "two", "3s")).filter(|code| *code != Some(75)));
    assert_eq!(code, Some(0));
    assert!(begun.elapsed() > Duration::from_secs(3), "both did it within {:?}", begun.elapsed());
}

#[test]
fn a_hold_outlasts_a_restart_in_good_order() {
    let server = Server::start();
    assert_eq!(tick(&server, "one", "1h"), Some(0));
    let server = server.restart(Signal::TERM);
    assert_eq!(tick(&server, "two", "1h"), Some(75));
    let left = server.ask_json(&["get", "nightly/report"])["hold"].clone();
    assert!(left.as_str().is_some_and(|left| left.starts_with("35")), "{left}");
}

#[test]
fn list_get_and_observe_say_how_long_an_election_is_on_hold() {
    let server = Server::start();
    let mut observer = Running::start(server.command(&["observe"]));
    let mut lines = observer.lines();
    let mut program = Running::start(server.command(&["-o", "json", "observe"]));
    let mut events = program.lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    lines.next().unwrap().unwrap();
    assert!(events.next().unwrap()["synced"].is_object());
    wait_for(SOON, || (server.ask_json(&["status"])["observers"] == 2).then_some(()));
    assert_eq!(tick(&server, "one", "1h"), Some(0));
    for change in ["elected (on hold for ", "resigned (on hold for 59m "] {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(change), "{line}");
        let event = events.next().unwrap();
        assert!(event["change"]["hold"].as_str().is_some_and(|hold| hold.starts_with('3')), "{event}");
    }
    let _other = Running::start(server.command(&["campaign", "other", "--name", "me"]));
    server.wait_for_leader("other");
    let list = text(&server.ask(&["list"]).stdout);
    let rows: Vec<_> = list.lines().collect();
    assert!(rows[0].ends_with("VALUE   HOLD"), "{list}");
    assert!(rows[1].starts_with("nightly/report") && rows[1].contains("59m "), "{list}");
    assert!(rows[2].starts_with("other") && rows[2].ends_with("-"), "{list}");
    assert!(!text(&server.ask(&["list", "other"]).stdout).contains("HOLD"));
    let get = text(&server.ask(&["get", "nightly/report"]).stdout);
    assert!(get.contains("REVISION") && get.contains("HOLD") && get.contains("59m "), "{get}");
    for election in [server.ask_json(&["get", "nightly/report"]), server.ask_json(&["list", "nightly/"])] {
        assert_eq!(election["leadership"], "LEADERSHIP_VACANT");
        assert!(election["hold"].as_str().is_some_and(|hold| hold.starts_with("35")), "{election}");
    }
}

#[test]
fn whoever_waits_is_told_of_the_hold_and_leads_after_it() {
    let server = Server::start();
    let begun = Instant::now();
    assert_eq!(tick(&server, "one", "3s"), Some(0));
    let args = ["campaign", "nightly/report", "--name", "two"];
    let mut people = Running::start(server.command(&args));
    let mut program = Running::start(server.command(&[&["-o", "json"], &args[..]].concat()));
    let line = people.lines().next().unwrap().unwrap();
    assert!(
        line.starts_with("waiting for nightly/report: ") && line.contains("the election is on hold for an"),
        "{line}"
    );
    let mut events = program.lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let waiting = events.next().unwrap();
    assert!(waiting["waiting"]["hold"].is_string(), "{waiting}");
    server.wait_for_leader("nightly/report");
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn an_observer_says_that_the_service_settles_and_for_how_long() {
    let server = Server::start();
    let _leader = Running::start(server.command(&["campaign", "demo"]));
    server.wait_for_leader("demo");
    // A crash: it doesn't know who leads.
    let server = server.restart(Signal::KILL);
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut command = server.command(&["observe"]);
    let mut observer = command.stdout(Stdio::null()).stderr(said.reopen().unwrap()).spawn().unwrap();
    let mut program = Running::start(server.command(&["-o", "json", "observe"]));
    let event: Value = serde_json::from_str(&program.lines().next().unwrap().unwrap()).unwrap();
    let left = event["settling"]["remaining"].as_str().and_then(|left| left.strip_suffix('s')?.parse::<f64>().ok());
    assert!(left.is_some_and(|left| 0.0 < left && left < 16.0), "{event}");
    let read = || std::fs::read_to_string(said.path()).unwrap();
    wait_for(SOON, || read().ends_with('\n').then_some(()));
    let told = "leasehold: the service started a short while ago, and grants nothing for another ";
    assert!(read().starts_with(told), "{}", read());
    observer.kill().unwrap();
    observer.wait().unwrap();
}

#[test]
fn a_hold_that_the_service_would_refuse_is_refused_at_once() {
    for hold in ["24h 1ms", "2days", "1us", "-1s", "soon"] {
        let option = format!("--hold={hold}");
        for args in [&["run", "x", &option, "--", "true"][..], &["campaign", "x", &option]] {
            let output = leasehold(&[&["--endpoint", "127.0.0.1:9"], args].concat()).output().unwrap();
            assert_eq!(output.status.code(), Some(64), "{args:?}");
            assert!(text(&output.stderr).contains("'--hold <TIME>': "), "{}", text(&output.stderr));
        }
    }
}
