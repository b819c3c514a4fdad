//! `run`: what it finds out before it campaigns, and what becomes of its parts when it is killed
//! while it starts.

use std::fs;
use std::io::{BufRead as _, BufReader, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::support::{LEASEHOLD, SOON, Server, is_dead, nobody, text, wait_for, wait_for_line, wait_for_pid};

/// What is refused with this code before the service is asked: nobody is there to be asked.
fn refused(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    text(&output.stderr)
}

fn run(args: &[&str]) -> Command {
    let mut run = crate::support::leasehold(&["--endpoint", &nobody(), "run", "demo", "--patience", "0s", "--"]);
    run.args(args);
    run
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told_before_the_election() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing");
    let told = refused(run(&["true"]).env("TMPDIR", &missing), 126);
    assert!(told.contains(missing.to_str().unwrap()) && told.contains("TMPDIR"), "{told}");
    // Root may write wherever the file system lets it: not to a file of /proc.
    let told = refused(run(&["true"]).env("TMPDIR", "/proc/self"), 126);
    assert!(told.contains("no file for its task token can be made in /proc/self"), "{told}");
    // The directory that was made to find out isn't left behind.
    refused(run(&["true"]).env("TMPDIR", folder.path()), 69);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_without_room_is_told_before_the_election() {
    let folder = TempDir::new().unwrap();
    // Files may be made, and no longer than 1 KiB: as on a file system that is full.
    let script = r#"trap "" XFSZ; ulimit -f 1; exec "$0" --endpoint "$1" run demo --patience 0s -- true"#;
    let mut run = Command::new("sh");
    run.args(["-c", script, LEASEHOLD, &nobody()]).env("TMPDIR", folder.path()).stdin(Stdio::null());
    let told = refused(&mut run, 126);
    assert!(told.contains("no file for its task token can be made in") && told.contains("has room"), "{told}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_command_that_the_kernel_would_not_start_is_told_before_the_election() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    refused(&mut run(&["no-such-command"]), 127);
    assert!(refused(&mut run(&[""]), 127).contains("there is no command \"\""));
    refused(&mut run(&["/no/such/command"]), 127);
    refused(&mut run(&[&file("plain", "#!/bin/sh\n", 0o644)]), 126);
    refused(&mut run(&[folder.path().to_str().unwrap()]), 126);
    let told = refused(&mut run(&[&file("script", "#!/no/such/shell -e\n", 0o755)]), 126);
    assert!(told.contains("its interpreter /no/such/shell isn't there"), "{told}");
    refused(&mut run(&[&file("good", "#!/bin/sh\n", 0o755)]), 69);
}

#[test]
fn the_folder_of_the_task_token_is_made_again() {
    let server = Server::start();
    let scratch = TempDir::new().unwrap();
    let script = "echo $LEASEHOLD_TASK_TOKEN_FILE > $0/file; exec sleep 30";
    let mut run = server.run(&["demo", "--ttl", "2s", "--"], script, scratch.path());
    let file = wait_for_line(scratch.path().join("file"));
    let file = Path::new(&file);
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
    let token = wait_for(SOON, || fs::read_to_string(file).ok().filter(|token| !token.is_empty()));
    assert_eq!(server.ask(&["verify", "demo", &token]).status.code(), Some(0));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file), mode(file.parent().unwrap())), (0o600, 0o700));
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 143);
    assert!(!file.parent().unwrap().exists());
}

/// A watchdog whose `leasehold run` is this test.
fn watchdog(folder: &Path, script: &str) -> (std::process::Child, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    let now = clock_gettime(ClockId::Boottime);
    let kill_at = Duration::new(u64::try_from(now.tv_sec).unwrap() + 60, 0).as_nanos().to_string();
    let mut watch = Command::new(LEASEHOLD);
    watch.args(["__watch", "--kill-at", &kill_at, "--remove"]).arg(folder.join("none"));
    watch.args(["--", "sh", "-c", script]).arg(folder).stdin(OwnedFd::from(there)).stderr(Stdio::piped());
    (watch.spawn().unwrap(), here)
}

fn hand_over_stdin(socket: &UnixStream) {
    let null = fs::File::open("/dev/null").unwrap();
    let files = [null.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
    sendmsg(socket, &[IoSlice::new(b"\n")], &mut ancillary, SendFlags::empty()).unwrap();
}

fn said(mut watchdog: std::process::Child) -> String {
    wait_for(SOON, || watchdog.try_wait().unwrap());
    let mut said = String::new();
    watchdog.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_run_that_is_killed_while_it_starts_leaves_no_riddle_behind() {
    let folder = TempDir::new().unwrap();
    // Before the command was started.
    let (child, socket) = watchdog(folder.path(), "true");
    drop(socket);
    assert_eq!(said(child), "leasehold: leasehold run has ended before its command was started\n");
    // After it, with the report of that still unread: the socket isn't closed but reset.
    let (child, socket) = watchdog(folder.path(), "echo $$ > $0/pid; exec sleep 30");
    hand_over_stdin(&socket);
    let pid = wait_for_pid(folder.path().join("pid"));
    drop(socket);
    assert_eq!(said(child), "");
    wait_for(SOON, || is_dead(pid).then_some(()));
}

#[test]
fn a_run_that_is_killed_at_any_moment_of_its_start_says_nothing_of_sockets() {
    let server = Server::start();
    for delay in 0..15 {
        let mut command = server.command(&["run", "demo", "--replace-former", "--name", "me", "--", "sleep", "30"]);
        let mut run = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.contains("leading demo"), "{first}");
        std::thread::sleep(Duration::from_millis(delay));
        run.kill().unwrap();
        run.wait().unwrap();
        // Until the watchdog has ended as well.
        let rest: Vec<_> = lines.map(Result::unwrap).collect();
        assert!(!rest.iter().any(|line| line.contains("os error")), "{delay}: {rest:?}");
    }
}
