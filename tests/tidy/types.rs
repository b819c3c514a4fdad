//! A name means one type in a crate: a reader who finds it in one file knows it in all.

use super::{assert_none, sources};
use std::collections::BTreeMap;

/// The sources of the crates that are shipped.
const CRATES: [&str; 5] = ["client/src/", "client/cli/src/", "server/core/src/", "server/shell/src/", "server/src/"];
/// Before the name of a type that is declared outside of a block.
const DECLARES: [&str; 4] = ["struct ", "enum ", "trait ", "type "];

/// The name of the type that this line declares.
fn declared(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) => {
            rest.strip_prefix("(crate)").or_else(|| rest.strip_prefix("(super)")).unwrap_or(rest).trim_start()
        }
        None => line,
    };
    let rest = DECLARES.iter().find_map(|word| line.strip_prefix(word))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[test]
fn no_two_types_of_a_crate_have_one_name() {
    let sources = sources();
    let mut found = Vec::new();
    for folder in CRATES {
        let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for source in sources.iter().filter(|source| source.is_rust() && source.path.starts_with(folder)) {
            source
                .text
                .lines()
                .filter_map(declared)
                .for_each(|name| places.entry(name).or_default().push(&source.path));
        }
        assert!(places.len() > 10, "{folder} has hardly any types: is that where they are?");
        places.retain(|_, places| places.len() > 1);
        found.extend(places.into_iter().map(|(name, places)| format!("{name} in {}", places.join(", "))));
    }
    assert_none("a name means one type in a crate", found);
}

#[test]
fn declarations_are_recognised() {
    for (line, name) in [
        ("pub(super) enum NextRole {", Some("NextRole")),
        ("pub struct Version(pub String);", Some("Version")),
        ("struct Due<T> {", Some("Due")),
        ("type SimShell = Shell<(), CallId, u64>;", Some("SimShell")),
        ("    type Target = Self;", None),
        ("pub fn structure() {", None),
    ] {
        assert_eq!(declared(line), name, "{line}");
    }
}
