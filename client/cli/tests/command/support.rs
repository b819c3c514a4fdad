//! A server, commands and processes, and waiting for what becomes of them.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take that should happen soon, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The command under test.
pub(crate) const LEASEHOLD: &str = env!("CARGO_BIN_EXE_leasehold");

/// A server of its own on a port of its own.
pub(crate) struct Server {
    process: Child,
    _stdout: BufReader<ChildStdout>,
    data: TempDir,
    address: String,
    http: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_at(TempDir::new().unwrap(), "127.0.0.1:0")
    }

    /// Starts it with this data folder at this address.
    pub(crate) fn start_at(data: TempDir, listen: &str) -> Self {
        let binary = Path::new(LEASEHOLD).with_file_name("leasehold-server");
        assert!(binary.exists(), "{} isn't built: run cargo build -p leasehold-server first", binary.display());
        let log = File::options().create(true).append(true).open(data.path().join("log")).unwrap();
        let mut process = Command::new(binary)
            .args(["--listen", listen, "--http-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let after = |text: &str| {
            let (_, rest) = line.split_once(text).unwrap_or_else(|| panic!("it said {line:?}: {}", log_of(&data)));
            rest.split([' ', ')']).next().unwrap().to_owned()
        };
        let (address, http) = (after("listening on "), after("(http "));
        Self { process, _stdout: stdout, data, address, http }
    }

    /// Where it serves gRPC.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    /// Where it serves HTTP.
    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the server with this signal, and starts it again with the same data at the same
    /// address.
    pub(crate) fn restart(mut self, signal: Signal) -> Self {
        self.end(signal);
        self.start_again()
    }

    /// Ends the server in good order, and starts it again after this time.
    pub(crate) fn pause_for(mut self, time: Duration) -> Self {
        self.end(Signal::TERM);
        sleep(time);
        self.start_again()
    }

    fn start_again(mut self) -> Self {
        let data = std::mem::replace(&mut self.data, TempDir::new().unwrap());
        Self::start_at(data, &self.address)
    }

    /// Stops the server, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Ends the server with this signal and waits for that.
    pub(crate) fn end(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        self.process.wait().unwrap();
    }

    /// The command, told to use this server.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LEASEHOLD);
        command.arg("--endpoint").arg(self.endpoint()).args(args);
        command
    }

    /// `leasehold run` with these arguments, which end with `--`, of a script that gets this
    /// directory as `$0`.
    pub(crate) fn run(&self, args: &[&str], script: &str, directory: &Path) -> Running {
        let mut command = self.command(&["run"]);
        command.args(args).args(["sh", "-c", script]).arg(directory);
        Running::start(command)
    }

    /// Runs the command to its end.
    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// What it prints, as one JSON object.
    pub(crate) fn ask_json(&self, args: &[&str]) -> serde_json::Value {
        let output = self.ask(&[&["--output", "json"], args].concat());
        let text = text(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}, {}", self::text(&output.stderr)))
    }

    /// Waits until this election is led.
    pub(crate) fn wait_for_leader(&self, election: &str) -> serde_json::Value {
        wait_for(SOON, || {
            let election = self.ask_json(&["get", election]);
            election.get("leader").cloned()
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", log_of(&self.data));
        }
    }
}

fn log_of(data: &TempDir) -> String {
    fs::read_to_string(data.path().join("log")).unwrap_or_default()
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The command with these arguments, and no setting of the caller's.
pub(crate) fn leasehold(args: &[&str]) -> Command {
    let mut command = Command::new(LEASEHOLD);
    command.args(args).env_remove("LEASEHOLD_ENDPOINT").stdin(Stdio::null());
    command
}

/// A command that runs in the background, and is killed with the test.
pub(crate) struct Running {
    process: Child,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        Self { process: command.spawn().unwrap() }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn status(&mut self) -> ExitStatus {
        wait_for(SOON * 2, || self.process.try_wait().unwrap())
    }

    /// Its exit code; -1 if a signal ended it.
    pub(crate) fn code(&mut self) -> i32 {
        self.status().code().unwrap_or(-1)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// What it wrote to standard error, once it has ended.
    pub(crate) fn stderr(&mut self) -> String {
        self.status();
        let mut text = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// What it wrote to standard output, once it has ended.
    pub(crate) fn stdout(&mut self) -> String {
        self.status();
        let mut text = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Its standard output, line by line.
    pub(crate) fn lines(&mut self) -> std::io::Lines<BufReader<ChildStdout>> {
        BufReader::new(self.process.stdout.take().unwrap()).lines()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(self.pid(), Signal::CONT);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until there is something to return.
#[track_caller]
pub(crate) fn wait_for<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < within, "it didn't happen within {within:?}");
        sleep(Duration::from_millis(10));
    }
}

/// Waits until the file has a whole line, and returns that.
#[track_caller]
pub(crate) fn wait_for_line(file: PathBuf) -> String {
    wait_for(SOON, || {
        let text = fs::read_to_string(&file).ok()?;
        text.split_once('\n').map(|(line, _)| line.to_owned())
    })
}

/// Waits until a script has written its process number to this file.
#[track_caller]
pub(crate) fn wait_for_pid(file: PathBuf) -> Pid {
    Pid::from_raw(wait_for_line(file).parse().unwrap()).unwrap()
}

/// The state of a process as in `ps`: `Z` if it has ended but wasn't reaped, none if it is gone.
pub(crate) fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next())
}

pub(crate) fn is_dead(pid: Pid) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

/// The parent of a process.
pub(crate) fn parent(pid: Pid) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    Pid::from_raw(fields.split(' ').nth(1).unwrap().parse().unwrap()).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
