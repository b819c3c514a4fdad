//! Policy files: half of one, one with a slip of the pen, one of another program.

use crate::script::Script;
use leasehold_policy::{Policy, Verb};

/// Bytes as a policy, and a question to it.
///
/// # Panics
/// If an error has no words or no line of the file; if the ways to ask don't agree.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let verbs = Verb::all();
    let verb = verbs[usize::from(script.byte()) % verbs.len()];
    let (election, subject) = (script.election(), script.subject());
    let Ok(text) = str::from_utf8(script.rest()) else { return };
    let (election, subject) = (election.as_str(), subject.as_str());
    let policy = match Policy::parse("policy.toml", text) {
        Ok(policy) => policy,
        Err(error) => {
            let lines = 1 + text.matches('\n').count();
            assert!((1..=lines).contains(&error.line) && !error.why.is_empty(), "{error}");
            return;
        }
    };
    let allowed = policy.allows(subject, verb, election);
    assert_eq!(policy.decide(subject, verb, election).is_ok(), allowed);
    let scope = policy.scope(subject, verb);
    assert_eq!(scope.contains(election), allowed);
    if allowed {
        let narrowed = scope.narrow("").expect("there is an election that is allowed");
        assert!(election.starts_with(&narrowed) && !scope.is_empty(), "{narrowed}");
    }
}

/// Policies as people write them.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let team = "[[rule]]\nsubjects = [\"system:serviceaccount:*:*\"]\nelections = [\"{namespace}/**\", \"{name}\"]\n";
    let (verbs, all) = ("verbs = [\"campaign\", \"step-down\"]\n", "verbs = [\"admin\"]\n");
    let everybody = "[[rule]]\nsubjects = ['**']\nelections = ['**', '*/a', 'b*']\n";
    [format!("{team}{verbs}"), format!("{everybody}{all}# and\n{team}{verbs}"), String::new()]
        .map(|text| [&b"\x00\x00\x00"[..], text.as_bytes()].concat())
        .to_vec()
}
