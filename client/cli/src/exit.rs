//! Exit codes, and failures that know theirs.

use std::fmt;

use leasehold::{Reason, RefusalKind};

use crate::args::Format;
use crate::output::{Unwritable, json};

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
    /// `run`: the command's own code, 128 + n if it ended by signal n. Also: this program ended by
    /// signal n.
    Code(u8),
}

/// What stands in the help about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done
    1  verify: not the leader's token; step-down: nobody leads, or with another token; policy check: not allowed
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
    pub(crate) fn signal(number: i32) -> Self {
        Exit::Code(u8::try_from(128 + number).unwrap_or(u8::MAX))
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

/// What to tell of an error: to its user, and to a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    /// If the service has refused it.
    refusal: Option<(RefusalKind, Reason)>,
}

impl Explanation {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), refusal: None }
    }

    /// As a line, without its end.
    pub(crate) fn line(&self, format: Format) -> String {
        if format == Format::Table {
            return format!("leasehold: {}", self.message);
        }
        let mut fields = vec![("exit_code", self.exit.code().to_string()), ("message", json::text(&self.message))];
        if let Some((kind, reason)) = &self.refusal {
            fields.extend([("code", json::text(kind.as_str())), ("reason", json::text(reason.as_str()))]);
        }
        json::object(&[("error", json::object(&fields))])
    }
}

/// What to tell of an error. None if the reader of the output has gone away.
pub(crate) fn explain(error: &anyhow::Error, endpoint: &str) -> Option<Explanation> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(Explanation::new(failure.exit, failure.message.clone()));
    }
    if let Some(error) = error.downcast_ref::<leasehold::Error>() {
        return Some(explain_client(error, endpoint));
    }
    if error.downcast_ref::<Unwritable>().is_some_and(Unwritable::is_unread) {
        return None;
    }
    Some(Explanation::new(Exit::Internal, format!("{error:#}")))
}

fn explain_client(error: &leasehold::Error, endpoint: &str) -> Explanation {
    use leasehold::Error;
    match error {
        Error::Unreachable { detail } => {
            let host = |address: &str| {
                let address = address.trim().trim_end_matches('/');
                address.split_once("://").map_or(address, |(_, address)| address).to_owned()
            };
            let named = endpoint.split(',').all(|address| detail.contains(&host(address)));
            let at = if named { String::new() } else { format!(" at {endpoint}") };
            let what_to_do =
                "Is a server running there? Start one with leasehold-server, or name another with --endpoint";
            // Somebody is there, and the detail says what to do.
            let advice = if detail.contains("TLS") || detail.contains("certificate") {
                String::new()
            } else {
                format!("\n{what_to_do} or LEASEHOLD_ENDPOINT.")
            };
            let message = format!("can't reach the service{at}: {detail}.{advice}");
            Explanation::new(Exit::Unreachable, message)
        }
        Error::Outdated { .. } => Explanation::new(Exit::Unreachable, error.to_string()),
        Error::NotGranted { detail } => Explanation::new(Exit::NotGranted, format!("not granted: {detail}")),
        Error::Ended { .. } => Explanation::new(Exit::Lost, error.to_string()),
        Error::Unhealthy { .. } => Explanation::new(Exit::Unhealthy, error.to_string()),
        Error::Invalid { .. } => Explanation::new(Exit::Usage, error.to_string()),
        Error::Refused { kind, reason, message, .. } => {
            let refusal = Some((*kind, reason.clone()));
            Explanation { exit: exit_of_refusal(*kind, reason), message: message.clone(), refusal }
        }
        _ => Explanation::new(Exit::Internal, error.to_string()),
    }
}

fn exit_of_refusal(kind: RefusalKind, reason: &Reason) -> Exit {
    match reason {
        Reason::InvalidRequest | Reason::InvalidName | Reason::InvalidTtl | Reason::InvalidHold => Exit::Usage,
        Reason::ValueTooLong => Exit::Usage,
        Reason::NoLeader | Reason::OtherLeader => Exit::No,
        // This replica can't do it now.
        _ if kind == RefusalKind::Unavailable => Exit::Unreachable,
        _ => Exit::Internal,
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
        assert_eq!(Exit::signal(15).code(), 143);
    }

    #[test]
    fn a_replica_that_cannot_answer_now_is_no_fault_of_the_command_line() {
        for reason in [Reason::NotActive, Reason::Settling, Reason::Other("ACTIVE_UNREACHABLE".into())] {
            assert_eq!(exit_of_refusal(RefusalKind::Unavailable, &reason), Exit::Unreachable, "{reason}");
        }
        assert_eq!(exit_of_refusal(RefusalKind::InvalidArgument, &Reason::InvalidRequest), Exit::Usage);
        assert_eq!(exit_of_refusal(RefusalKind::FailedPrecondition, &Reason::NoLeader), Exit::No);
        assert_eq!(exit_of_refusal(RefusalKind::Internal, &Reason::Internal), Exit::Internal);
    }

    #[test]
    fn an_error_as_json_has_what_a_program_asks_for() {
        let refusal = Some((RefusalKind::FailedPrecondition, Reason::NoLeader));
        let explanation = Explanation { exit: Exit::No, message: "nobody leads \"x\"\nask again".to_owned(), refusal };
        assert_eq!(
            explanation.line(Format::Json),
            concat!(
                r#"{"error":{"exit_code":1,"message":"nobody leads \"x\"\nask again","#,
                r#""code":"FAILED_PRECONDITION","reason":"NO_LEADER"}}"#
            )
        );
        let explanation = Explanation::new(Exit::Unreachable, "nobody there");
        assert_eq!(explanation.line(Format::Json), r#"{"error":{"exit_code":69,"message":"nobody there"}}"#);
        assert_eq!(explanation.line(Format::Table), "leasehold: nobody there");
    }
}
