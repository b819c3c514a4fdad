//! The signals that are passed on to the command.

use std::fs;
use std::io;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream, SelectAll};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// Passed on to the command's process group.
const PASSED_ON: [Signal; 7] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH];

/// Signals that this process would end by, or be stopped by from a keyboard: a watchdog must outlive them.
const SURVIVED: [Signal; 8] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::TSTP, Signal::TTIN];

/// Signals as they come in.
pub(crate) struct Signals {
    incoming: SelectAll<BoxStream<'static, Signal>>,
}

impl Signals {
    /// From now on these signals don't end this process; they come out of [`Signals::next`].
    pub(crate) fn passed_on() -> io::Result<Self> {
        Self::of(&PASSED_ON)
    }

    /// From now on these signals don't end this process, for as long as it lives.
    pub(crate) fn survived() -> io::Result<Self> {
        Self::of(&SURVIVED)
    }

    /// What this process was told to ignore when it was started (by nohup, by a shell that puts it into the background) stays ignored,
    /// here and in the command.
    fn of(signals: &[Signal]) -> io::Result<Self> {
        let ignored = ignored_signals(&fs::read_to_string("/proc/self/status")?);
        let heeded = signals.iter().filter(|signal| ignored >> (signal.as_raw() - 1) & 1 == 0);
        let incoming = heeded.map(|signal| listen(*signal)).collect::<io::Result<SelectAll<_>>>()?;
        Ok(Self { incoming })
    }

    /// The next signal. Cancel-safe. Never returns if all are ignored.
    pub(crate) async fn next(&mut self) -> Signal {
        match self.incoming.next().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// The next signal that asks to end.
    pub(crate) async fn next_end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].contains(&signal) {
                return signal;
            }
        }
    }
}

fn listen(number: Signal) -> io::Result<BoxStream<'static, Signal>> {
    let listener = signal(SignalKind::from_raw(number.as_raw()))?;
    Ok(stream::unfold(listener, move |mut listener| async move { listener.recv().await.map(|()| (number, listener)) })
        .boxed())
}

/// The mask of ignored signals in the text of `/proc/self/status`: bit n - 1 for signal n.
fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored_signals("Name:\tx\nSigIgn:\t0000000000000003\nSigCgt:\t0000000000000004\n"), 0b11);
        assert_eq!(ignored_signals("Name:\tx\n"), 0);
    }

    #[tokio::test]
    async fn a_signal_to_this_process_comes_out() {
        let mut signals = Signals::passed_on().unwrap();
        rustix::process::kill_process(rustix::process::getpid(), Signal::USR1).unwrap();
        assert_eq!(signals.next().await, Signal::USR1);
    }
}
