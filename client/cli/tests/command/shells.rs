//! `completions`, `man`, `version` and usages: what a shell and its user are told.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{LEASEHOLD, Running, Server, leasehold, text};

fn printed(args: &[&str]) -> String {
    let output = leasehold(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What bash would offer for a command line: words as bash cuts them, the last one under the
/// cursor.
fn offered(server: Option<&Server>, words: &[&str]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("completions");
    fs::write(&script, printed(&["completions", "bash"])).unwrap();
    let program = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        complete -p leasehold >&2; _leasehold "$1" "${COMP_WORDS[COMP_CWORD]}"; printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", program, "bash"]).arg(&script).arg(LEASEHOLD).args(words);
    match server {
        Some(server) => bash.env("LEASEHOLD_ENDPOINT", server.address().to_string()),
        None => bash.env_remove("LEASEHOLD_ENDPOINT"),
    };
    let output = bash.output().unwrap();
    assert!(
        text(&output.stderr).contains("complete -o bashdefault -F _leasehold leasehold"),
        "{}",
        text(&output.stderr)
    );
    text(&output.stdout).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn completions_know_the_elections() {
    let server = Server::start();
    let elections = ["billing/eu", "billing/us", "nightly"];
    let _leaders = elections.map(|election| Running::start(server.command(&["campaign", election])));
    for election in elections {
        server.wait_for_leader(election);
    }
    for subcommand in ["get", "run", "campaign", "step-down", "verify"] {
        assert_eq!(offered(Some(&server), &[subcommand, "bil"]), ["billing/eu", "billing/us"], "{subcommand}");
        assert_eq!(offered(Some(&server), &[subcommand, "nightly"]), ["nightly"], "{subcommand}");
    }
    for subcommand in ["observe", "list"] {
        assert_eq!(
            offered(Some(&server), &[subcommand, "b"]),
            ["billing/", "billing/eu", "billing/us"],
            "{subcommand}"
        );
    }
    assert_eq!(offered(Some(&server), &["get", "no such"]), [""; 0]);
}

#[test]
fn completions_ask_the_endpoint_that_was_typed() {
    let server = Server::start();
    let _leader = Running::start(server.command(&["campaign", "demo"]));
    server.wait_for_leader("demo");
    let address = server.address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    // Bash cuts words at colons and equals signs.
    for words in [
        &["--endpoint", &host, ":", &port, "get", "de"][..],
        &["--endpoint", "=", &host, ":", &port, "get", "de"],
        &["get", "--endpoint", "http", ":", &format!("//{host}"), ":", &port, "de"],
    ] {
        assert_eq!(offered(None, words), ["demo"], "{words:?}");
    }
    assert_eq!(offered(None, &["--output", "=", "js"]), ["json"], "only the piece that bash replaces");
}

#[test]
fn completions_work_without_a_service() {
    let subcommands = offered(None, &["s"]);
    assert_eq!(subcommands, ["step-down", "status"]);
    assert!(!offered(None, &[""]).iter().any(|word| word.contains("__")), "what is internal");
    assert_eq!(offered(None, &["--endpoint", "127.0.0.1", ":", "9", "get", "x"]), [""; 0]);
}

#[test]
fn every_shell_gets_a_script_that_it_can_read() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("LEASEHOLD_COMPLETE"), "{shell}: {script}");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &script).unwrap();
        // Where that shell is installed.
        if let Ok(checked) = Command::new(shell).arg("-n").arg(file.path()).output()
            && shell != "elvish"
        {
            assert!(checked.status.success(), "{shell}: {}", text(&checked.stderr));
        }
    }
}

#[test]
fn there_is_a_manual_page_for_the_command_and_each_subcommand() {
    let page = printed(&["man"]);
    assert!(page.starts_with(".TH leasehold 1 \"\" \"leasehold "), "{page}");
    assert!(page.contains("leasehold\\-step\\-down(1)") && page.contains(".SH \"EXIT CODES\""), "{page}");
    let page = printed(&["man", "run"]);
    assert!(page.starts_with(".TH leasehold\\-run 1 ") && page.contains("LEASEHOLD_FENCING_TOKEN"), "{page}");
    assert_eq!(leasehold(&["man", "walk"]).output().unwrap().status.code(), Some(64));
}

#[test]
fn the_version_is_told_for_people_and_programs() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(printed(&["version"]), format!("leasehold {version}\n"));
    assert_eq!(printed(&["--version"]), format!("leasehold {version}\n"));
    assert_eq!(printed(&["-o", "json", "version"]), format!("{{\"version\":\"{version}\"}}\n"));
}

#[test]
fn run_without_a_command_shows_its_usage() {
    for args in [&["run"][..], &["run", "demo"], &["run", "demo", "--"]] {
        let output = leasehold(args).env("LEASEHOLD_ENDPOINT", "127.0.0.1:9").output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let told = text(&output.stderr);
        assert!(told.contains("Usage: leasehold run [OPTIONS] ELECTION -- COMMAND [ARGUMENT...]\n"), "{told}");
        assert!(told.contains("COMMAND>..."), "{told}");
    }
}
