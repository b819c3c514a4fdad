//! The health command: run again and again; the candidacy, and then the leadership, hangs on how it
//! ends.

use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use leasehold::{Campaign, HealthCheck};
use rustix::process::{Pid, getpid};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::family::{Change, Family};
use super::watchdog::THIS_PROGRAM;
use crate::args::RunArgs;
use crate::output::words;
use crate::voice::Voice;

/// What the command finds in its environment only while this process leads.
const OF_LEADERS: [&str; 3] = ["LEASEHOLD_CANDIDATE", "LEASEHOLD_FENCING_TOKEN", "LEASEHOLD_TASK_TOKEN_FILE"];

/// How much of the end of its output is kept.
const TAIL_BYTES: usize = 1024;

/// The client waits so much longer for the outcome, as starting and killing the command takes a
/// moment.
const START_TIME_MAX: Duration = Duration::from_secs(1);

type Environment = Vec<(&'static str, OsString)>;

/// The health command of one `leasehold run`.
#[derive(Debug, Clone)]
pub(crate) struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    command: OsString,
    interval: Duration,
    timeout: Duration,
    election: String,
    environment: Environment,
    /// What the environment has besides, once this process leads.
    leading: OnceLock<Environment>,
    /// Whether the last check failed, and its user was told.
    told: AtomicBool,
    /// The process groups of health commands that were killed and weren't gone at once.
    dying: Mutex<Vec<Family>>,
    voice: Voice,
}

impl Health {
    /// None without a health command.
    pub(crate) fn new(args: &RunArgs, service: &[(&'static str, OsString)], voice: Voice) -> Option<Self> {
        let (args, candidate) = (&args.health, &args.candidate);
        let election = candidate.election.as_str();
        let mut environment = service.to_vec();
        environment.push(("LEASEHOLD_ELECTION", election.into()));
        Some(Self(Arc::new(Shared {
            command: args.health_cmd.clone()?,
            interval: args.health_interval,
            timeout: args.health_timeout,
            election: election.to_owned(),
            environment,
            leading: OnceLock::new(),
            // A try that fails ends with this failure as its error.
            told: AtomicBool::new(candidate.no_wait),
            dying: Mutex::default(),
            voice,
        })))
    }

    /// Ties the campaign to the health command.
    pub(crate) fn tie(&self, campaign: Campaign) -> Campaign {
        let health = self.clone();
        let check = move || {
            let health = health.clone();
            async move { health.check().await }
        };
        let check = HealthCheck::new(check).interval(self.0.interval).timeout(self.0.timeout + START_TIME_MAX);
        campaign.health(check)
    }

    /// This process leads: from now on the health command finds in its environment what the command
    /// finds.
    pub(crate) fn leads(&self, environment: &[(&'static str, OsString)]) {
        let set = self.0.leading.set(environment.to_vec());
        debug_assert!(set.is_ok(), "this process leads once");
    }

    async fn check(self) -> Result<(), String> {
        let failed = match self.once().await {
            Ok(None) => None,
            Ok(Some(failure)) => Some(failure),
            Err(error) => Some(format!("the health command can't be run: {error:#}")),
        };
        let Some(failure) = failed else {
            self.0.told.store(false, Ordering::Relaxed);
            return Ok(());
        };
        // A leader's end is told by the session.
        if self.0.leading.get().is_none() && !self.0.told.swap(true, Ordering::Relaxed) {
            let election = &self.0.election;
            self.0.voice.say(format_args!("unhealthy: {failure}; not a candidate for {election} until it succeeds"));
        }
        Err(failure)
    }

    /// Runs the command once: how it failed, if it did.
    async fn once(&self) -> anyhow::Result<Option<String>> {
        self.reap();
        let mut run = Run::start(self)?;
        let ended = timeout(self.0.timeout, run.end()).await;
        let how = match ended {
            Ok(code) => match code? {
                0 => return Ok(None),
                code => format!("exited with {code}"),
            },
            Err(_) => format!("hasn't ended within {}", words::time(self.0.timeout)),
        };
        let said = run.last_line();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Ok(Some(format!("the health command {how}{said}")))
    }

    /// Reaps the commands that were killed, so that none stays as a zombie.
    fn reap(&self) {
        let mut dying = self.0.dying.lock().unwrap_or_else(PoisonError::into_inner);
        dying.retain(|family| !family.reap());
    }
}

/// A health command that runs. When this is dropped the command is killed, with its process group.
struct Run<'a> {
    health: &'a Health,
    family: Family,
    child_changed: Signal,
    output: Receiver,
    tail: Vec<u8>,
}

impl<'a> Run<'a> {
    fn start(health: &'a Health) -> anyhow::Result<Self> {
        // Before the start: an end that comes at once is noticed too.
        let child_changed = signal(SignalKind::child())?;
        let (output, stdout) = io::pipe()?;
        let output = receiver(output)?;
        let shared = &health.0;
        // By way of this program: so it dies with this process.
        let mut command = Command::new(THIS_PROGRAM);
        command.arg0("leasehold").arg("__launch").arg("--parent").arg(getpid().as_raw_nonzero().to_string());
        command.args(["--", "/bin/sh", "-c"]).arg(&shared.command);
        for name in OF_LEADERS {
            command.env_remove(name);
        }
        let environment = shared.environment.iter().chain(shared.leading.get().into_iter().flatten());
        command.envs(environment.map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stderr(stdout.try_clone()?).stdout(stdout).process_group(0);
        let child = command.spawn().context("can't start a process for it")?;
        Ok(Self { health, family: Family::new(Pid::from_child(&child)), child_changed, output, tail: Vec::new() })
    }

    /// Waits for its end: its code, as a shell gives it.
    async fn end(&mut self) -> io::Result<u8> {
        let mut buffer = [0; TAIL_BYTES];
        let mut is_open = true;
        loop {
            if let Some(Change::Ended(code)) = self.family.change()? {
                // Past the runtime, which may not know yet that there is something.
                while let Ok(length @ 1..) = rustix::io::read(&self.output, &mut buffer) {
                    self.keep(&buffer[..length]);
                }
                return Ok(code);
            }
            tokio::select! {
                biased;
                read = self.output.read(&mut buffer), if is_open => match read {
                    Ok(length @ 1..) => self.keep(&buffer[..length]),
                    Ok(0) | Err(_) => is_open = false,
                },
                _ = self.child_changed.recv() => {}
            }
        }
    }

    fn keep(&mut self, output: &[u8]) {
        self.tail.extend_from_slice(output);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
    }

    /// The last line that it wrote and that isn't empty.
    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        words::printable(text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // Not reaped yet, so the number of the group is still its own.
        let _ = self.family.signal(rustix::process::Signal::KILL);
        if !self.family.reap() {
            let mut dying = self.health.0.dying.lock().unwrap_or_else(PoisonError::into_inner);
            dying.push(self.family);
        }
    }
}

fn receiver(pipe: PipeReader) -> io::Result<Receiver> {
    Receiver::from_owned_fd(pipe.into())
}
