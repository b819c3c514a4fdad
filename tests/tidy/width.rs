//! Comments and docs end at 100 columns.

use super::{Source, assert_none, files};

/// No line of a comment or of Markdown is longer.
const MAX_COLUMNS: usize = 100;
/// Files whose comments begin with `//`, and with `#`.
const SLASHES: [&str; 4] = ["rs", "proto", "go", "js"];
const HASHES: [&str; 6] = ["py", "sh", "bash", "toml", "yaml", "run"];

/// Where a file's text for people stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    /// Everywhere: it is Markdown.
    Everywhere,
    /// After this mark, on lines of its own.
    After(&'static str),
}

fn text_of(source: &Source) -> Text {
    let kind = source.path.rsplit(['.', '/']).next().unwrap_or_default();
    match kind {
        "md" => Text::Everywhere,
        "txt" => Text::After("#"),
        kind if SLASHES.contains(&kind) => Text::After("//"),
        kind if HASHES.contains(&kind) => Text::After("#"),
        kind => unreachable!("no file ends with {kind}"),
    }
}

/// What a comment says, without its marks. `None`: the line is none.
fn comment<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix(mark)?;
    let rest = if mark == "//" { rest.strip_prefix(['/', '!']).unwrap_or(rest) } else { rest };
    if rest.is_empty() { Some("") } else { rest.strip_prefix(' ') }
}

/// The numbers of the lines that are too long. Tables, code, and a word that can't be broken may be
/// longer.
fn long_lines(text: &str, place: Text) -> Vec<usize> {
    let mut in_code = false;
    let mut long = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let content = match place {
            Text::Everywhere => Some(line),
            Text::After(mark) => comment(line, mark),
        };
        let Some(content) = content else {
            in_code = false;
            continue;
        };
        if content.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let is_prose = !in_code && !content.starts_with('|');
        if is_prose && line.chars().count() > MAX_COLUMNS && can_be_broken(line, content) {
            long.push(index + 1);
        }
    }
    long
}

/// Whether a line has a space before the limit, after its marks and outside of code.
fn can_be_broken(line: &str, content: &str) -> bool {
    let text = content.trim_start().trim_start_matches(['-', '*', '+']).trim_start();
    let room = MAX_COLUMNS.saturating_sub(line.chars().count() - text.chars().count());
    let mut in_code = false;
    text.chars().take(room + 1).any(|letter| {
        in_code ^= letter == '`';
        letter == ' ' && !in_code
    })
}

/// Text that isn't ours to wrap: what transcripts answer, and here-documents in scripts.
fn without_output(source: &Source) -> String {
    let mut in_output = false;
    let lines = source.text.lines().map(|line| {
        in_output = if line == "----" { true } else { in_output && !line.is_empty() };
        if in_output { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn comments_and_docs_end_at_a_hundred_columns() {
    let mut findings = Vec::new();
    let mut kinds = [SLASHES.as_slice(), HASHES.as_slice(), &["md"]].concat();
    kinds.push("txt");
    let sources = files(&kinds);
    for source in sources.iter().filter(|source| !source.path.ends_with(".txt") || source.path.contains("transcripts/"))
    {
        let text = without_output(source);
        let long = long_lines(&text, text_of(source));
        findings.extend(long.into_iter().map(|line| format!("{}:{line}", source.path)));
    }
    assert_none(&format!("comments and docs end at {MAX_COLUMNS} columns"), findings);
}

#[test]
fn the_finder_of_long_lines_finds() {
    let long = "word ".repeat(21);
    let one = "x".repeat(120);
    for (text, place, found) in [
        (format!("    /// {long}"), Text::After("//"), true),
        (format!("    let a = 1; // {long}"), Text::After("//"), false),
        (format!("/// ```\n/// {long}\n/// ```\n/// a"), Text::After("//"), false),
        (format!("//! | {long} |"), Text::After("//"), false),
        (format!("# {long}"), Text::After("#"), true),
        (format!("- {one}"), Text::Everywhere, false),
        (format!("- a {one}"), Text::Everywhere, true),
        (format!("`{long}`"), Text::Everywhere, false),
        ("word ".repeat(20).trim().to_owned(), Text::Everywhere, false),
    ] {
        assert_eq!(!long_lines(&text, place).is_empty(), found, "{text}");
    }
}
