//! What can be done in an election.

use std::fmt;
use std::str::FromStr;

/// What a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Enter the election (Campaign). Whoever has entered may keep alive, proclaim and resign.
    Campaign,
    /// Say that a former candidacy is dead (`replace_former`) without the proof of a pod.
    Replace,
    /// See who leads: Observe, GetElection, ListElections.
    Observe,
    /// Ask whether a token is the leader's (VerifyToken), and see the leader.
    Verify,
    /// End a leadership (StepDown).
    StepDown,
    /// All of these.
    Admin,
}

/// All of them, as they are written.
const VERBS: [(&str, Verb); 6] = [
    ("campaign", Verb::Campaign),
    ("replace", Verb::Replace),
    ("observe", Verb::Observe),
    ("verify", Verb::Verify),
    ("step-down", Verb::StepDown),
    ("admin", Verb::Admin),
];

/// Not a verb.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no verb; the verbs are campaign, replace, observe, verify, step-down and admin")]
pub struct BadVerb(pub String);

impl Verb {
    /// As it is written in a policy.
    #[must_use]
    pub fn name(self) -> &'static str {
        VERBS.iter().find(|(_, verb)| *verb == self).map_or("", |(name, _)| name)
    }

    /// All verbs.
    #[must_use]
    pub fn all() -> [Self; 6] {
        VERBS.map(|(_, verb)| verb)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Verb {
    type Err = BadVerb;

    fn from_str(text: &str) -> Result<Self, BadVerb> {
        VERBS.iter().find(|(name, _)| *name == text).map(|(_, verb)| *verb).ok_or_else(|| BadVerb(text.to_owned()))
    }
}
