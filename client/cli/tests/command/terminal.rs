//! `run` in a terminal, under a shell with job control: the command has the keyboard, ^C and ^Z do
//! what they always do.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::support::{LEASEHOLD, SOON, Server, wait_for};

// Commands that get ^C or ^Z become one program by `exec`: dash may lose a signal that comes while
// it starts another.

/// An interactive shell on a terminal of its own.
struct Shell {
    process: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Shell {
    fn start(server: &Server) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let side: OwnedFd = ioctl_tiocgptpeer(&terminal, flags).unwrap();
        let mut shell = Command::new("setsid");
        shell.args(["--ctty", "bash", "--norc", "--noprofile", "-i"]).env("PS1", "ready> ").env("TERM", "dumb");
        shell.env("LEASEHOLD", LEASEHOLD).env("LEASEHOLD_ENDPOINT", server.endpoint());
        shell.stdout(Stdio::from(side.try_clone().unwrap())).stderr(Stdio::from(side.try_clone().unwrap()));
        let process = shell.stdin(Stdio::from(side)).spawn().unwrap();
        let keyboard = File::from(terminal);
        let screen = Arc::new(Mutex::new(String::new()));
        thread::spawn({
            let (screen, mut terminal) = (Arc::clone(&screen), keyboard.try_clone().unwrap());
            move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = terminal.read(&mut bytes) {
                    screen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
            }
        });
        let mut shell = Self { process, keyboard, screen };
        shell.sees("ready> ");
        shell
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this stands on the screen, and forgets all up to it.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let start = std::time::Instant::now();
        wait_for(SOON * 2, || {
            let mut screen = self.screen.lock().unwrap();
            if let Some(at) = screen.find(text) {
                screen.drain(..at + text.len());
                return Some(());
            }
            assert!(start.elapsed() < SOON, "{text:?} isn't on the screen, but {screen:?}");
            None
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_command_reads_the_keyboard_and_the_shell_has_it_back_afterwards() {
    let server = Server::start();
    let mut shell = Shell::start(&server);
    shell.type_in("\"$LEASEHOLD\" run demo -- sh -c 'read line; echo \"got <$line>\"; exit 3'; echo \"code $?\"\n");
    shell.sees("leading demo");
    shell.type_in("hello\n");
    shell.sees("got <hello>");
    shell.sees("code 3");
    shell.type_in("echo $((40 + 2))\n");
    shell.sees("42");
}

#[test]
fn a_script_has_the_keyboard_back_afterwards() {
    let server = Server::start();
    let mut shell = Shell::start(&server);
    shell.type_in(
        "sh -c '\"$LEASEHOLD\" run demo -- sh -c \"read line; echo got-\\$line\"; read line; echo then-$line'\n",
    );
    shell.sees("leading demo");
    shell.type_in("one\n");
    shell.sees("got-one");
    shell.type_in("two\n");
    shell.sees("then-two");
}

#[test]
fn an_interrupt_from_the_keyboard_ends_the_command() {
    let server = Server::start();
    let mut shell = Shell::start(&server);
    shell.type_in("\"$LEASEHOLD\" run demo -- sh -c 'echo started; exec sleep 60'; echo \"code $?\"\n");
    shell.sees("started\r\n");
    shell.type_in("\u{3}");
    shell.sees("code 130");
}

#[test]
fn an_interrupt_from_the_keyboard_ends_the_wait() {
    let server = Server::start();
    let mut shell = Shell::start(&server);
    shell.type_in("\"$LEASEHOLD\" campaign demo > /dev/null &\n");
    server.wait_for_leader("demo");
    shell.type_in("\"$LEASEHOLD\" run demo -- true; echo \"code $?\"\n");
    shell.sees("waiting for demo");
    shell.type_in("\u{3}");
    shell.sees("code 130");
}

#[test]
fn a_stop_from_the_keyboard_gives_the_shell_back_and_fg_goes_on() {
    let server = Server::start();
    let mut shell = Shell::start(&server);
    shell.type_in("\"$LEASEHOLD\" run demo -- cat; echo \"code $?\"\n");
    shell.sees("leading demo");
    shell.type_in("one\n");
    shell.sees("one\r\none\r\n");
    shell.type_in("\u{1a}");
    shell.sees("Stopped");
    shell.sees("ready> ");
    shell.type_in("fg\n");
    shell.sees("fg\r\n");
    shell.type_in("two\n");
    shell.sees("two\r\ntwo\r\n");
    shell.type_in("\u{4}");
    shell.sees("ready> ");
    assert!(
        server.ask_json(&["get", "demo"]).get("leader").is_none(),
        "the command has ended and the election is free"
    );
}

#[test]
fn a_command_in_the_background_that_wants_the_keyboard_gets_it_with_fg() {
    let server = Server::start();
    let mut shell = Shell::start(&server);
    shell.type_in("\"$LEASEHOLD\" run demo -- sh -c 'read line; echo \"got <$line>\"' &\n");
    shell.sees("leading demo");
    shell.type_in("\n");
    server.wait_for_leader("demo");
    thread::sleep(std::time::Duration::from_millis(500));
    shell.type_in("fg\n");
    shell.sees("fg\r\n");
    shell.type_in("hello\n");
    shell.sees("got <hello>");
}

#[test]
fn a_command_that_stays_stopped_is_killed_before_its_deadline() {
    let server = Server::start();
    let mut shell = Shell::start(&server);
    shell.type_in("\"$LEASEHOLD\" run demo --ttl 1s -- sh -c 'echo started; exec sleep 60'\n");
    shell.sees("started\r\n");
    shell.type_in("\u{1a}");
    shell.sees("Stopped");
    wait_for(SOON, || server.ask_json(&["get", "demo"]).get("leader").is_none().then_some(()));
    shell.type_in("fg; echo \"code $?\"\n");
    shell.sees("code 76");
}
