//! docs/errors.md is the table of all errors: what the server can answer, and what the Rust client
//! makes of it, must be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a client may be told to do.
const REMEDIES: [&str; 6] = ["next endpoint", "try again", "open again", "don't open again", "enter again", "stop"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table: reason, and code and remedy.
fn table() -> BTreeMap<String, (String, String)> {
    let text = read("docs/errors.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| {
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let [reason, code, meaning, remedy] = cells[..] else { panic!("four cells are due: {row}") };
        assert!(!meaning.is_empty() && REMEDIES.contains(&remedy), "{reason}: {remedy:?} is no remedy");
        (reason.trim_end_matches('`').to_owned(), (code.to_owned(), remedy.to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    let table: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), table.len(), "a reason stands twice in docs/errors.md");
    table
}

/// `ResourceExhausted` as it is written on the wire.
fn code_name(code: &str) -> String {
    let mut name = String::new();
    for character in code.chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

/// All pairs `(Code::X, "REASON")` in the server's table.
fn of_the_server() -> BTreeMap<String, String> {
    let text = read("server/src/errors.rs");
    let pairs = text.split("Code::").skip(1).filter_map(|rest| {
        let (code, rest) = rest.split_once(", \"")?;
        let (reason, _) = rest.split_once("\")")?;
        let is_name = code.chars().all(char::is_alphanumeric);
        let is_reason = reason.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        (is_name && is_reason).then(|| (reason.to_owned(), code_name(code)))
    });
    pairs.collect()
}

/// All reasons that the Rust client knows by name.
fn of_the_client() -> BTreeSet<String> {
    let text = read("client/src/refusal.rs");
    let names = text.lines().filter_map(|line| line.trim().split_once(" = \"")?.1.strip_suffix("\","));
    names.filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_')).map(str::to_owned).collect()
}

#[test]
fn every_error_of_the_server_is_in_the_table() {
    let table: BTreeMap<_, _> = table().into_iter().map(|(reason, (code, _))| (reason, code)).collect();
    let server = of_the_server();
    assert!(server.len() > 20, "the server's table was read: {server:?}");
    assert_eq!(server, table, "server/src/errors.rs, and docs/errors.md");
}

#[test]
fn the_client_knows_every_error_of_the_table() {
    let known = of_the_client();
    // What only other replicas and people with grpcurl are told.
    let others = ["NOT_A_REPLICA", "REFLECTION_ENDS"];
    let table: BTreeSet<_> = table().into_keys().filter(|reason| !others.contains(&reason.as_str())).collect();
    assert_eq!(known, table, "client/src/refusal.rs, and docs/errors.md");
}

#[test]
fn remedies_agree_with_codes() {
    for (reason, (code, remedy)) in table() {
        let temporary = ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED"].contains(&code.as_str());
        let final_word = ["enter again", "stop"].contains(&remedy.as_str());
        assert_eq!(
            temporary, !final_word,
            "{reason}: clients that know only {code} would do something else than {remedy}"
        );
    }
}
