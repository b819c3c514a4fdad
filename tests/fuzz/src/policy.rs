//! Policy files: half of one, one with a slip of the pen, one of another program.

use crate::script::Script;
use leasehold_policy::{Policy, Verb};

/// Bytes as a policy, and a question to it.
///
/// # Panics
/// If an error has no words or no line of the file; if the ways to ask don't agree; if the same
/// rules, read again or in other words, say something else.
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
    is_read_alike(&policy, text, subject);
    let allowed = policy.allows(subject, verb, election);
    assert_eq!(policy.decide(subject, verb, election).is_ok(), allowed);
    let scope = policy.scope(subject, verb);
    assert_eq!(scope.contains(election), allowed);
    if allowed {
        let narrowed = scope.narrow("").expect("there is an election that is allowed");
        assert!(election.starts_with(&narrowed) && !scope.is_empty(), "{narrowed}");
    }
}

/// The same text is the same policy, and so are its rules when another program has written them.
fn is_read_alike(policy: &Policy, text: &str, subject: &str) {
    let again = Policy::parse("policy.toml", &format!("{text}\n# the end")).expect("a comment changes nothing");
    assert_eq!(format!("{policy:?}"), format!("{again:?}"));
    let rules: toml::Table = toml::from_str(text).expect("a policy is TOML");
    let rewritten = toml::to_string(&rules).expect("what was TOML can be written");
    let rewritten = Policy::parse("policy.toml", &rewritten).expect("the rules are the same");
    for verb in Verb::all() {
        let scopes = [policy, &rewritten].map(|policy| format!("{:?}", policy.scope(subject, verb)));
        assert_eq!(scopes[0], scopes[1], "{verb}");
    }
}

/// Policies as people write them, and as they shouldn't.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let team = "[[rule]]\nsubjects = [\"system:serviceaccount:*:*\"]\nelections = [\"{namespace}/**\", \"{name}\"]\n";
    let (verbs, all) = ("verbs = [\"campaign\", \"step-down\"]\n", "verbs = [\"admin\"]\n");
    let everybody = "[[rule]]\nsubjects = ['**']\nelections = ['**', '*/a', 'b*']\n";
    let subject = "[[rule]]\nsubjects = [\"oidc:https://sso.example/ops#*\", \"spiffe://example.org/ns/ops/**\"]\n";
    let inline = r#"rule = [{subjects = ['s0'], elections = ["e\u0030", 'a\0'], verbs = ['observe']}]"#;
    [
        format!("{team}{verbs}"),
        format!("{everybody}{all}# and\n{team}{verbs}"),
        format!("{subject}elections = [\"shared/{{namespace}}/*\"]\n{verbs}"),
        inline.to_owned(),
        format!("{team}verbs = [\"campain\"]\n"),
        format!("{team}verb = []\n"),
        "[[rule]]\nsubjects = []\nelections = [''] # nothing\nverbs = ['{}']\n".to_owned(),
        format!("{everybody}verbs = [{}", "[".repeat(200)),
        String::new(),
    ]
    .map(|text| [&b"\x00\x00\x00"[..], text.as_bytes()].concat())
    .to_vec()
}
