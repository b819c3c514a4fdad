//! A command that runs while its leadership lasts: from its start to its end.

use std::io;
use std::time::Duration;

use futures::future::{BoxFuture, Fuse};
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use leasehold::{Leadership, Lost};
use tokio::time::{MissedTickBehavior, timeout};

use super::child::{Child, Order, WATCHDOG_DELAY_MAX};
use super::clock::{Alarm, Moment};
use super::family::Family;
use super::terminal::Terminal;
use super::timing::Timing;
use super::token_file::TokenFile;
use super::wire::Report;
use crate::output::words;
use crate::signals::Signals;
use crate::voice::Voice;

/// How often the leadership's deadline is looked at, to tell the watchdog when it has moved.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a report may take from the socket to here.
const REPORT_DELAY_MAX: Duration = Duration::from_millis(20);

/// Why the command has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndCause {
    /// The service can't be reached, and the deadline is near.
    CannotKeep,
    /// An operator ends the leadership.
    Draining,
    /// The health command says that it has to.
    Unhealthy(String),
    /// The leadership is over.
    Lost(Lost),
}

impl EndCause {
    /// Why the command is being ended, and how much time it has.
    fn in_words(&self, election: &str, left: Duration) -> String {
        let then = format!("the command gets SIGTERM now, and SIGKILL in {}", words::time(left));
        match self {
            EndCause::CannotKeep => {
                format!("no word from the service, so the leadership of {election} can't be kept: {then}")
            }
            EndCause::Draining => format!("{election} is to be handed over: {then}"),
            EndCause::Unhealthy(detail) => format!("unhealthy: {detail}; {election} goes to the next one: {then}"),
            EndCause::Lost(lost) => format!("the leadership of {election} is over: {lost}; killing the command"),
        }
    }
}

/// How the command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// By itself or by a signal that was passed on, while leading. The code is what a shell gives.
    Ended(u8),
    /// Because the leadership ended.
    Lost,
    /// Because it was unhealthy. The service hasn't heard of it yet.
    Unhealthy,
}

/// A running command and the leadership that it depends on.
pub(crate) struct Session<'a> {
    leadership: &'a Leadership,
    timing: Timing,
    child: Child,
    family: Family,
    terminal: Option<&'a Terminal>,
    token_file: &'a TokenFile,
    voice: Voice,
    news: News,
    /// When to ask the command to end.
    stop: Alarm,
    /// When the watchdog should have killed the command.
    take_over: Alarm,
    /// When the watchdog kills, as it was told last.
    kill_at: Moment,
    reason: Option<EndCause>,
}

/// What the leadership tells.
struct News {
    lost: Fuse<BoxFuture<'static, Lost>>,
    draining: Fuse<BoxFuture<'static, ()>>,
    task_tokens: BoxStream<'static, String>,
    look: tokio::time::Interval,
}

/// What can happen.
enum Event {
    Report(Option<Report>),
    Lost(Lost),
    TimeToTakeOver,
    TimeToStop,
    Draining,
    Signal(i32),
    TaskToken(String),
    Look,
}

/// What a session is made of.
pub(crate) struct Parts<'a> {
    pub(crate) leadership: &'a Leadership,
    pub(crate) timing: Timing,
    pub(crate) terminal: Option<&'a Terminal>,
    pub(crate) token_file: &'a TokenFile,
    pub(crate) voice: Voice,
}

/// The deadline of a leadership on our clock, or a moment before it.
pub(crate) fn deadline(leadership: &Leadership) -> Moment {
    // In this order: a pause between the two makes it earlier, never later.
    let now = Moment::now();
    now.after(leadership.remaining())
}

impl<'a> Session<'a> {
    /// Starts the command.
    pub(crate) async fn start(parts: Parts<'a>, order: &Order<'_>) -> anyhow::Result<Self> {
        let Parts { leadership, timing, terminal, token_file, voice } = parts;
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let news = News {
            lost: leadership.lost().boxed().fuse(),
            draining: leadership.draining().boxed().fuse(),
            task_tokens: leadership.task_tokens().fuse().boxed(),
            look,
        };
        let stop = Alarm::new(timing.stop_at(deadline(leadership)))?;
        let take_over = Alarm::new(order.kill_at.after(WATCHDOG_DELAY_MAX))?;
        // Last: what could fail after it would leave a command behind.
        let (child, family) = Child::start(order).await?;
        let kill_at = order.kill_at;
        Ok(Self {
            leadership,
            timing,
            child,
            family,
            terminal,
            token_file,
            voice,
            news,
            stop,
            take_over,
            kill_at,
            reason: None,
        })
    }

    /// Watches over the command until it and all that it started are gone.
    pub(crate) async fn run(mut self, signals: &mut Signals) -> anyhow::Result<Outcome> {
        let watched = self.watch(signals).await;
        if let Some(terminal) = self.terminal {
            terminal.take_back(self.family);
        }
        match watched {
            Ok(outcome) => {
                self.child.finish()?;
                Ok(outcome)
            }
            Err(error) => {
                self.child.end_by_force(Some(self.family)).await?;
                Err(error)
            }
        }
    }

    async fn watch(&mut self, signals: &mut Signals) -> anyhow::Result<Outcome> {
        loop {
            match self.next(signals).await? {
                Event::Report(Some(Report::Ended { code, killed })) => return Ok(self.outcome(code, killed)),
                Event::Report(Some(Report::Stopped)) => self.stopped(),
                Event::Report(Some(Report::Started(_))) => {}
                Event::Report(None) => {
                    anyhow::bail!("the command's watchdog was killed, so the command was killed too")
                }
                Event::Lost(Lost::Unhealthy { detail }) => self.end_unhealthy(detail)?,
                Event::Lost(lost) => self.kill(lost)?,
                Event::TimeToTakeOver => return self.take_over().await,
                Event::TimeToStop => {
                    self.look()?;
                    if self.timing.stop_at(deadline(self.leadership)).is_over() {
                        self.ask_to_end(EndCause::CannotKeep);
                    }
                }
                Event::Draining => self.ask_to_end(EndCause::Draining),
                Event::Signal(number) => self.sent(self.family.pass_on(number)),
                Event::TaskToken(token) => {
                    self.look()?;
                    self.refresh(&token);
                }
                Event::Look => self.look()?,
            }
        }
    }

    /// The next event. Reports come first: a command that ended while this process was stopped has
    /// ended, and nothing else matters.
    async fn next(&mut self, signals: &mut Signals) -> anyhow::Result<Event> {
        let to_be_ended = self.reason.is_some();
        let event = tokio::select! {
            biased;
            report = self.child.report() => Event::Report(report?),
            lost = &mut self.news.lost => Event::Lost(lost),
            rang = self.take_over.rings() => rang.map(|()| Event::TimeToTakeOver)?,
            rang = self.stop.rings(), if !to_be_ended => rang.map(|()| Event::TimeToStop)?,
            () = &mut self.news.draining, if !to_be_ended => Event::Draining,
            signal = signals.next() => Event::Signal(signal),
            Some(token) = self.news.task_tokens.next() => Event::TaskToken(token),
            _ = self.news.look.tick(), if !to_be_ended => Event::Look,
        };
        Ok(event)
    }

    /// Tells the watchdog if the deadline has moved.
    fn look(&mut self) -> io::Result<()> {
        let deadline = deadline(self.leadership);
        let kill_at = self.timing.kill_at(deadline);
        // Two readings of one deadline differ by the time between them.
        let has_moved = kill_at > self.kill_at.after(Duration::from_millis(1));
        if has_moved && self.reason.is_none() {
            self.child.kill_at(kill_at);
            self.kill_at = kill_at;
            self.take_over.set(kill_at.after(WATCHDOG_DELAY_MAX))?;
            self.stop.set(self.timing.stop_at(deadline))?;
        }
        Ok(())
    }

    /// The command was stopped: with a terminal, that is a matter between it, this process and the
    /// shell.
    fn stopped(&self) {
        if let Some(terminal) = self.terminal {
            self.sent(terminal.command_stopped(self.family));
        }
    }

    /// SIGTERM now; SIGKILL when the watchdog was told last. Neither is taken back if the
    /// leadership is kept after all.
    fn ask_to_end(&mut self, reason: EndCause) {
        self.sent(self.family.stop());
        self.voice.say(reason.in_words(self.leadership.election(), self.kill_at.left()));
        self.reason = Some(reason);
    }

    /// SIGTERM now, SIGKILL after the grace. The service hears of it only when the command is gone.
    fn end_unhealthy(&mut self, detail: String) -> io::Result<()> {
        let kill_at = self.kill_at.min(self.timing.kill_after_grace(Moment::now()));
        self.child.kill_at(kill_at);
        self.kill_at = kill_at;
        self.take_over.set(kill_at.after(WATCHDOG_DELAY_MAX))?;
        if self.reason.is_none() {
            self.ask_to_end(EndCause::Unhealthy(detail));
        }
        Ok(())
    }

    /// A command that runs as another user gets no signals from us; the leadership runs out all the
    /// same.
    fn sent(&self, sent: io::Result<()>) {
        if let Err(error) = sent {
            self.voice.say(format_args!("a signal couldn't be sent to the command: {error}"));
        }
    }

    /// A full disk is no reason to end the command: the old token says by itself when it is worth
    /// nothing any more.
    fn refresh(&self, task_token: &str) {
        if let Err(error) = self.token_file.replace(task_token) {
            self.voice.say(format_args!("the file of the task token couldn't be refreshed: {error}"));
        }
    }

    /// SIGKILL now.
    fn kill(&mut self, lost: Lost) -> io::Result<()> {
        self.child.kill_at(Moment::PAST);
        self.take_over.set(Moment::now().after(WATCHDOG_DELAY_MAX))?;
        let reason = EndCause::Lost(lost);
        self.voice.say(reason.in_words(self.leadership.election(), Duration::ZERO));
        self.reason.get_or_insert(reason);
        Ok(())
    }

    /// The watchdog should have killed the command by now, but hasn't said so: it is stopped, or
    /// what it kills takes long to go.
    async fn take_over(&mut self) -> anyhow::Result<Outcome> {
        // Or it has, and this process was stopped until now.
        if let Ok(Some(Report::Ended { code, killed })) =
            timeout(REPORT_DELAY_MAX, self.child.report()).await.unwrap_or(Ok(None))
        {
            return Ok(self.outcome(code, killed));
        }
        self.voice.say("the watchdog hasn't ended the command in time: ending it without");
        self.child.end_by_force(Some(self.family)).await?;
        Ok(self.outcome(128 + 9, true))
    }

    fn outcome(&self, code: u8, killed: bool) -> Outcome {
        match self.reason {
            Some(EndCause::Unhealthy(_)) => Outcome::Unhealthy,
            None if killed => {
                let election = self.leadership.election();
                self.voice.say(format_args!(
                    "the time of the leadership of {election} has run out, and the command was killed"
                ));
                Outcome::Lost
            }
            _ if killed => Outcome::Lost,
            Some(EndCause::CannotKeep | EndCause::Draining) => Outcome::Lost,
            // It ended by itself before the watchdog could kill it.
            None | Some(EndCause::Lost(_)) => Outcome::Ended(code),
        }
    }
}
