//! What this command says on standard error while it runs.

use std::fmt::Display;
use std::io::Write as _;

use leasehold::Standing;

use crate::args::Format;
use crate::output::{json, words};

/// Says what happens, unless it was told to be quiet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice {
    pub(crate) quiet: bool,
    pub(crate) format: Format,
}

impl Voice {
    /// Says it.
    pub(crate) fn say(self, what: impl Display) {
        if !self.quiet {
            line(&match self.format {
                Format::Table => format!("leasehold: {what}"),
                Format::Json => json::object(&[("message", json::text(&what.to_string()))]),
            });
        }
    }

    /// Where the candidacy stands.
    pub(crate) fn standing(self, election: &str, standing: Standing) {
        if let Some(text) = waiting(election, standing) {
            self.say(text);
        }
    }
}

/// A line on standard error. Whether anybody listens must not matter to the command.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
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
        Standing::Outdated { tenure, newest } => Some(format!(
            "the service answers with tenure {tenure}, and this process has seen {newest}: its record was lost, or restored from a \
             backup. Nothing that it says is believed, and {election} isn't waited for, until its numbers are higher; see \
             \"Backup and restore\" in docs/operations.md"
        )),
        Standing::Waiting { .. } => Some(format!("waiting for {election}")),
        Standing::Entering => Some(format!("the service was away for longer than the ttl: entering {election} again")),
        _ => None,
    }
}
