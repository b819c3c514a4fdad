//! What `leasehold run` says on standard error.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use leasehold::Standing;

use crate::output::words;
use crate::run::session::Reason;

/// Says what happens, unless it was told to be quiet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice {
    pub(crate) quiet: bool,
}

impl Voice {
    /// Says it.
    pub(crate) fn say(self, what: impl Display) {
        if !self.quiet {
            // Whether anybody listens must not matter to the command.
            let _ = writeln!(std::io::stderr(), "leasehold: {what}");
        }
    }

    /// Where the candidacy stands.
    pub(crate) fn standing(self, election: &str, standing: Standing) {
        if let Some(text) = waiting(election, standing) {
            self.say(text);
        }
    }

    /// Why the command is being ended, and how much time it has.
    pub(crate) fn stopping(self, election: &str, reason: &Reason, left: Duration) {
        let left = words::time(left);
        match reason {
            Reason::CannotKeep => self.say(format_args!(
                "no word from the service, so the leadership of {election} can't be kept: the command gets SIGTERM now, and SIGKILL in {left}"
            )),
            Reason::Draining => self.say(format_args!(
                "{election} is to be handed over: the command gets SIGTERM now, and SIGKILL in {left}"
            )),
            Reason::Unhealthy(detail) => self.say(format_args!(
                "unhealthy: {detail}; {election} goes to the next one: the command gets SIGTERM now, and SIGKILL in {left}"
            )),
            Reason::Lost(lost) => self.say(format_args!("the leadership of {election} is over: {lost}; killing the command")),
        }
    }
}

/// A waiting candidacy in words.
pub(crate) fn waiting(election: &str, standing: Standing) -> Option<String> {
    match standing {
        Standing::Waiting { settling: Some(left), .. } => {
            let left = words::time(left);
            Some(format!(
                "waiting for {election}: the service started a short while ago, and grants nothing for another {left}"
            ))
        }
        Standing::Waiting { ahead: Some(ahead), .. } if ahead > 0 => {
            Some(format!("waiting for {election}: {ahead} before this one"))
        }
        Standing::Waiting { .. } => Some(format!("waiting for {election}")),
        Standing::Entering => Some(format!("the service was away for longer than the ttl: entering {election} again")),
        _ => None,
    }
}
