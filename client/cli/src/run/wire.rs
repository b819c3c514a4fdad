//! What `leasehold run` and its watchdog tell each other over their socket: a line a message, and
//! one file descriptor.

use std::fmt;
use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::str::FromStr;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::process::Pid;

use super::clock::Moment;

/// What the watchdog is told. That the socket was closed tells it to kill at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KillAt(pub(crate) Moment);

/// What the watchdog tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// The command runs; it leads a process group of this number.
    Started(Pid),
    /// The command was stopped, as by ^Z. It hasn't ended.
    Stopped,
    /// The command and all that it started are gone.
    Ended {
        /// As a shell gives it: 128 + n for signal n.
        code: u8,
        /// Whether the watchdog killed it.
        killed: bool,
    },
}

/// A line that isn't a message: the two processes come from different builds.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the watchdog's socket carried {0:?}, which is no message")]
pub(crate) struct BadLine(String);

impl fmt::Display for KillAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kill-at {}", self.0)
    }
}

impl FromStr for KillAt {
    type Err = BadLine;

    fn from_str(line: &str) -> Result<Self, BadLine> {
        let moment = line.strip_prefix("kill-at ").and_then(|moment| moment.parse().ok());
        moment.map(KillAt).ok_or_else(|| BadLine(line.to_owned()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Started(group) => writeln!(f, "started {}", group.as_raw_nonzero()),
            Report::Stopped => writeln!(f, "stopped"),
            Report::Ended { code, killed: false } => writeln!(f, "ended {code}"),
            Report::Ended { code, killed: true } => writeln!(f, "ended {code} killed"),
        }
    }
}

impl FromStr for Report {
    type Err = BadLine;

    fn from_str(line: &str) -> Result<Self, BadLine> {
        let parsed = match line.split(' ').collect::<Vec<_>>()[..] {
            ["started", group] => group.parse().ok().and_then(Pid::from_raw).map(Report::Started),
            ["stopped"] => Some(Report::Stopped),
            ["ended", code] => code.parse().ok().map(|code| Report::Ended { code, killed: false }),
            ["ended", code, "killed"] => code.parse().ok().map(|code| Report::Ended { code, killed: true }),
            _ => None,
        };
        parsed.ok_or_else(|| BadLine(line.to_owned()))
    }
}

/// Hands `file` to the process at the other end.
pub(crate) fn send_file(socket: impl AsFd, file: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(socket, &[IoSlice::new(b"\n")], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// Takes the file that the other end hands over. Blocks until it does.
pub(crate) fn receive_file(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let files = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    files.flatten().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _, Write as _};

    #[test]
    fn every_message_survives_the_wire() {
        let group = Pid::from_raw(4711).unwrap();
        let reports = [
            Report::Started(group),
            Report::Stopped,
            Report::Ended { code: 0, killed: false },
            Report::Ended { code: 137, killed: true },
        ];
        for report in reports {
            assert_eq!(report.to_string().trim_end().parse(), Ok(report));
        }
        let told = KillAt(Moment::now());
        assert_eq!(told.to_string().trim_end().parse(), Ok(told));
    }

    #[test]
    fn anything_else_is_refused() {
        for line in ["", "started", "started x", "started 0", "ended 256", "ended 1 spared", "kill-at 1"] {
            assert!(line.parse::<Report>().is_err(), "{line}");
        }
        for line in ["", "kill-at", "kill-at -1", "stopped"] {
            assert!(line.parse::<KillAt>().is_err(), "{line}");
        }
    }

    #[test]
    fn a_file_is_handed_over_with_its_position() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one two").unwrap();
        file.seek(io::SeekFrom::Start(4)).unwrap();
        send_file(&here, file.as_fd()).unwrap();
        let mut received = std::fs::File::from(receive_file(&there).unwrap());
        let mut text = String::new();
        received.read_to_string(&mut text).unwrap();
        assert_eq!(text, "two");
    }

    #[test]
    fn a_closed_socket_hands_over_nothing() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert_eq!(receive_file(&there).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
