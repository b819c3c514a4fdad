//! `controlplane up` as a child process: one line in, one line out.

use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

/// How long its end may take once stdin is closed: it kills two processes and waits for them.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Its stdin and stdout.
#[derive(Debug)]
struct Pipes {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// The running program. When this is dropped, it ends, and etcd and the API server with it.
#[derive(Debug)]
pub(crate) struct Supervisor {
    child: Child,
    // None once a command was given up: its answer would be taken for the next one's.
    pipes: Mutex<Option<Pipes>>,
    log: PathBuf,
}

impl Supervisor {
    /// Starts it with its data in `dir`, and waits for its first line: the path of the kubeconfig.
    pub(crate) async fn start(
        program: &Path,
        dir: &Path,
        flags: &[String],
        timeout: Duration,
    ) -> anyhow::Result<(Self, PathBuf)> {
        let log = dir.join("up.log");
        let stderr = std::fs::File::create(&log).with_context(|| format!("{} can't be made", log.display()))?;
        let mut child = Command::new(program)
            .args(["up", "--dir"])
            .arg(dir)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} doesn't start", program.display()))?;
        let stdin = child.stdin.take().context("stdin is piped")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let supervisor = Self { child, pipes: Mutex::new(Some(Pipes { stdin, stdout })), log };
        let line = supervisor.ask(None, timeout).await.context("the control plane doesn't start")?;
        Ok((supervisor, PathBuf::from(line)))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Has it do what `line` says, and waits until that is done. A call that is cancelled, or takes
    /// longer than `timeout`, ends the control plane.
    pub(crate) async fn command(&self, line: &str, timeout: Duration) -> anyhow::Result<()> {
        let answer = self.ask(Some(line), timeout).await.with_context(|| format!("`{line}`"))?;
        match answer.strip_prefix("failed: ") {
            None if answer == "ok" => Ok(()),
            None => bail!("`{line}`: the control plane answers {answer:?}"),
            Some(why) => bail!("`{line}`: {why}"),
        }
    }

    /// Writes a line, if there is one, and reads one.
    async fn ask(&self, line: Option<&str>, timeout: Duration) -> anyhow::Result<String> {
        let mut slot = self.pipes.lock().await;
        // Put back when the answer has come; else dropped, which ends the control plane.
        let mut pipes = slot.take().context("the control plane was ended, as it didn't answer an earlier command")?;
        let exchange = async {
            if let Some(line) = line {
                pipes.stdin.write_all(format!("{line}\n").as_bytes()).await?;
            }
            let mut answer = String::new();
            pipes.stdout.read_line(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(answer)) if answer.ends_with('\n') => answer.trim_end().to_owned(),
            Ok(Ok(_)) => bail!("it has ended: {}", self.log()),
            Ok(Err(error)) => bail!("it can't be talked to: {error}: {}", self.log()),
            Err(_) => bail!("no answer within {timeout:?}: {}", self.log()),
        };
        *slot = Some(pipes);
        Ok(answer)
    }

    /// What it said about itself.
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for Supervisor {
    /// Waits until all three are gone: a temporary folder can't be removed before.
    fn drop(&mut self) {
        *self.pipes.get_mut() = None;
        let deadline = Instant::now() + END_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                // The kernel kills the two when it is gone.
                eprintln!("the control plane doesn't end, it is killed");
                let _ = self.child.start_kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
