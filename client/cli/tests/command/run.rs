//! `run`: what the command gets, what comes out, and who is next.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Running, SOON, Server, is_dead, text, wait_for, wait_for_line, wait_for_pid};

#[test]
fn the_command_finds_what_it_needs_in_its_environment() {
    let server = Server::start();
    let script = "echo $LEASEHOLD_ELECTION $LEASEHOLD_CANDIDATE $LEASEHOLD_ENDPOINT $LEASEHOLD_FENCING_TOKEN; cat $LEASEHOLD_TASK_TOKEN_FILE";
    let output = server.ask(&["run", "demo", "--name", "me", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let (words, task_token) = stdout.split_once('\n').unwrap();
    let words: Vec<_> = words.split(' ').collect();
    assert_eq!(words[..3], ["demo", "me", &server.endpoint()]);
    assert!(words[3].parse::<u64>().unwrap() > 0);
    assert_eq!(task_token.split('.').count(), 3, "a JWT: {task_token}");
}

#[test]
fn the_command_can_verify_its_own_tokens() {
    let server = Server::start();
    let leasehold = crate::support::LEASEHOLD;
    let script = r#""$0" verify "$(cat $LEASEHOLD_TASK_TOKEN_FILE)" && "$0" verify demo $LEASEHOLD_FENCING_TOKEN"#;
    let output = server.ask(&["run", "demo", "--", "sh", "-c", script, leasehold]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_task_token_is_private_refreshed_and_removed_at_the_end() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "echo $LEASEHOLD_TASK_TOKEN_FILE > $0/file; exec sleep 30";
    let mut run = server.run(&["demo", "--ttl", "3s", "--"], script, scratch.path());
    let file = wait_for_line(scratch.path().join("file"));
    let file = Path::new(&file);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file), mode(file.parent().unwrap())), (0o600, 0o700));
    let first = fs::read_to_string(file).unwrap();
    wait_for(SOON, || (fs::read_to_string(file).unwrap() != first).then_some(()));
    assert_eq!(mode(file), 0o600);
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 143);
    assert!(!file.parent().unwrap().exists());
}

#[test]
fn the_exit_code_is_the_commands() {
    let server = Server::start();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        let output = server.ask(&["run", "demo", "--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code), "{script}: {}", text(&output.stderr));
    }
}

#[test]
fn input_and_output_are_the_commands() {
    let server = Server::start();
    let mut command = server.command(&["run", "demo", "-q", "--", "tr", "a-z", "A-Z"]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("HELLO\n", ""));
}

#[test]
fn signals_are_passed_on() {
    let server = Server::start();
    for (name, signal, code) in [
        ("TERM", Signal::TERM, 11),
        ("INT", Signal::INT, 12),
        ("HUP", Signal::HUP, 13),
        ("USR1", Signal::USR1, 14),
        ("USR2", Signal::USR2, 15),
        ("QUIT", Signal::QUIT, 16),
    ] {
        let scratch = TempDir::new().unwrap();
        let script = format!("trap 'exit {code}' {name}; echo $$ > $0/pid; while :; do sleep 0.05; done");
        let mut run = server.run(&["demo", "--"], &script, scratch.path());
        wait_for_pid(scratch.path().join("pid"));
        run.signal(signal);
        assert_eq!(run.code(), code, "{name}");
    }
}

#[test]
fn what_was_ignored_stays_ignored() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let mut command = std::process::Command::new("sh");
    let script = "trap '' HUP; exec \"$0\" run demo -- sh -c 'echo $$ > $0/pid; exec sleep 30' \"$1\"";
    command
        .args(["-c", script, crate::support::LEASEHOLD])
        .arg(scratch.path())
        .env("LEASEHOLD_ENDPOINT", server.endpoint());
    let mut run = Running::start(command);
    let pid = wait_for_pid(scratch.path().join("pid"));
    run.signal(Signal::HUP);
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(run.is_running() && !is_dead(pid));
}

#[test]
fn the_command_inherits_nothing_that_it_would_not_have_without() {
    let server = Server::start();
    // No shell in between: that changes what its children inherit.
    for command in [&["grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status"][..], &["ls", "/proc/self/fd"]] {
        let with = server.ask(&[&["run", "demo", "-q", "--"], command].concat());
        let without = std::process::Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(text(&with.stdout), text(&without.stdout), "{command:?}");
    }
}

#[test]
fn the_next_one_leads_as_soon_as_the_command_has_ended() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let mut first = server.run(&["demo", "--"], "echo $LEASEHOLD_FENCING_TOKEN > $0/first; sleep 1", scratch.path());
    let low: u64 = wait_for_line(scratch.path().join("first")).parse().unwrap();
    let mut second = server.run(&["demo", "--"], "echo $LEASEHOLD_FENCING_TOKEN > $0/second", scratch.path());
    assert_eq!(first.code(), 0);
    let ended = Instant::now();
    let high: u64 = wait_for_line(scratch.path().join("second")).parse().unwrap();
    assert!(ended.elapsed() < Duration::from_secs(3), "long before the ttl of 15 s");
    assert!(high > low);
    assert_eq!(second.code(), 0);
    assert!(second.stderr().contains("waiting for demo: 1 before this one"));
}

#[test]
fn a_try_that_fails_exits_with_75() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let _leader = server.run(&["demo", "--"], "echo $$ > $0/pid; exec sleep 30", scratch.path());
    wait_for_pid(scratch.path().join("pid"));
    let output = server.ask(&["run", "demo", "--no-wait", "--", "touch", scratch.path().join("no").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
    let start = Instant::now();
    let output =
        server.ask(&["run", "demo", "--timeout", "1s", "--", "touch", scratch.path().join("no").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
    assert!(
        start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(text(&output.stderr).contains("not granted"));
    assert!(!scratch.path().join("no").exists());
}

#[test]
fn bad_arguments_exit_with_64() {
    let server = Server::start();
    let refused: [&[&str]; 6] = [
        &["run", "demo"],
        &["run", "demo", "--ttl", "soon", "--", "true"],
        &["run", "demo", "--ttl", "10ms", "--", "true"],
        &["run", "demo", "--ttl", "4s", "--grace", "3s", "--", "true"],
        &["run", "a//b", "--", "true"],
        &["run", "demo", "--replace-former", "--", "true"],
    ];
    for args in refused {
        let output = server.ask(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_command_that_cannot_be_started_is_told_before_the_election() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let _leader = server.run(&["demo", "--"], "echo $$ > $0/pid; exec sleep 30", scratch.path());
    wait_for_pid(scratch.path().join("pid"));
    let output = server.ask(&["run", "demo", "--", "no-such-command"]);
    assert_eq!(output.status.code(), Some(127), "{}", text(&output.stderr));
    let output = server.ask(&["run", "demo", "--", "/etc/passwd"]);
    assert_eq!(output.status.code(), Some(126), "{}", text(&output.stderr));
}

#[test]
fn a_signal_ends_the_wait_and_leaves_nobody_in_the_queue() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let _leader = server.run(&["demo", "--"], "echo $$ > $0/pid; exec sleep 30", scratch.path());
    wait_for_pid(scratch.path().join("pid"));
    let mut waiting = server.run(&["demo", "--"], "touch $0/no", scratch.path());
    wait_for(SOON, || (server.ask_json(&["get", "demo"])["waiting"] == 1).then_some(()));
    waiting.signal(Signal::TERM);
    assert_eq!(waiting.code(), 143);
    assert_eq!(server.ask_json(&["get", "demo"])["waiting"], 0);
    assert!(!scratch.path().join("no").exists());
}

#[test]
fn the_former_process_of_that_name_is_replaced() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let mut former = server.run(&["demo", "--name", "me", "--"], "echo $$ > $0/pid; exec sleep 30", scratch.path());
    let pid = wait_for_pid(scratch.path().join("pid"));
    let output = server.ask(&["run", "demo", "--name", "me", "--replace-former", "--", "true"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(former.code(), 76);
    assert!(is_dead(pid));
}
