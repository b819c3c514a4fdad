//! `leasehold run`: a command runs while this machine leads. This module leans on Linux, and
//! nothing outside of it does: elsewhere `elsewhere.rs` stands in its place.

mod child;
mod clock;
mod command;
mod family;
mod health;
mod launch;
mod parts;
mod session;
mod terminal;
mod timing;
mod token_file;
mod watchdog;
mod wire;

use std::fs;
use std::io;

pub(crate) use command::run;

use crate::exit::Exit;

/// Runs as a part of another `leasehold run`, if that has started this process.
pub(crate) fn as_part() -> Option<anyhow::Result<Exit>> {
    parts::are_meant(std::env::args_os()).then(parts::run)
}

/// What `run` needs before there are threads.
pub(crate) fn prepare() -> io::Result<()> {
    terminal::withstand_background()
}

/// The signals that this process was told to ignore when it was started: bit n - 1 for signal n.
pub(crate) fn ignored_signals() -> io::Result<u64> {
    Ok(ignored_in(&fs::read_to_string("/proc/self/status")?))
}

/// The signals that are ignored, from the text of `/proc/self/status`.
fn ignored_in(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::ignored_in;
    use crate::signals::Signals;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored_in("Name:\tx\nSigIgn:\t0000000000000003\nSigCgt:\t0000000000000004\n"), 0b11);
        assert_eq!(ignored_in("Name:\tx\n"), 0);
    }

    #[tokio::test]
    async fn a_signal_to_this_process_comes_out() {
        let number = Signal::USR1.as_raw();
        let mut signals = Signals::of([number]).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), Signal::USR1).unwrap();
        assert_eq!(signals.next().await, number);
    }
}
