//! What callers may do: rules that name subjects, elections and verbs. Pure: no files, no clock.
//!
//! Rules only allow. Whatever no rule allows is denied, so their order doesn't matter. A decision
//! names the rule that allows it, or says how to allow it.

mod decision;
mod file;
mod glob;
mod verb;

pub use decision::{Decision, Denial, RulePlace, Scope};
pub use file::PolicyError;
pub use glob::{BadGlob, Glob};
pub use verb::{BadVerb, Verb};

use decision::Origin;
use std::sync::Arc;

/// No policy file is longer.
pub const MAX_POLICY_BYTES: usize = 1 << 20;
/// No policy has more rules.
pub const MAX_RULES: usize = 10_000;
/// How the subjects of service accounts begin.
pub const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Who may do what.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    origin: Origin,
}

/// Allows some subjects some verbs in some elections.
#[derive(Clone, Debug)]
struct Rule {
    subjects: Vec<Glob>,
    elections: Vec<Glob>,
    verbs: Vec<Verb>,
    place: RulePlace,
}

/// A subject that is a service account has these two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl Policy {
    /// Everybody may do everything: for a server that doesn't ask who calls.
    #[must_use]
    pub fn open() -> Self {
        let rule = Rule::new(&["**"], &["**"], vec![Verb::Admin], RulePlace::Open);
        Self { rules: vec![rule], origin: Origin::Open }
    }

    /// What holds without a file: each service account may campaign, observe and verify in the
    /// elections whose names begin with its namespace and a slash.
    #[must_use]
    pub fn of_namespaces() -> Self {
        let verbs = vec![Verb::Campaign, Verb::Observe, Verb::Verify];
        let rule = Rule::new(&["system:serviceaccount:*:*"], &["{namespace}/**"], verbs, RulePlace::Namespaces);
        Self { rules: vec![rule], origin: Origin::Namespaces }
    }

    /// Reads a policy file; `name` is how errors call it.
    ///
    /// # Errors
    /// [`PolicyError`], with the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let file: Arc<str> = name.into();
        Ok(Self { rules: file::rules(&file, text)?, origin: Origin::File(file) })
    }

    /// This policy, and these subjects may do everything.
    #[must_use]
    pub fn with_admins(mut self, admins: &[Glob]) -> Self {
        self.rules.extend(admins.iter().map(|admin| Rule {
            subjects: vec![admin.clone()],
            elections: vec![Glob::of_anything()],
            verbs: vec![Verb::Admin],
            place: RulePlace::Admin,
        }));
        self
    }

    /// Whether the subject may do this in the election, and why.
    pub fn decide(&self, subject: &str, verb: Verb, election: &str) -> Decision {
        let account = Account::of(subject);
        let rule = self.of_subject(subject, verb).find(|rule| rule.holds_in(account, election));
        rule.map(|rule| rule.place.clone()).ok_or_else(|| Denial {
            subject: subject.to_owned(),
            verb,
            election: election.to_owned(),
            origin: self.origin.clone(),
        })
    }

    /// Whether the subject may do this in the election.
    #[must_use]
    pub fn allows(&self, subject: &str, verb: Verb, election: &str) -> bool {
        let account = Account::of(subject);
        self.of_subject(subject, verb).any(|rule| rule.holds_in(account, election))
    }

    /// Where the subject may do this.
    #[must_use]
    pub fn scope(&self, subject: &str, verb: Verb) -> Scope {
        let account = Account::of(subject);
        let elections = self.of_subject(subject, verb).flat_map(|rule| &rule.elections);
        Scope::new(elections.filter_map(|election| election.filled_in(account)).collect())
    }

    fn of_subject<'a>(&'a self, subject: &'a str, verb: Verb) -> impl Iterator<Item = &'a Rule> {
        let account = Account::of(subject);
        self.rules.iter().filter(move |rule| {
            let has = |wanted| rule.verbs.contains(&wanted);
            (has(verb) || has(Verb::Admin)) && rule.subjects.iter().any(|glob| glob.matches(account, subject))
        })
    }
}

impl Rule {
    fn new(subjects: &[&str], elections: &[&str], verbs: Vec<Verb>, place: RulePlace) -> Self {
        let globs = |read: fn(&str) -> Result<Glob, BadGlob>, globs: &[&str]| {
            globs.iter().map(|glob| read(glob).expect("it is written here")).collect()
        };
        Self { subjects: globs(Glob::subject, subjects), elections: globs(Glob::election, elections), verbs, place }
    }

    fn holds_in(&self, account: Option<Account<'_>>, election: &str) -> bool {
        self.elections.iter().any(|glob| glob.matches(account, election))
    }
}

impl<'a> Account<'a> {
    /// The service account that this subject is.
    pub(crate) fn of(subject: &'a str) -> Option<Self> {
        let (namespace, name) = subject.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
        (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some(Self { namespace, name })
    }
}

#[cfg(test)]
mod tests;
