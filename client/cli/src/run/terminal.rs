//! The terminal: the command gets it, ^Z stops both, and the process group that had it before gets
//! it back.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::process::{Pid, Signal, getpgrp, kill_current_process_group};
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};

use super::family::Family;

/// How long a stop may take to reach all threads.
const STOP_DELAY_MAX: Duration = Duration::from_millis(50);

/// The terminal on standard input, which controls this process.
#[derive(Debug)]
pub(crate) struct Terminal {
    tty: OwnedFd,
    own_group: Pid,
}

/// From now on this process can hand the terminal over and write to it while another process group
/// has it. Call it before threads start.
pub(crate) fn withstand_background() -> io::Result<()> {
    Ok(ttou().thread_block()?)
}

/// Undoes [`withstand_background`], which lasts over fork and exec.
pub(crate) fn heed_background() -> io::Result<()> {
    Ok(ttou().thread_unblock()?)
}

fn ttou() -> SigSet {
    SigSet::from(NixSignal::SIGTTOU)
}

impl Terminal {
    /// None if standard input isn't the terminal that controls this process.
    pub(crate) fn of_stdin() -> Option<Self> {
        let stdin = io::stdin();
        if !isatty(&stdin) || tcgetpgrp(&stdin).is_err() {
            return None;
        }
        let tty = stdin.as_fd().try_clone_to_owned().ok()?;
        Some(Self { tty, own_group: getpgrp() })
    }

    /// Whether this process is in the foreground.
    pub(crate) fn is_ours(&self) -> bool {
        self.has(self.own_group)
    }

    fn has(&self, group: Pid) -> bool {
        tcgetpgrp(&self.tty).is_ok_and(|foreground| foreground == group)
    }

    /// The command was stopped. If it wanted the terminal and we have it, it gets it. Otherwise
    /// this process stops too, so that the shell takes over; when the shell lets it go on, so does
    /// the command. (Past its deadline, the watchdog has killed it by then.)
    pub(crate) fn command_stopped(&self, family: Family) -> io::Result<()> {
        if !self.is_ours() {
            self.take_back(family);
            kill_current_process_group(Signal::TSTP)?;
            // The stop may reach this thread a moment later. Where it never comes, as in an
            // orphaned process group, the command may want the terminal again at once: not in an
            // endless race.
            std::thread::sleep(STOP_DELAY_MAX);
        }
        if self.is_ours() {
            let _ = tcsetpgrp(&self.tty, family.group());
        }
        family.signal(Signal::CONT)
    }

    /// The command ended: what started this process finds the terminal as it was.
    pub(crate) fn take_back(&self, family: Family) {
        if self.has(family.group()) {
            let _ = tcsetpgrp(&self.tty, self.own_group);
        }
    }
}

/// Puts the process group of this process into the foreground of the terminal on its standard
/// input.
pub(crate) fn come_to_foreground() -> io::Result<()> {
    Ok(tcsetpgrp(io::stdin(), getpgrp())?)
}
