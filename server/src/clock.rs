//! The only file that reads clocks.

use leasehold_core::{ClockFloor, Time};
#[cfg(not(turmoil))]
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
#[cfg(not(turmoil))]
use std::time::{SystemTime, UNIX_EPOCH};

/// CLOCK_BOOTTIME goes on while the machine is suspended; std's `Instant` stands still then, and a
/// replica that woke up would believe that its right hasn't ended. On macOS it is CLOCK_MONOTONIC
/// that goes on.
#[cfg(all(not(turmoil), any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(turmoil, target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// 2025-01-01T00:00:00Z in milliseconds since 1970: the line of numbers counts from here, so that
/// it stays below 2^53 for centuries.
const LINE_EPOCH_MS: u64 = 1_735_689_600_000;
/// So many numbers are set aside for each second since then.
const NUMBERS_PER_SECOND: u64 = 1 << 20;

/// Milliseconds since the machine started, time spent suspended included. Never goes back.
#[must_use]
pub fn now() -> Time {
    Time(u64::try_from(running().as_millis()).unwrap_or(u64::MAX))
}

#[cfg(not(turmoil))]
fn running() -> Duration {
    let now = clock_gettime(CLOCK);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// All hosts of a simulation have one clock.
#[cfg(turmoil)]
fn running() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// Seconds since 1970-01-01T00:00:00Z by the wall clock, which may be set forth and back: only for
/// dates that others read.
#[must_use]
pub fn unix_seconds() -> u64 {
    unix_millis() / 1000
}

/// Milliseconds since 1970-01-01T00:00:00Z by the wall clock, likewise.
#[must_use]
pub fn unix_millis() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(not(turmoil))]
#[allow(clippy::disallowed_methods)] // this is the place
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(turmoil)]
fn since_1970() -> Duration {
    turmoil::since_epoch().unwrap_or_default()
}

/// The lowest number at which a tenure that begins now may start: seconds since
/// 2025-01-01T00:00:00Z, times 2^20, to the millisecond; 0 before that date. It keeps numbers
/// rising where the record was lost or restored from a backup.
#[must_use]
pub fn clock_floor() -> ClockFloor {
    ClockFloor(floor_at(unix_millis()))
}

fn floor_at(unix_millis: u64) -> u64 {
    let millis = unix_millis.saturating_sub(LINE_EPOCH_MS);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    seconds.saturating_mul(NUMBERS_PER_SECOND).saturating_add(rest * NUMBERS_PER_SECOND / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::{Millis, NUMBER_LIMIT};

    #[test]
    fn time_passes_in_milliseconds() {
        let before = now();
        std::thread::sleep(Duration::from_millis(30));
        let passed = now().since(before);
        assert!(passed >= Millis(29) && passed < Millis(10_000), "{passed}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn now_is_the_clock_that_counts_suspension() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap(); // seconds by CLOCK_BOOTTIME
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let apart = (now().0 as f64 - seconds * 1000.0).abs();
        assert!(apart < 5_000.0, "{apart} ms apart");
    }

    #[test]
    fn the_floor_rises_by_a_mebinumber_a_second() {
        assert_eq!(floor_at(0), 0);
        assert_eq!(floor_at(LINE_EPOCH_MS), 0);
        assert_eq!(floor_at(LINE_EPOCH_MS + 1), 1_048);
        assert_eq!(floor_at(LINE_EPOCH_MS + 1000), 1_048_576);
        assert!(floor_at(LINE_EPOCH_MS + 250 * 365 * 86_400_000) < NUMBER_LIMIT);
        assert!(
            clock_floor().0 > floor_at(LINE_EPOCH_MS + 365 * 86_400_000),
            "the clock of this machine is years behind"
        );
    }
}
