//! When a command has to stop, so that it is gone before its leader's time runs out.

use std::time::Duration;

use super::clock::Moment;

/// Killing takes a moment, and so does noticing that it is time: the least time between SIGKILL and
/// the deadline.
const MARGIN_MIN: Duration = Duration::from_millis(200);

/// Before the deadline comes SIGKILL, a margin earlier; before that comes SIGTERM, a grace earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    grace: Duration,
    margin: Duration,
}

/// The grace leaves no room for a KeepAlive that is late.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "--grace {} is too long for --ttl {}: at most half of the ttl. Shorten the grace or lengthen the ttl.",
    humantime::format_duration(*grace),
    humantime::format_duration(*ttl)
)]
pub(crate) struct GraceTooLong {
    grace: Duration,
    ttl: Duration,
}

impl Timing {
    /// Without a `grace` it is a tenth of the ttl. More would stop commands whose leadership is
    /// about to be kept: a replica that takes over from one that crashed may need more than half of
    /// a worker's ttl until it answers.
    pub(crate) fn new(ttl: Duration, grace: Option<Duration>) -> Result<Self, GraceTooLong> {
        let grace = grace.unwrap_or(ttl / 10);
        if grace > ttl / 2 {
            return Err(GraceTooLong { grace, ttl });
        }
        Ok(Self { grace, margin: MARGIN_MIN.max(ttl / 20) })
    }

    /// When everything that the command started is killed.
    pub(crate) fn kill_at(self, deadline: Moment) -> Moment {
        deadline.before(self.margin)
    }

    /// When everything is killed of a command that is asked to stop now, though its deadline
    /// needn't be near.
    pub(crate) fn kill_after_grace(self, now: Moment) -> Moment {
        now.after(self.grace)
    }

    /// When the command is asked to stop, unless the deadline has been moved by then.
    pub(crate) fn stop_at(self, deadline: Moment) -> Moment {
        self.kill_at(deadline).before(self.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn stop_comes_before_kill_and_kill_before_the_deadline() {
        for ttl in [seconds(1), seconds(3), seconds(15), seconds(120)] {
            let timing = Timing::new(ttl, None).unwrap();
            let deadline = Moment::now().after(ttl);
            assert!(timing.stop_at(deadline) < timing.kill_at(deadline));
            assert!(timing.kill_at(deadline) <= deadline.before(Duration::from_millis(200)));
            assert!(timing.kill_at(deadline) <= deadline.before(ttl / 20));
        }
    }

    #[test]
    fn a_keep_alive_that_comes_two_thirds_late_still_comes_in_time() {
        let ttl = seconds(15);
        let deadline = Moment::now().after(ttl);
        let stop_at = Timing::new(ttl, None).unwrap().stop_at(deadline);
        assert!(stop_at >= deadline.before(ttl / 3), "keep-alives go out every third of the ttl: two may fail");
    }

    #[test]
    fn a_grace_of_more_than_half_the_ttl_is_refused_with_both_values() {
        let error = Timing::new(seconds(10), Some(seconds(6))).unwrap_err().to_string();
        assert!(error.contains("--grace 6s") && error.contains("--ttl 10s"), "{error}");
        assert!(Timing::new(seconds(10), Some(seconds(5))).is_ok());
    }
}
