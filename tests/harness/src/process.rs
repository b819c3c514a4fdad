//! A child process whose output is captured line by line, each with the moment it came.

use anyhow::{Context as _, bail};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::io::{PipeReader, PipeWriter, Write as _};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

mod capture;
use capture::Capture;

/// One line that a process wrote.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// Its place in its stream, from 0.
    pub index: usize,
    /// Its text, without the line end.
    pub text: String,
}

/// How a process ended, with all that it wrote.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// A running child process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Capture,
    stderr: Capture,
}

impl Process {
    /// Starts `command`. `name` stands for it in errors. Its stdin is empty, stdout and stderr are
    /// captured.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn spawn(name: &str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} doesn't start: {:?}", command.as_std()))?;
        let stdout = Capture::start(child.stdout.take().context("stdout is piped")?);
        let stderr = Capture::start(child.stderr.take().context("stderr is piped")?);
        Ok(Self { name: name.to_owned(), child, stdout, stderr })
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// When its end was already waited for: the id may be another's by now.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    /// The lines of stdout so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.stdout.lines()
    }

    /// What it wrote to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for the first line of stdout, however long ago it came, that fits.
    ///
    /// # Errors
    ///
    /// When none has come within `timeout`, or the output has ended: the error shows all output so
    /// far.
    pub async fn wait_for_line(
        &self,
        predicate: impl Fn(&str) -> bool + Send,
        timeout: Duration,
    ) -> anyhow::Result<Line> {
        self.wait_for_line_from(0, predicate, timeout).await
    }

    /// As `wait_for_line`, among the lines whose index is at least `from`.
    ///
    /// # Errors
    ///
    /// As `wait_for_line`.
    pub async fn wait_for_line_from(
        &self,
        from: usize,
        predicate: impl Fn(&str) -> bool + Send,
        timeout: Duration,
    ) -> anyhow::Result<Line> {
        let found = tokio::time::timeout(timeout, self.stdout.find(from, predicate)).await;
        let why = match found {
            Ok(Some(line)) => return Ok(line),
            Ok(None) => "its output ended before".to_owned(),
            Err(_) => format!("it didn't come within {timeout:?}"),
        };
        bail!(
            "{}: the awaited line isn't there: {why}\n--- stdout\n{}\n--- stderr\n{}",
            self.name,
            self.stdout.text(),
            self.stderr.text()
        )
    }

    /// Waits for the first line of stderr, however long ago it came, that has this part in it.
    ///
    /// # Errors
    ///
    /// As `wait_for_line`.
    pub async fn wait_for_error(&self, part: &str, timeout: Duration) -> anyhow::Result<String> {
        let found = tokio::time::timeout(timeout, self.stderr.find(0, |line| line.contains(part))).await;
        let Ok(Some(line)) = found else {
            bail!("{} hasn't written {part:?} to stderr within {timeout:?}:\n{}", self.name, self.stderr.text());
        };
        Ok(line.text)
    }

    /// Ends it at once, as a crash would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it had already been waited for.
    pub async fn kill9(&mut self) -> anyhow::Result<Ending> {
        self.signal(Signal::KILL)?;
        self.wait(Duration::from_secs(10)).await
    }

    /// Asks it to end (SIGTERM). Doesn't wait.
    ///
    /// # Errors
    ///
    /// When it had already been waited for.
    pub fn sigterm(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Pauses it (SIGSTOP), and waits until all of it stands still: the signal alone may take
    /// effect later.
    ///
    /// # Errors
    ///
    /// When it had already been waited for, or doesn't stop within 10 s.
    pub async fn sigstop(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let path = format!("/proc/{}/stat", self.pid());
        for _ in 0..1000 {
            let stat = std::fs::read_to_string(&path).with_context(|| format!("{} is gone", self.name))?;
            if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("{} doesn't stop", self.name)
    }

    /// Lets it go on after `sigstop` (SIGCONT).
    ///
    /// # Errors
    ///
    /// When it had already been waited for.
    pub fn sigcont(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Tells it something of its own (SIGUSR1).
    ///
    /// # Errors
    ///
    /// When it had already been waited for.
    pub fn sigusr1(&self) -> anyhow::Result<()> {
        self.signal(Signal::USR1)
    }

    /// Lets none of its files grow longer than this from now on, as on a full disk; or any. It must
    /// ignore SIGXFSZ, or it dies of it.
    ///
    /// # Errors
    ///
    /// When it had already been waited for, or the system refuses.
    pub fn limit_file_size(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        let id = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id is a positive i32")?;
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(pid), Resource::Fsize, limit).with_context(|| format!("{} ({id}) gets no limit", self.name))?;
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it had already been waited for, or the system refuses.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().with_context(|| format!("{} has ended, it gets no signal", self.name))?;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id is a positive i32")?;
        kill_process(pid, signal).with_context(|| format!("{} ({id}) gets no {signal:?}", self.name))
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    ///
    /// When it hasn't within `timeout`: the error shows all output so far.
    pub async fn wait(&mut self, timeout: Duration) -> anyhow::Result<Ending> {
        let Ok(status) = tokio::time::timeout(timeout, self.child.wait()).await else {
            bail!(
                "{} hasn't ended within {timeout:?}\n--- stdout\n{}\n--- stderr\n{}",
                self.name,
                self.stdout(),
                self.stderr()
            );
        };
        let status = status.with_context(|| format!("{} can't be waited for", self.name))?;
        self.stdout.finish().await;
        self.stderr.finish().await;
        Ok(Ending { status, stdout: self.stdout(), stderr: self.stderr() })
    }
}

/// A pipe that holds as much as it can, so that whoever writes to it waits. It isn't full any more
/// once somebody reads.
///
/// # Errors
///
/// When the system has no pipe left.
pub fn full_pipe() -> anyhow::Result<(PipeReader, PipeWriter)> {
    let (reader, mut writer) = std::io::pipe()?;
    let flags = fcntl_getfl(&writer)?;
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
    // Large pieces first: a pipe isn't full as long as one byte fits.
    for piece in [4096, 1] {
        while writer.write_all(&vec![b'.'; piece]).is_ok() {}
    }
    fcntl_setfl(&writer, flags)?;
    Ok((reader, writer))
}

#[cfg(test)]
mod tests {
    use super::Process;
    use std::time::Duration;
    use tokio::process::Command;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("sh", command).expect("sh is everywhere")
    }

    #[tokio::test]
    async fn lines_are_found_whether_they_came_before_or_come_later() {
        let process = shell("echo one; echo two; sleep 0.2; echo three; sleep 60");
        let three = process.wait_for_line(|line| line == "three", LONG).await.expect("it comes later");
        assert_eq!(three.index, 2);
        assert_eq!(process.wait_for_line(|line| line == "one", LONG).await.expect("it came before").index, 0);
        let error = process.wait_for_line_from(1, |line| line == "one", Duration::from_millis(50)).await;
        let text = error.expect_err("it came before line 1").to_string();
        assert!(text.contains("didn't come within 50ms") && text.contains("one\ntwo\nthree"), "{text}");
    }

    #[tokio::test]
    async fn a_line_that_never_comes_is_an_error_once_the_output_has_ended() {
        let process = shell("echo only; echo why >&2; exit 3");
        let text = process.wait_for_line(|line| line == "other", LONG).await.expect_err("it never comes").to_string();
        assert!(text.contains("its output ended before"), "{text}");
    }

    #[tokio::test]
    async fn the_ending_has_all_output() {
        let mut process = shell("echo out; echo err >&2; printf tail; exit 3");
        let ending = process.wait(LONG).await.expect("it ends");
        assert_eq!(
            (ending.status.code(), ending.stdout.as_str(), ending.stderr.as_str()),
            (Some(3), "out\ntail", "err")
        );
        assert!(process.sigterm().is_err(), "the id may be another's by now");
    }

    #[tokio::test]
    async fn a_paused_process_does_nothing_until_it_may_go_on() {
        let mut process = shell("while :; do echo tick; sleep 0.01; done");
        process.wait_for_line(|_| true, LONG).await.expect("it ticks");
        process.sigstop().await.expect("it stops");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = process.lines().len();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(process.lines().len(), before);
        process.sigcont().expect("it runs");
        process.wait_for_line_from(before, |_| true, LONG).await.expect("it ticks again");
        process.sigstop().await.expect("it stops");
        assert!(!process.kill9().await.expect("a paused one dies as well").status.success());
    }
}
