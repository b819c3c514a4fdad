//! Signals as they come in, by number.

use std::io;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream, SelectAll};

use crate::run;

/// SIGHUP, SIGINT, SIGQUIT and SIGTERM: they ask a process to end. The numbers are the same on
/// every Unix.
const ENDS: [i32; 4] = [1, 2, 3, 15];

/// Signals as they come in.
pub(crate) struct Signals {
    incoming: SelectAll<BoxStream<'static, i32>>,
}

impl Signals {
    /// From now on signals that ask this process to end come out of [`Signals::next`] instead.
    /// Where there are no signals, ^C counts as SIGINT.
    pub(crate) fn ends() -> io::Result<Self> {
        Self::of(ENDS)
    }

    /// From now on these signals don't end this process; they come out of [`Signals::next`].
    ///
    /// A signal that this process was told to ignore when it was started (by nohup, by a shell that
    /// puts it into the background) stays ignored, here and in the command of `run`.
    pub(crate) fn of(signals: impl IntoIterator<Item = i32>) -> io::Result<Self> {
        let ignored = run::ignored_signals()?;
        let heeded = signals.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        Ok(Self { incoming: heeded.map(system::listen).collect::<io::Result<_>>()? })
    }

    /// The next signal. Cancel-safe. Never returns if all are ignored.
    pub(crate) async fn next(&mut self) -> i32 {
        match self.incoming.next().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// The next signal that asks to end.
    pub(crate) async fn next_end(&mut self) -> i32 {
        loop {
            let signal = self.next().await;
            if ENDS.contains(&signal) {
                return signal;
            }
        }
    }
}

#[cfg(all(unix, not(pretend_windows)))]
mod system {
    use super::{BoxStream, io, stream};
    use futures::StreamExt as _;
    use tokio::signal::unix::{SignalKind, signal};

    pub(super) fn listen(number: i32) -> io::Result<BoxStream<'static, i32>> {
        let listener = signal(SignalKind::from_raw(number))?;
        let next = move |mut listener: tokio::signal::unix::Signal| async move {
            listener.recv().await.map(|()| (number, listener))
        };
        Ok(stream::unfold(listener, next).boxed())
    }
}

#[cfg(any(not(unix), pretend_windows))]
mod system {
    use super::{BoxStream, io, stream};
    use futures::StreamExt as _;

    /// SIGINT.
    const INTERRUPT: i32 = 2;

    pub(super) fn listen(number: i32) -> io::Result<BoxStream<'static, i32>> {
        if number != INTERRUPT {
            return Ok(stream::empty().boxed());
        }
        let next = |()| async { tokio::signal::ctrl_c().await.ok().map(|()| (INTERRUPT, ())) };
        Ok(stream::unfold((), next).boxed())
    }
}
