//! Moments on a clock that goes on while the machine is suspended, and an alarm on that clock.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A moment: time since the machine started, suspension included. All processes of a machine agree
/// on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// Lies before every other moment.
    pub(crate) const PAST: Moment = Moment(Duration::ZERO);

    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).expect("the machine didn't start in the future");
        let nanos = u32::try_from(now.tv_nsec).expect("the kernel gives less than a second");
        Self(Duration::new(seconds, nanos))
    }

    /// The moment `time` later.
    #[must_use]
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// The moment `time` earlier, or the start of the machine.
    #[must_use]
    pub(crate) fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }

    /// Time left until this moment; zero if it is over.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    pub(crate) fn is_over(self) -> bool {
        Self::now() >= self
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_nanos())
    }
}

impl FromStr for Moment {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(|nanos| Self(Duration::from_nanos(nanos)))
    }
}

/// Rings at a moment, at once if that moment passed while the machine was suspended or this process
/// was stopped.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    at: Moment,
}

impl Alarm {
    /// An alarm that is set to `at`. Needs a tokio runtime.
    pub(crate) fn new(at: Moment) -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; a timer that we own stays open as long as it is registered"
        )]
        let timer = AsyncFd::new(timer)?;
        let mut alarm = Self { timer, at };
        alarm.set(at)?;
        Ok(alarm)
    }

    /// Moves the alarm, also after it has rung.
    pub(crate) fn set(&mut self, at: Moment) -> io::Result<()> {
        // A timer that is set to zero is switched off, so the earliest moment is a nanosecond
        // later.
        let at_or_soon = at.0.max(Duration::from_nanos(1));
        let value = Timespec {
            tv_sec: i64::try_from(at_or_soon.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(at_or_soon.subsec_nanos()),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        self.at = at;
        Ok(())
    }

    /// Returns when the moment has come, at once if it is over. Cancel-safe.
    pub(crate) async fn rings(&self) -> io::Result<()> {
        while !self.at.is_over() {
            // What is ready may be an expiry from before the alarm was moved: the clock decides.
            let mut ready = self.timer.readable().await?;
            if !self.at.is_over() {
                ready.clear_ready();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_being_written_down() {
        let moment = Moment::now();
        assert_eq!(moment.to_string().parse::<Moment>().unwrap(), moment);
        assert!("soon".parse::<Moment>().is_err());
    }

    #[test]
    fn what_is_over_has_no_time_left() {
        let now = Moment::now();
        assert!(now.is_over());
        assert_eq!(now.left(), Duration::ZERO);
        assert!(Moment::PAST < now);
        let later = now.after(Duration::from_secs(60));
        assert!(!later.is_over());
        assert!(later.left() > Duration::from_secs(50));
        assert_eq!(later.before(Duration::from_secs(60)), now);
    }

    #[tokio::test]
    async fn rings_when_its_moment_has_come_and_not_before() {
        let start = Moment::now();
        let alarm = Alarm::new(start.after(Duration::from_millis(50))).unwrap();
        alarm.rings().await.unwrap();
        assert!(Moment::now() >= start.after(Duration::from_millis(50)));
        alarm.rings().await.unwrap();
    }

    #[tokio::test]
    async fn an_alarm_that_has_rung_can_be_moved() {
        let mut alarm = Alarm::new(Moment::PAST).unwrap();
        alarm.rings().await.unwrap();
        let later = Moment::now().after(Duration::from_millis(80));
        alarm.set(later).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), alarm.rings()).await.is_err());
        alarm.rings().await.unwrap();
        assert!(later.is_over());
    }
}
