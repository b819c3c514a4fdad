//! A command and all that it started: telling that it ended, and ending all of it.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, kill_process_group, set_child_subreaper, waitid,
};

/// What became of the command since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The command was stopped, as by ^Z.
    Stopped,
    /// The command ended, with this code.
    Ended(u8),
}

/// The command, which leads a process group of its own, and its descendants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    leader: Pid,
}

/// Makes this process the one that descendants fall to when their parents end, so that none gets
/// out of sight.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

impl Family {
    pub(crate) fn new(leader: Pid) -> Self {
        Self { leader }
    }

    pub(crate) fn group(self) -> Pid {
        self.leader
    }

    /// Sends a signal to the whole process group; it is no error if the group is gone.
    pub(crate) fn signal(self, signal: Signal) -> io::Result<()> {
        match kill_process_group(self.leader, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Passes on a signal that came in here.
    pub(crate) fn pass_on(self, number: i32) -> io::Result<()> {
        Signal::from_named_raw(number).map_or(Ok(()), |signal| self.signal(signal))
    }

    /// Asks the process group to end, also if it is stopped.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)
    }

    /// What became of the command, which must be a child of this process. A command that ended
    /// isn't reaped: its number stays taken, so that signals to the group can't reach strangers.
    pub(crate) fn change(self) -> io::Result<Option<Change>> {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Some(status) = waitid(WaitId::Pid(self.leader), peek)? {
            let signalled = || status.terminating_signal().map(|signal| signal + 128);
            let code = status.exit_status().or_else(signalled).and_then(|code| u8::try_from(code).ok());
            return Ok(Some(Change::Ended(code.unwrap_or(u8::MAX))));
        }
        let stopped = waitid(WaitId::Pid(self.leader), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG)?;
        Ok(stopped.map(|_| Change::Stopped))
    }

    /// Kills the group and every descendant that has fallen to this process, but not `spared`.
    /// Returns whether all are gone. The others fall to this process as their parents end:
    /// call it again.
    pub(crate) fn kill(self, spared: &[Pid]) -> io::Result<bool> {
        match self.signal(Signal::KILL) {
            // A process of another user can't be killed, but may end by itself: it isn't gone until
            // then.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
        // Before the others are listed: what the leader leaves is among them then.
        let leader_is_gone = has_ended(self.leader, WaitIdOptions::NOWAIT)?;
        Ok(kill_children(&[spared, &[self.leader]].concat())? && leader_is_gone)
    }

    /// Reaps those of the group that are children of this process and have ended. Returns whether
    /// none is left.
    pub(crate) fn reap(self) -> bool {
        loop {
            match waitid(WaitId::Pgid(Some(self.leader)), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Reaps the orphans that have ended, so that none stays as a zombie while the command runs.
    pub(crate) fn reap_orphans(self) -> io::Result<()> {
        for child in children()?.into_iter().filter(|child| *child != self.leader) {
            has_ended(child, WaitIdOptions::empty())?;
        }
        Ok(())
    }
}

/// Kills and reaps all children of this process but the `spared` ones. Returns whether they are
/// gone, and all that they have left: it falls to this process as they end, so only a list that was
/// made after their end tells.
pub(crate) fn kill_children(spared: &[Pid]) -> io::Result<bool> {
    loop {
        let mut others = children()?;
        others.retain(|child| !spared.contains(child));
        if others.is_empty() {
            return Ok(true);
        }
        // A child of ours keeps its number until we reap it, so this reaches no stranger.
        for child in &others {
            let _ = kill_process(*child, Signal::KILL);
        }
        for child in others {
            if !has_ended(child, WaitIdOptions::empty())? {
                return Ok(false);
            }
        }
    }
}

/// Whether a child of this process has ended; one that isn't a child has. Reaps it, unless told not
/// to.
fn has_ended(child: Pid, how: WaitIdOptions) -> io::Result<bool> {
    match waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | how) {
        Ok(ended) => Ok(ended.is_some()),
        Err(Errno::CHILD) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The children of this process. None where the kernel doesn't list them (every distribution's
/// does): then only the process group is killed.
pub(crate) fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        match fs::read_to_string(thread?.path().join("children")) {
            Ok(list) => children.extend(list.split_whitespace().filter_map(pid)),
            // Also where the thread has ended since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

fn pid(number: &str) -> Option<Pid> {
    number.parse().ok().and_then(Pid::from_raw)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    /// The leader ends while its orphans are looked at, and what it leaves falls to this process
    /// only then: that was taken for gone, and lived on. Many orphans make it likely.
    #[test]
    fn what_a_process_leaves_while_it_is_looked_at_is_killed_as_well() {
        adopt_orphans().unwrap();
        for _ in 0..10 {
            let mut orphans: Vec<_> = (0..100).map(|_| Command::new("true").spawn().unwrap()).collect();
            let script = "setsid sleep 60 >&- & echo $!; exec sleep 60";
            let mut leader = Command::new("sh");
            leader.args(["-c", script]).process_group(0).stdout(Stdio::piped());
            let mut leader = leader.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let outsider = pid(line.trim()).unwrap();
            for orphan in &mut orphans {
                while !has_ended(Pid::from_child(orphan), WaitIdOptions::NOWAIT).unwrap() {}
            }
            let family = Family::new(Pid::from_child(&leader));
            while !family.kill(&[]).unwrap() {}
            assert!(fs::metadata(format!("/proc/{}", outsider.as_raw_nonzero())).is_err(), "{outsider:?} lives on");
            leader.wait().unwrap();
        }
    }
}
