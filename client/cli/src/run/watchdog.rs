//! The watchdog: the process between `leasehold run` and its command. It starts the command, and
//! kills it and all that it started when its time is over, whatever has become of `leasehold run`:
//! stopped, killed or starved.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal as Number, getpid};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::clock::{Alarm, Moment};
use super::family::{Change, Family, adopt_orphans};
use super::wire::{self, KillAt, Report};
use crate::signals::Signals;

/// This program, also when its file has been replaced or removed since it was started.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// How long to wait for a descendant to fall to the watchdog before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Signals that this process would end by, or be stopped by from a keyboard: a watchdog outlives
/// them.
const SURVIVED: [Number; 8] =
    [Number::TERM, Number::INT, Number::HUP, Number::QUIT, Number::USR1, Number::USR2, Number::TSTP, Number::TTIN];

/// What the watchdog is started with.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// When to kill, unless told otherwise until then.
    #[arg(long)]
    pub(crate) kill_at: Moment,

    /// A directory to remove at the end.
    #[arg(long)]
    pub(crate) remove: PathBuf,

    /// Whether the command gets the terminal.
    #[arg(long)]
    pub(crate) foreground: bool,

    /// The command.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Runs as the watchdog, with the socket to `leasehold run` as standard input.
pub(crate) fn watch(args: &WatchArgs) -> anyhow::Result<()> {
    let watched = watch_to_the_end(args);
    let _ = std::fs::remove_dir_all(&args.remove);
    watched
}

fn watch_to_the_end(args: &WatchArgs) -> anyhow::Result<()> {
    let socket = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Ok(stdin) = wire::receive_file(&socket) else {
        anyhow::bail!("leasehold run has ended before its command was started");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        socket.set_nonblocking(true)?;
        Watchdog::new(UnixStream::from_std(socket)?, args)?.run(args, stdin).await
    })
}

struct Watchdog {
    told: Lines<BufReader<OwnedReadHalf>>,
    reports: OwnedWriteHalf,
    alarm: Alarm,
    child_changed: Signal,
}

/// Why the watchdog stopped watching.
enum Verdict {
    /// The command ended by itself.
    Ended,
    /// Its time is over, or `leasehold run` is gone, which alone could extend it.
    Kill,
}

impl Watchdog {
    fn new(socket: UnixStream, args: &WatchArgs) -> io::Result<Self> {
        adopt_orphans()?;
        let (told, reports) = socket.into_split();
        Ok(Self {
            told: BufReader::new(told).lines(),
            reports,
            alarm: Alarm::new(args.kill_at)?,
            child_changed: signal(SignalKind::child())?,
        })
    }

    async fn run(mut self, args: &WatchArgs, stdin: OwnedFd) -> anyhow::Result<()> {
        let _survived = Signals::of(SURVIVED.map(Number::as_raw))?;
        if args.kill_at.is_over() {
            return self.report(Report::Ended { code: 128 + 9, killed: true }).await;
        }
        let mut command = start(args, stdin)?;
        let family = Family::new(Pid::from_child(&command));
        self.report(Report::Started(family.group())).await?;
        let verdict = self.watch(family).await;
        // A command that ended by itself in the meantime wasn't killed.
        let killed = !matches!(verdict, Ok(Verdict::Ended)) && !matches!(family.change()?, Some(Change::Ended(_)));
        let code = self.end(family).await?;
        self.report(Report::Ended { code, killed }).await?;
        // Until leasehold run has read that, it may send signals to the group, whose number the
        // unreaped command keeps taken.
        while let Ok(Some(_)) = self.told.next_line().await {}
        command.wait()?;
        verdict.map(|_| ())
    }

    /// Watches until the command has ended or has to.
    async fn watch(&mut self, family: Family) -> anyhow::Result<Verdict> {
        loop {
            tokio::select! {
                biased;
                // Before the alarm: a watchdog that was stopped may find that the deadline has been
                // moved meanwhile.
                line = self.told.next_line() => match line {
                    Ok(Some(line)) => self.alarm.set(line.parse::<KillAt>()?.0)?,
                    // Killed with unread reports, leasehold run doesn't close its socket but resets
                    // it.
                    Ok(None) | Err(_) => return Ok(Verdict::Kill),
                },
                rang = self.alarm.rings() => {
                    rang?;
                    return Ok(Verdict::Kill);
                }
                _ = self.child_changed.recv() => {
                    family.reap_orphans()?;
                    match family.change()? {
                        Some(Change::Ended(_)) => return Ok(Verdict::Ended),
                        Some(Change::Stopped) => self.report(Report::Stopped).await?,
                        None => {}
                    }
                }
            }
        }
    }

    /// Kills what is left of the family, and returns the command's code when all are gone.
    async fn end(&mut self, family: Family) -> anyhow::Result<u8> {
        while !family.kill(&[])? {
            let _ = tokio::time::timeout(LOOK_AGAIN, self.child_changed.recv()).await;
        }
        match family.change()? {
            Some(Change::Ended(code)) => Ok(code),
            _ => anyhow::bail!("the command is gone, but the system doesn't know how it ended"),
        }
    }

    /// Tells leasehold run, if it is still there: if not, its closed socket says so to
    /// [`Watchdog::watch`].
    async fn report(&mut self, report: Report) -> anyhow::Result<()> {
        let _ = self.reports.write_all(report.to_string().as_bytes()).await;
        Ok(())
    }
}

/// Starts the command, by way of this program once more: see [`super::launch`].
fn start(args: &WatchArgs, stdin: OwnedFd) -> anyhow::Result<Child> {
    let mut launch = Command::new(THIS_PROGRAM);
    launch.arg0("leasehold").arg("__launch").arg("--parent").arg(getpid().as_raw_nonzero().to_string());
    if args.foreground {
        launch.arg("--foreground");
    }
    launch.arg("--").args(&args.command).stdin(Stdio::from(stdin)).process_group(0);
    launch.spawn().context("can't start a process for the command")
}
