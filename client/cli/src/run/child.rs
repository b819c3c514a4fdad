//! The command as `leasehold run` sees it: started through a watchdog, which reports what becomes
//! of it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{sleep, timeout};

use super::clock::Moment;
use super::family::{Family, children, kill_children};
use super::watchdog::THIS_PROGRAM;
use super::wire::{self, KillAt, Report};
use crate::exit::{Exit, Failure};

/// What to start.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// The command and its arguments.
    pub(crate) command: &'a [OsString],
    /// What the command finds in its environment, beside what this process has.
    pub(crate) environment: &'a [(&'static str, OsString)],
    /// When it is killed, unless the watchdog is told otherwise.
    pub(crate) kill_at: Moment,
    /// A directory that the watchdog removes at the end.
    pub(crate) remove: &'a Path,
    /// Whether it gets the terminal.
    pub(crate) foreground: bool,
}

/// A command that was started, and its watchdog.
#[derive(Debug)]
pub(crate) struct Child {
    watchdog: process::Child,
    reports: Lines<BufReader<OwnedReadHalf>>,
    told: OwnedWriteHalf,
    /// Children that this process had before: it may have been a shell that became `leasehold` by
    /// exec.
    others: Vec<Pid>,
}

/// How long a watchdog may take to do what it has to, before `leasehold run` does it. Less than the
/// margin before a deadline.
pub(crate) const WATCHDOG_DELAY_MAX: Duration = Duration::from_millis(100);

/// How long to wait for a descendant to fall to this process before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Child {
    /// Starts the watchdog, and returns when that has started the command.
    pub(crate) async fn start(order: &Order<'_>) -> anyhow::Result<(Self, Family)> {
        let (here, there) = StdUnixStream::pair()?;
        here.set_nonblocking(true)?;
        let here = UnixStream::from_std(here)?;
        let others = children()?;
        let watchdog = watchdog(order, there)?;
        let handed_over = wire::send_file(&here, io::stdin().as_fd());
        let (reports, told) = here.into_split();
        let mut child = Self { watchdog, reports: BufReader::new(reports).lines(), told, others };
        let patience = order.kill_at.left() + WATCHDOG_DELAY_MAX;
        if let Ok(Some(Report::Started(group))) = timeout(patience, child.report()).await.unwrap_or(Ok(None)) {
            return Ok((child, Family::new(group)));
        }
        child.end_by_force(None).await?;
        handed_over.context("the command's watchdog doesn't take its standard input")?;
        if order.kill_at.is_over() {
            return Err(Failure::new(Exit::Lost, "the leadership ran out before the command was started").into());
        }
        anyhow::bail!("the command's watchdog ended before it started the command")
    }

    /// Tells the watchdog when to kill. A watchdog that can't be told kills at the moment that it
    /// was told last, or is dead and [`Child::report`] says so.
    pub(crate) fn kill_at(&self, at: Moment) {
        let _ = self.told.try_write(KillAt(at).to_string().as_bytes());
    }

    /// The watchdog's next report; none if it is gone. Cancel-safe.
    pub(crate) async fn report(&mut self) -> anyhow::Result<Option<Report>> {
        match self.reports.next_line().await {
            Ok(Some(line)) => Ok(Some(line.parse()?)),
            // A watchdog that was killed with unread messages resets its socket.
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// The command has ended, and the watchdog has said so: lets it end too.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        drop((self.reports, self.told));
        self.watchdog.wait().map(|_| ())
    }

    /// Ends everything without the watchdog's help, which has failed. Its death kills the command;
    /// what that started falls to this process.
    pub(crate) async fn end_by_force(&mut self, family: Option<Family>) -> io::Result<()> {
        let _ = self.watchdog.kill();
        self.watchdog.wait()?;
        let kill = || match family {
            Some(family) => family.kill(&self.others),
            None => kill_children(&self.others),
        };
        while !kill()? {
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

fn watchdog(order: &Order<'_>, socket: StdUnixStream) -> anyhow::Result<process::Child> {
    let mut watchdog = Command::new(THIS_PROGRAM);
    watchdog.arg0("leasehold").arg("__watch");
    watchdog.arg("--kill-at").arg(order.kill_at.to_string()).arg("--remove").arg(order.remove);
    if order.foreground {
        watchdog.arg("--foreground");
    }
    watchdog.arg("--").args(order.command);
    watchdog.envs(order.environment.iter().map(|(name, value)| (name, value)));
    // A group of its own: what is typed on the keyboard isn't meant for it.
    watchdog.stdin(Stdio::from(OwnedFd::from(socket))).process_group(0);
    watchdog.spawn().with_context(|| format!("can't start {THIS_PROGRAM} for the watchdog; is /proc mounted?"))
}
