//! The clock of each system that goes on while the machine is suspended.

use std::time::Duration;

#[cfg(all(any(target_os = "linux", target_os = "android"), not(any(pretend_macos, pretend_windows))))]
pub(super) fn since_it_began() -> Duration {
    reading(rustix::time::ClockId::Boottime)
}

/// Apple's CLOCK_MONOTONIC goes on while the machine is suspended; the clock of std doesn't.
#[cfg(any(target_vendor = "apple", pretend_macos))]
pub(super) fn since_it_began() -> Duration {
    reading(rustix::time::ClockId::Monotonic)
}

/// On Windows the clock of std goes on while the machine is suspended.
#[cfg(any(
    not(any(target_os = "linux", target_os = "android", target_vendor = "apple", pretend_macos)),
    pretend_windows
))]
pub(super) fn since_it_began() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;

    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGIN.elapsed()
}

#[cfg(all(any(target_os = "linux", target_os = "android", target_vendor = "apple"), not(pretend_windows)))]
fn reading(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).expect("the time since the machine started isn't negative");
    let nanos = u32::try_from(time.tv_nsec).expect("a part of a second has less than 2^32 nanoseconds");
    Duration::new(seconds, nanos)
}
