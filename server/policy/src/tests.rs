//! Decisions, against a naive reading of the same rules; and what a file may say.

use super::*;
use proptest::prelude::*;

const WORKER: &str = "system:serviceaccount:team-a:worker";

fn parse(text: &str) -> Policy {
    Policy::parse("policy.toml", text).unwrap()
}

#[test]
fn without_a_file_a_service_account_has_what_lies_under_its_namespace() {
    let admins = [Glob::subject("oidc:https://sso.example#ann").unwrap()];
    let policy = Policy::of_namespaces().with_admins(&admins);
    for (subject, verb, election, allowed) in [
        (WORKER, Verb::Campaign, "team-a/report", true),
        (WORKER, Verb::Observe, "team-a/nightly/report", true),
        (WORKER, Verb::Verify, "team-a/report", true),
        (WORKER, Verb::Replace, "team-a/report", false),
        (WORKER, Verb::StepDown, "team-a/report", false),
        (WORKER, Verb::Admin, "team-a/report", false),
        (WORKER, Verb::Campaign, "team-a", false),
        (WORKER, Verb::Campaign, "team-a-b/report", false),
        (WORKER, Verb::Observe, "team-b/report", false),
        (WORKER, Verb::Observe, "other/team-a/report", false),
        ("system:serviceaccount:team-a:", Verb::Observe, "team-a/report", false),
        ("system:serviceaccount:team-a:b:c", Verb::Observe, "team-a/report", false),
        ("spiffe://example/ns/team-a", Verb::Campaign, "team-a/report", false),
        ("oidc:https://sso.example#ann", Verb::StepDown, "team-a/report", true),
        ("oidc:https://sso.example#anna", Verb::StepDown, "team-a/report", false),
        ("anonymous", Verb::Observe, "team-a/report", false),
    ] {
        assert_eq!(policy.allows(subject, verb, election), allowed, "{subject} {verb} {election}");
        assert_eq!(policy.decide(subject, verb, election).is_ok(), allowed, "{subject} {verb} {election}");
    }
    assert!(Policy::open().allows("anonymous", Verb::StepDown, "a"));
}

#[test]
fn a_decision_says_why_and_a_denial_how_to_allow_it() {
    let policy = parse("\n[[rule]]\nsubjects = ['**']\nelections = ['open/*']\nverbs = ['observe', 'step-down']\n");
    let says = |verb, election| match policy.decide(WORKER, verb, election) {
        Ok(place) => place.to_string(),
        Err(denial) => denial.to_string(),
    };
    assert_eq!(says(Verb::Observe, "open/a"), "the rule at policy.toml:2");
    assert_eq!(
        says(Verb::Campaign, "open/a"),
        "system:serviceaccount:team-a:worker may not campaign in the election open/a: no rule of the policy policy.toml \
         allows it; to allow it add to that file [[rule]] subjects = [\"system:serviceaccount:team-a:worker\"], elections = \
         [\"open/a\"], verbs = [\"campaign\"]"
    );
    let denial = Policy::of_namespaces().decide(WORKER, Verb::StepDown, "team-b/x").unwrap_err().to_string();
    assert!(denial.contains("may campaign, observe and verify in elections under team-a/; "), "{denial}");
    assert!(denial.ends_with("verbs = [\"step-down\"]"), "{denial}");
}

#[test]
fn an_error_names_file_and_line() {
    let rule = |subjects: &str, elections: &str, verbs: &str| {
        format!("# a policy\n[[rule]]\nsubjects = {subjects}\nelections = {elections}\nverbs = {verbs}\n")
    };
    for (text, says) in [
        (rule("['a']", "['b']", "['lead']"), "policy.toml:5: \"lead\" is no verb; the verbs are campaign, replace,"),
        (rule("['a']", "['b',\n  'c***']", "['observe']"), "policy.toml:5: \"c***\" has three stars in a row"),
        (rule("['{name}']", "['b']", "['observe']"), "policy.toml:3: \"{name}\" has a brace"),
        (rule("['a']", "['{nam}/b']", "['observe']"), "policy.toml:4: \"{nam}/b\" has a brace"),
        (rule("['a']", "['b c']", "['observe']"), "policy.toml:4: \"b c\" has ' ' in it"),
        (rule("['a']", "['']", "['observe']"), "policy.toml:4: a pattern is empty"),
        (rule("[]", "['b']", "['observe']"), "policy.toml:2: subjects is empty, so this rule allows nothing"),
        (rule("'a'", "['b']", "['observe']"), "policy.toml:3: invalid type"),
        ("[[rule]]\nsubject = ['a']".to_owned(), "policy.toml:2: unknown field `subject`"),
        ("[[rule]]\nsubjects = ['a']".to_owned(), "policy.toml:1: missing field `elections`"),
        ("[[rules]]".to_owned(), "policy.toml:1: unknown field `rules`"),
        ("\n\n[[rule]".to_owned(), "policy.toml:3: "),
        ("#".repeat(MAX_POLICY_BYTES + 1), "policy.toml:1: it has 1048577 bytes"),
    ] {
        let error = Policy::parse("policy.toml", &text).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}\n{text}");
    }
    assert!(Policy::parse("policy.toml", "").unwrap().scope(WORKER, Verb::Observe).is_empty());
}

#[test]
fn many_stars_cost_little() {
    let glob = Glob::subject(&"*a".repeat(200)).unwrap();
    assert!(!glob.matches(None, &"a".repeat(199)));
    assert!(glob.matches(None, &"a".repeat(200)));
}

#[test]
fn a_scope_is_searched_where_it_lies() {
    let policy = parse(
        "[[rule]]\nsubjects = ['**']\nelections = ['{namespace}/**', 'team-b/x', 'team-b/y']\nverbs = ['observe']\n",
    );
    let scope = policy.scope(WORKER, Verb::Observe);
    for (prefix, narrowed) in [
        ("", Some("team-")),
        ("team-a", Some("team-a/")),
        ("team-a/n", Some("team-a/n")),
        ("team-b/", Some("team-b/")),
        ("other/", None),
    ] {
        assert_eq!(scope.narrow(prefix).as_deref(), narrowed, "{prefix}");
    }
    assert!(scope.contains("team-a/a/b") && scope.contains("team-b/x") && !scope.contains("team-b/z"));
    let other = policy.scope("cn:x", Verb::Observe);
    assert_eq!(other.narrow("").as_deref(), Some("team-b/"));
}

/// What a pattern means, word for word.
fn naive(glob: &str, text: &str) -> bool {
    let all_ways = |rest: &str, crosses: bool| {
        (0..=text.len())
            .filter(|end| text.is_char_boundary(*end) && (crosses || !text[..*end].contains(['/', ':'])))
            .any(|end| naive(rest, &text[end..]))
    };
    if let Some(rest) = glob.strip_prefix("**") {
        return all_ways(rest, true);
    }
    if let Some(rest) = glob.strip_prefix('*') {
        return all_ways(rest, false);
    }
    match glob.chars().next() {
        None => text.is_empty(),
        Some(first) => text.strip_prefix(first).is_some_and(|text| naive(&glob[first.len_utf8()..], text)),
    }
}

/// What rules mean, word for word.
fn naive_policy(rules: &[(Vec<String>, Vec<String>, Vec<Verb>)], subject: &str, verb: Verb, election: &str) -> bool {
    let parts: Vec<&str> = subject.split(':').collect();
    let account = match parts[..] {
        ["system", "serviceaccount", namespace, name] if !namespace.is_empty() && !name.is_empty() => {
            Some((namespace, name))
        }
        _ => None,
    };
    rules.iter().any(|(subjects, elections, verbs)| {
        let of_election = |glob: &String| {
            let filled = match account {
                Some((namespace, name)) => glob.replace("{namespace}", namespace).replace("{name}", name),
                None => glob.clone(),
            };
            !filled.contains('{') && naive(&filled, election)
        };
        subjects.iter().any(|glob| naive(glob, subject))
            && elections.iter().any(of_election)
            && (verbs.contains(&verb) || verbs.contains(&Verb::Admin))
    })
}

fn written(rules: &[(Vec<String>, Vec<String>, Vec<Verb>)]) -> String {
    let rule = |(subjects, elections, verbs): &(Vec<String>, Vec<String>, Vec<Verb>)| {
        let verbs: Vec<&str> = verbs.iter().map(|verb| verb.name()).collect();
        format!("[[rule]]\nsubjects = {subjects:?}\nelections = {elections:?}\nverbs = {verbs:?}\n")
    };
    rules.iter().map(rule).collect()
}

/// Few characters and short words, so that patterns match often.
fn words(pattern: &'static str) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(pattern.prop_filter("three stars", |glob| !glob.contains("***")), 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_pattern_means_what_it_says(glob in "[ab/:é*]{1,8}", text in "[ab/:é]{0,8}") {
        prop_assume!(!glob.contains("***"));
        prop_assert_eq!(Glob::subject(&glob).unwrap().matches(None, &text), naive(&glob, &text));
    }

    #[test]
    fn a_policy_means_what_it_says(
        rules in prop::collection::vec((
            words("(system:serviceaccount:[ab*]{1,2}:[ab*]{1,2}|[ab:*]{1,4})"),
            words("([ab*]{0,2}/?(\\{namespace\\}|\\{name\\}|[ab])/?[ab*]{0,2})"),
            prop::collection::vec(prop::sample::select(Verb::all().to_vec()), 1..3),
        ), 0..4),
        subject in "(system:serviceaccount:[ab]{1,2}:[ab]{0,2}|[ab:]{1,4})",
        verb in prop::sample::select(Verb::all().to_vec()),
        election in "[ab]{1,2}(/[ab]{1,2}){0,2}",
        prefix in "[ab]{0,1}",
    ) {
        let expected = naive_policy(&rules, &subject, verb, &election);
        let policy = Policy::parse("p", &written(&rules)).unwrap();
        prop_assert_eq!(policy.allows(&subject, verb, &election), expected);
        prop_assert_eq!(policy.decide(&subject, verb, &election).is_ok(), expected);
        let scope = policy.scope(&subject, verb);
        prop_assert_eq!(scope.contains(&election), expected);
        if expected && election.starts_with(&prefix) {
            let narrowed = scope.narrow(&prefix).expect("there is one");
            prop_assert!(election.starts_with(&narrowed), "{narrowed}");
        }
    }
}
