//! What a policy says of one question: allowed by which rule, or denied, and how to allow it.

use super::{Account, Glob, Verb};
use std::fmt;
use std::sync::Arc;

/// The place of the rule that allows it, or how to allow it.
pub type Decision = Result<RulePlace, Denial>;

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePlace {
    /// In a file: its name, and the line.
    Line(Arc<str>, usize),
    /// The subject is an admin, by the settings.
    Admin,
    /// It is the rule for service accounts that holds without a file.
    Namespaces,
    /// The server doesn't ask who calls.
    Open,
}

/// Where a policy comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File(Arc<str>),
    Namespaces,
    Open,
}

/// Nothing allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Who asked.
    pub subject: String,
    /// For what.
    pub verb: Verb,
    /// In which election.
    pub election: String,
    pub(super) origin: Origin,
}

/// The elections in which one subject may do one thing.
#[derive(Clone, Debug)]
pub struct Scope {
    elections: Vec<Glob>,
}

impl fmt::Display for RulePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "the rule at {file}:{line}"),
            Self::Admin => f.write_str("the setting admin"),
            Self::Namespaces => f.write_str("the rule for service accounts that holds without a policy file"),
            Self::Open => f.write_str("that this server doesn't ask who calls"),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, verb, election, origin } = self;
        write!(f, "{subject} may not {verb} in the election {election}: ")?;
        let rule = format!("[[rule]] subjects = [{subject:?}], elections = [{election:?}], verbs = [\"{verb}\"]");
        match origin {
            Origin::File(file) => {
                write!(f, "no rule of the policy {file} allows it; to allow it add to that file {rule}")
            }
            Origin::Namespaces | Origin::Open => {
                f.write_str("without a policy file a service account may campaign, observe and verify in elections ")?;
                match Account::of(subject) {
                    Some(account) => write!(f, "under {}/", account.namespace)?,
                    None => f.write_str("under the name of its namespace, and others nothing")?,
                }
                write!(f, "; to allow it give the server a policy file (setting policy) with {rule}")
            }
        }
    }
}

impl Scope {
    pub(super) fn new(elections: Vec<Glob>) -> Self {
        Self { elections }
    }

    /// Whether there is no such election.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elections.is_empty()
    }

    /// Whether this election is among them.
    #[must_use]
    pub fn contains(&self, election: &str) -> bool {
        self.elections.iter().any(|glob| glob.matches(None, election))
    }

    /// A prefix that all of them have which begin with `prefix`. `None`: none of them does.
    #[must_use]
    pub fn narrow(&self, prefix: &str) -> Option<String> {
        let begin = self.elections.iter().map(Glob::beginning);
        let mut begin = begin.filter(|begin| begin.starts_with(prefix) || prefix.starts_with(begin));
        let first = begin.next()?.to_owned();
        let common = begin.fold(first, |common, begin| {
            let same = common.bytes().zip(begin.bytes()).take_while(|(one, other)| one == other).count();
            common[..same].to_owned()
        });
        Some(if common.len() > prefix.len() { common } else { prefix.to_owned() })
    }
}
