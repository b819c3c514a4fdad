//! The policy file: TOML, a list of `[[rule]]` with `subjects`, `elections` and `verbs`.

use super::{BadGlob, BadVerb, Glob, MAX_POLICY_BYTES, MAX_RULES, Rule, RulePlace, Verb};
use serde::Deserialize;
use std::sync::Arc;
use toml::Spanned;

/// What is wrong with a policy file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {why}")]
pub struct PolicyError {
    /// The file, as it was called.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Spanned<WrittenRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    subjects: Vec<Spanned<String>>,
    elections: Vec<Spanned<String>>,
    verbs: Vec<Spanned<String>>,
}

/// The rules of a file.
pub(super) fn rules(file: &Arc<str>, text: &str) -> Result<Vec<Rule>, PolicyError> {
    let fail = |at: usize, why: String| {
        let line = 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
        PolicyError { file: file.to_string(), line, why }
    };
    if text.len() > MAX_POLICY_BYTES {
        return Err(fail(0, format!("it has {} bytes; a policy has at most {MAX_POLICY_BYTES}", text.len())));
    }
    let written: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        fail(at, error.message().to_owned())
    })?;
    if written.rule.len() > MAX_RULES {
        let why = format!("there are {} rules; a policy has at most {MAX_RULES}", written.rule.len());
        return Err(fail(written.rule[MAX_RULES].span().start, why));
    }
    let line = |at: usize| fail(at, String::new()).line;
    let rule = |rule: &Spanned<WrittenRule>| {
        let at = rule.span().start;
        let rule = rule.get_ref();
        for (what, list) in [("subjects", &rule.subjects), ("elections", &rule.elections), ("verbs", &rule.verbs)] {
            if list.is_empty() {
                return Err(fail(at, format!("{what} is empty, so this rule allows nothing; name some, or remove it")));
            }
        }
        let glob = |read: fn(&str) -> Result<Glob, BadGlob>, list: &[Spanned<String>]| {
            let one =
                |text: &Spanned<String>| read(text.get_ref()).map_err(|why| fail(text.span().start, why.to_string()));
            list.iter().map(one).collect::<Result<Vec<_>, _>>()
        };
        let verb = |text: &Spanned<String>| {
            text.get_ref().parse().map_err(|why: BadVerb| fail(text.span().start, why.to_string()))
        };
        Ok(Rule {
            subjects: glob(Glob::subject, &rule.subjects)?,
            elections: glob(Glob::election, &rule.elections)?,
            verbs: rule.verbs.iter().map(verb).collect::<Result<Vec<Verb>, _>>()?,
            place: RulePlace::Line(Arc::clone(file), line(at)),
        })
    };
    written.rule.iter().map(rule).collect()
}
