//! Exit codes, and failures that know theirs.

use std::fmt;

use rustix::process::Signal;

use crate::output::Unwritable;
use crate::run::timing::GraceTooLong;

/// How this program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for was done.
    Done,
    /// The answer is no.
    No,
    /// The command line, or a value in it, was refused.
    Usage,
    /// The service couldn't be reached.
    Unreachable,
    /// Anything else that went wrong.
    Internal,
    /// The election couldn't be had in time.
    NotGranted,
    /// The leadership ended before the command did.
    Lost,
    /// `run`: the health command failed or hung.
    Unhealthy,
    /// `run`: the command can't be started.
    NotExecutable,
    /// `run`: there is no such command.
    NotFound,
    /// `run`: the command's own code, 128 + n if it ended by signal n. Also: this program ended by signal n.
    Code(u8),
}

/// What stands in the help about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done
    1  verify: not the leader's token; step-down: nobody leads, or with another token
   64  the command line, or a value in it, was refused
   69  the service can't be reached
   70  anything else that went wrong
   75  the election couldn't be had in time (--no-wait, --timeout)
   76  the leadership ended before the command did: it was lost, or an operator ended it
   77  run: the health command failed, or didn't end in time
  126  run: the command can't be started
  127  run: there is no such command
  128+n  ended by signal n
run passes on the exit code of the command, 128+n if it ended by signal n.";

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Usage => 64,
            Exit::Unreachable => 69,
            Exit::Internal => 70,
            Exit::NotGranted => 75,
            Exit::Lost => 76,
            Exit::Unhealthy => 77,
            Exit::NotExecutable => 126,
            Exit::NotFound => 127,
            Exit::Code(code) => code,
        }
    }

    /// Ended by this signal.
    pub(crate) fn signal(signal: Signal) -> Self {
        Exit::Code(u8::try_from(128 + signal.as_raw()).unwrap_or(u8::MAX))
    }
}

/// Why this program ends, in words for its user, and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code for an error, and what to tell its user. Nothing if whoever read the output has gone away.
pub(crate) fn explain(error: &anyhow::Error, endpoint: &str) -> (Exit, Option<String>) {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return (failure.exit, Some(failure.message.clone()));
    }
    if let Some(error) = error.downcast_ref::<leasehold::Error>() {
        let (exit, message) = explain_client(error, endpoint);
        return (exit, Some(message));
    }
    if error.is::<GraceTooLong>() {
        return (Exit::Usage, Some(error.to_string()));
    }
    if error.downcast_ref::<Unwritable>().is_some_and(Unwritable::is_unread) {
        return (Exit::signal(Signal::PIPE), None);
    }
    (Exit::Internal, Some(format!("{error:#}")))
}

fn explain_client(error: &leasehold::Error, endpoint: &str) -> (Exit, String) {
    use leasehold::{Error, Reason};
    match error {
        Error::Unreachable { detail } => {
            let named = endpoint.split(',').all(|address| detail.contains(address.trim().trim_end_matches('/')));
            let at = if named { String::new() } else { format!(" at {endpoint}") };
            let what_to_do =
                "Is a server running there? Start one with leasehold-server, or name another with --endpoint";
            (Exit::Unreachable, format!("can't reach the service{at}: {detail}.\n{what_to_do} or LEASEHOLD_ENDPOINT."))
        }
        Error::Outdated { .. } => (Exit::Unreachable, error.to_string()),
        Error::NotGranted { detail } => (Exit::NotGranted, format!("not granted: {detail}")),
        Error::Ended { .. } => (Exit::Lost, error.to_string()),
        Error::Unhealthy { .. } => (Exit::Unhealthy, error.to_string()),
        Error::Invalid { .. } => (Exit::Usage, error.to_string()),
        Error::Refused { reason, message, .. } => {
            let exit = match reason {
                Reason::NotActive | Reason::ShuttingDown | Reason::InboxFull => Exit::Unreachable,
                Reason::InvalidName | Reason::InvalidTtl | Reason::ValueTooLong => Exit::Usage,
                Reason::NoLeader | Reason::OtherLeader => Exit::No,
                _ => Exit::Internal,
            };
            (exit, message.clone())
        }
        _ => (Exit::Internal, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Exit; 10] = [
        Exit::Done,
        Exit::No,
        Exit::Usage,
        Exit::Unreachable,
        Exit::Internal,
        Exit::NotGranted,
        Exit::Lost,
        Exit::Unhealthy,
        Exit::NotExecutable,
        Exit::NotFound,
    ];

    #[test]
    fn every_code_is_distinct_and_stands_in_the_help() {
        let mut codes = ALL.map(Exit::code).to_vec();
        for code in &codes {
            assert!(HELP.lines().any(|line| line.split_whitespace().next() == Some(&code.to_string())), "{code}");
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
    }

    #[test]
    fn every_code_stands_on_the_page_of_the_command() {
        let page = include_str!("../../../docs/command.md");
        for code in ALL.map(Exit::code) {
            assert!(page.contains(&format!("\n| {code} | ")), "{code}");
        }
    }

    #[test]
    fn a_signal_is_told_as_a_shell_tells_it() {
        assert_eq!(Exit::signal(Signal::TERM).code(), 143);
    }
}
