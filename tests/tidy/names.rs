//! Rules have names. docs/architecture.md gives them; transcripts, the model or the simulation, and
//! comments in code use them.

use super::{Source, assert_none, files};
use std::collections::BTreeSet;

/// Where rules get their names.
const GIVES_NAMES: &str = "docs/architecture.md";
/// Transcripts begin with a comment that names the rule, and many are named after one.
const TRANSCRIPTS: [&str; 2] = ["server/core/tests/transcripts/", "server/core/tests/replica-transcripts/"];
/// The model, the simulation, and what is said of them.
const MODELS: [&str; 4] = ["tests/model/", "tests/sim/", "docs/model.md", "docs/simulation.md"];

/// The names of all rules: docs/architecture.md has a list item for each, which begins with it.
fn rules(texts: &[Source]) -> BTreeSet<String> {
    let docs = texts.iter().find(|text| text.path == GIVES_NAMES).expect("it is there");
    let items = docs.text.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**: "));
    let names: BTreeSet<_> = items.map(|(name, _)| name.to_owned()).filter(|name| is_name(name)).collect();
    assert!(names.len() > 30, "only {} rules found in {GIVES_NAMES}", names.len());
    names
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// The texts of the project, transcripts and patches among them, but for this one.
fn texts() -> Vec<Source> {
    let mut texts = files(&["rs", "proto", "py", "sh", "go", "md", "toml", "yaml", "txt", "patch"]);
    texts.retain(|text| text.path != file!());
    texts
}

/// A text as one line, without the marks of comments.
fn joined(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches(['/', '!', '#']).trim());
    lines.collect::<Vec<_>>().join(" ")
}

/// The rules that a text names: ``rule `a` `` or ``rules `a`, `b` and `c` ``.
fn mentions(text: &str) -> Vec<String> {
    let text = joined(text).to_lowercase();
    let mut names = Vec::new();
    for (start, word) in text.match_indices("rule") {
        let mut rest = &text[start + word.len()..];
        rest = rest.strip_prefix('s').unwrap_or(rest).strip_prefix(' ').unwrap_or_default();
        while let Some((name, after)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
            names.extend(is_name(name).then(|| name.to_owned()));
            let next = [", ", " and ", ", and "].into_iter().filter_map(|joint| after.strip_prefix(joint));
            rest = next.into_iter().find(|rest| rest.starts_with('`')).unwrap_or_default();
        }
    }
    names
}

fn named_in<'a>(texts: impl Iterator<Item = &'a Source>) -> BTreeSet<String> {
    texts.flat_map(|text| mentions(&text.text)).collect()
}

/// The rules and parts of rules that the model can do without: the variants of its enum.
fn rules_of_the_model(texts: &[Source]) -> BTreeSet<String> {
    let source = texts.iter().find(|text| text.path == "tests/model/src/rules.rs").expect("it is there");
    let (_, list) = source.text.split_once("pub enum Rule {").expect("it lists the rules");
    let (list, _) = list.split_once("\n}").expect("the list ends");
    let variants = list.lines().filter_map(|line| line.trim().strip_suffix(','));
    variants.filter(|line| line.chars().all(char::is_alphanumeric)).map(kebab).collect()
}

/// `CompareAndSwap` as `compare-and-swap`.
fn kebab(variant: &str) -> String {
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The name of a rule's part begins with the name of the rule.
fn rule_of<'a>(part: &str, rules: &'a BTreeSet<String>) -> Option<&'a String> {
    let is_of =
        |rule: &&String| part.strip_prefix(rule.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    rules.iter().filter(is_of).max_by_key(|rule| rule.len())
}

fn is_in(text: &Source, places: &[&str]) -> bool {
    places.iter().any(|place| text.path.starts_with(place))
}

#[test]
fn each_rule_is_named_by_a_transcript_by_a_model_and_in_the_code() {
    let texts = texts();
    let rules = rules(&texts);
    let transcripts = named_in(texts.iter().filter(|text| is_in(text, &TRANSCRIPTS)));
    let in_code = named_in(
        texts.iter().filter(|text| text.is_rust() && text.path.starts_with("server/") && text.path.contains("/src/")),
    );
    let mut models = named_in(texts.iter().filter(|text| is_in(text, &MODELS)));
    models.extend(rules_of_the_model(&texts).iter().filter_map(|part| rule_of(part, &rules)).cloned());
    let mut findings = Vec::new();
    for (who, names) in
        [("no transcript", transcripts), ("neither model nor simulation", models), ("no comment in server/", in_code)]
    {
        findings.extend(rules.difference(&names).map(|rule| format!("{who} names the rule `{rule}`")));
    }
    assert_none("each rule is named wherever it is followed or tested", findings);
}

#[test]
fn nobody_names_a_rule_that_docs_do_not_have() {
    let texts = texts();
    let rules = rules(&texts);
    let mut findings = Vec::new();
    for text in &texts {
        let unknown = mentions(&text.text).into_iter().filter(|name| !rules.contains(name));
        findings.extend(unknown.map(|name| format!("{}: `{name}`", text.path)));
        let Some((_, file)) = text.path.split_once("transcripts/rule_").filter(|_| is_in(text, &TRANSCRIPTS)) else {
            continue;
        };
        let file = file.trim_end_matches(".txt").replace('_', "-");
        let head: Vec<_> = text.text.lines().take_while(|line| line.starts_with('#')).collect();
        if !rule_of(&file, &rules).is_some_and(|rule| mentions(&head.join("\n")).contains(rule)) {
            findings.push(format!("{}: its first comment doesn't name the rule that its file name does", text.path));
        }
    }
    let parts = rules_of_the_model(&texts);
    let unknown = parts.iter().filter(|part| rule_of(part, &rules).is_none());
    findings.extend(unknown.map(|part| format!("tests/model: `{part}`")));
    assert_none(&format!("{GIVES_NAMES} gives rules their names"), findings);
    let table = texts.iter().find(|text| text.path == "docs/model.md").expect("it is there").text.lines();
    let rows: BTreeSet<_> =
        table.filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    assert_eq!(rows, parts, "docs/model.md has a row for each rule that the model can do without");
}

#[test]
fn rules_and_scenes_have_no_numbers() {
    let mut findings = Vec::new();
    for text in texts() {
        let lines = text.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        for (line, content) in lines.chain([(0, text.path.as_str())]) {
            let content = content.to_lowercase();
            let numbered = ["rule", "rules", "scenario"].into_iter().find(|word| {
                content.match_indices(word).any(|(at, _)| {
                    let rest = content[at + word.len()..].strip_prefix([' ', '_']);
                    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                })
            });
            findings.extend(numbered.map(|word| format!("{}:{line}: a {word} with a number", text.path)));
        }
    }
    assert_none("rules have names, not numbers", findings);
}

#[test]
fn what_the_track_record_names_is_there() {
    let texts = files(&["rs", "md", "txt", "patch", "py", "go"]);
    let record = texts.iter().find(|text| text.path == "docs/track-record.md").expect("it is there");
    let mut findings = Vec::new();
    let mut names = 0;
    for name in record.text.split('`').skip(1).step_by(2) {
        if !name.contains('_') || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            continue;
        }
        names += 1;
        let files = [format!("/{name}.txt"), format!("/{name}.patch")];
        let code = [format!("fn {name}("), format!("let {name} = ")];
        let is_there = |text: &Source| {
            files.iter().any(|file| text.path.ends_with(file)) || code.iter().any(|code| text.text.contains(code))
        };
        if !texts.iter().any(is_there) {
            findings.push(name.to_owned());
        }
    }
    assert!(names > 20, "only {names} names found in docs/track-record.md");
    assert_none("docs/track-record.md names transcripts, tests and patches that don't exist", findings);
}

#[test]
fn the_finder_of_names_finds() {
    let text = "//! Follows the rules `a-b`,\n//! `c` and `d`; rule\n/// `e`. No rule: `f`. Rulers `g`.";
    assert_eq!(mentions(text), ["a-b", "c", "d", "e"]);
    assert_eq!(kebab("RecencyOfTime"), "recency-of-time");
    let rules = BTreeSet::from(["wait".to_owned(), "wait-long".to_owned()]);
    assert_eq!(rule_of("wait-long-enough", &rules).map(String::as_str), Some("wait-long"));
    assert_eq!(rule_of("waiter", &rules), None);
}
