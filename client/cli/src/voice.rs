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
        Standing::Waiting { ahead, settling, hold } => {
            let ahead = ahead.filter(|ahead| *ahead > 0 && settling.is_none());
            let reasons = [
                settling.map(words::time).map(|left| {
                    format!("the service started a short while ago, and grants nothing for another {left}")
                }),
                ahead.map(|ahead| format!("{ahead} before this one")),
                hold.map(words::time).map(|left| format!("the election is on hold for another {left}")),
            ];
            let reasons: Vec<_> = reasons.into_iter().flatten().collect();
            let colon = if reasons.is_empty() { "" } else { ": " };
            Some(format!("waiting for {election}{colon}{}", reasons.join("; ")))
        }
        Standing::Outdated { tenure, newest } => Some(format!(
            "the service answers with tenure {tenure}, and this process has seen {newest}: its record was lost, or restored from a \
             backup. Nothing that it says is believed, and {election} isn't waited for, until its numbers are higher; see \
             \"Backup and restore\" in docs/operations.md"
        )),
        Standing::Entering => Some(format!("the service was away for longer than the ttl: entering {election} again")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_waiting_line_names_all_that_it_waits_for() {
        let line = |ahead, settling: Option<u64>, hold: Option<u64>| {
            let (settling, hold) = (settling.map(Duration::from_secs), hold.map(Duration::from_secs));
            waiting("x", Standing::Waiting { ahead, settling, hold }).unwrap()
        };
        assert_eq!(line(None, None, None), "waiting for x");
        assert_eq!(line(Some(0), None, None), "waiting for x");
        assert_eq!(line(Some(2), None, None), "waiting for x: 2 before this one");
        assert_eq!(line(Some(0), None, Some(59)), "waiting for x: the election is on hold for another 59s");
        assert_eq!(
            line(Some(1), None, Some(59)),
            "waiting for x: 1 before this one; the election is on hold for another 59s"
        );
        let settling = "waiting for x: the service started a short while ago, and grants nothing for another 15s";
        assert_eq!(line(Some(1), Some(15), None), settling);
        assert_eq!(line(Some(1), Some(15), Some(30)), format!("{settling}; the election is on hold for another 30s"));
    }
}
