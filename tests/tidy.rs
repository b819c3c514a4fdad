//! The style of the code, as a test: what no other tool checks.

#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/types.rs"]
mod types;
#[path = "tidy/width.rs"]
mod width;

#[path = "tidy/cycles.rs"]
mod cycles;

use cycles::cycles;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// No source file is longer.
const MAX_FILE_LINES: usize = 600;
/// No function is longer, its signature and last brace included.
const MAX_FUNCTION_LINES: usize = 70;
/// Files of these kinds are sources.
const KINDS: [&str; 7] = ["rs", "proto", "py", "sh", "go", "md", "toml"];

/// A source file: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// All sources of the repository; what is generated or belongs to others isn't among them.
fn sources() -> Vec<Source> {
    files(&KINDS)
}

/// All files whose names end like one of these kinds; scripts without an ending, like tests/run,
/// are among them.
fn files(kinds: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.extend(is_ours(root, &path).then_some(path));
            } else if is_of(&path, kinds) {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                let path = path.strip_prefix(root).expect("it lies below").display().to_string();
                // The mark that generators of Go code leave.
                if !text.contains("\n// Code generated ") {
                    sources.push(Source { path, text });
                }
            }
        }
    }
    assert!(sources.len() > 10, "only {} files found: is this the root?", sources.len());
    sources
}

fn is_ours(root: &Path, folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let foreign = ["node_modules", "__pycache__"].contains(&&*name) || (name.starts_with('.') && name != ".ci");
    !foreign && folder != root.join("target") && folder != root.join("examples/python/leasehold")
}

fn is_of(path: &Path, kinds: &[&str]) -> bool {
    let kind = path.extension().unwrap_or_default().to_string_lossy();
    // Scripts without an ending: tests/run, .ci/run.
    kinds.contains(&&*kind) || path.ends_with("run")
}

/// Fails with all findings at once.
#[track_caller]
fn assert_none(what: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{what}:\n  {}", findings.join("\n  "));
}

#[test]
fn no_file_is_too_long() {
    let long = sources().into_iter().filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > MAX_FILE_LINES).then(|| format!("{}: {lines} lines", source.path))
    });
    assert_none(&format!("files have at most {MAX_FILE_LINES} lines"), long.collect());
}

#[test]
fn every_rust_file_says_in_its_first_line_what_lives_there() {
    let silent = sources().into_iter().filter(|source| source.is_rust() && !source.text.starts_with("//! "));
    assert_none("Rust files open with a line of //!", silent.map(|source| source.path).collect());
}

#[test]
fn modules_stand_beside_their_folders() {
    let wrong = sources().into_iter().filter(|source| source.path.ends_with("/mod.rs"));
    assert_none("foo.rs beside foo/, never mod.rs", wrong.map(|source| source.path).collect());
}

#[test]
fn no_function_is_too_long() {
    let mut long = Vec::new();
    let mut functions = 0;
    for source in sources().iter().filter(|source| source.is_rust()) {
        for (name, line, length) in functions_of(&source.text) {
            functions += 1;
            if length > MAX_FUNCTION_LINES {
                long.push(format!("{}:{line}: {name} has {length} lines", source.path));
            }
        }
    }
    assert!(functions > 200, "only {functions} functions found: does the counter still work?");
    assert_none(&format!("functions have at most {MAX_FUNCTION_LINES} lines"), long);
}

/// Name, first line and length of each function. Leans on rustfmt: a function ends with the first
/// line that closes a brace, or a declaration, at the indentation of its `fn`.
fn functions_of(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indentation = &line[..line.len() - line.trim_start().len()];
        let closes = |line: &&str| {
            line.strip_prefix(indentation)
                .is_some_and(|rest| rest == "}" || (!rest.starts_with(' ') && rest.ends_with(';')))
        };
        let ends_here = line.ends_with('}') || line.ends_with(';');
        let length = if ends_here { 1 } else { lines[index..].iter().take_while(|line| !closes(line)).count() + 1 };
        functions.push((name.to_owned(), index + 1, length));
    }
    functions
}

/// The name of the function that begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split(' ');
    words.by_ref().find(|word| !is_modifier(word)).filter(|word| *word == "fn")?;
    words.next()?.split(['(', '<']).next()
}

fn is_modifier(word: &str) -> bool {
    ["pub", "async", "const", "unsafe", "extern", "default"].contains(&word)
        || word.starts_with("pub(")
        || word.starts_with('"')
}

#[test]
fn the_counter_of_lines_counts() {
    let text = "\
pub(crate) async fn one<T>(
    a: T,
) -> T
where
    T: Copy,
{
    if x {
    }
}

impl X {
    const fn two() {}
    fn three(&self) -> u8 {
        4
    }
    fn four(
        &self,
    ) -> u8;
}
";
    let found = functions_of(text);
    let short: Vec<_> = found.iter().map(|(name, line, length)| (name.as_str(), *line, *length)).collect();
    assert_eq!(short, [("one", 1, 9), ("two", 12, 1), ("three", 13, 3), ("four", 16, 3)]);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file isn't a finding.
    let words =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["#[ig", "nore"], ["unim", "plemented!"]].map(|word| word.concat());
    let mut findings = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                findings.push(format!("{}:{}: {word}", source.path, index + 1));
            }
        }
    }
    assert_none("nothing is left for later, and no test is skipped", findings);
}

/// The names in a manifest's tables whose names end with `dependencies`, those of single targets
/// included.
fn dependencies(manifest: &str, tables: &[&str]) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(manifest);
    let text = fs::read_to_string(path).expect("the manifest is there");
    let manifest: toml::Table = text.parse().expect("the manifest is TOML");
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let targets = targets.filter_map(|(_, target)| target.as_table());
    let all = targets.chain([&manifest]).flat_map(|parent| tables.iter().filter_map(|table| parent.get(*table)));
    all.filter_map(toml::Value::as_table).flat_map(toml::Table::keys).cloned().collect()
}

#[test]
fn the_core_depends_on_nothing() {
    let found = dependencies("server/core/Cargo.toml", &["dependencies", "build-dependencies"]);
    let others: Vec<String> = found.into_iter().filter(|name| name != "thiserror").collect();
    assert_none("leasehold-core sees nothing but std and thiserror", others);
}

/// The name of the type that is declared on this line, outside of functions and implementations.
fn type_name(line: &str) -> Option<&str> {
    let words = line.strip_prefix("pub").map_or(line, |rest| rest.trim_start_matches(|c| c != ' ').trim_start());
    let name = ["struct ", "enum ", "trait ", "type "].iter().find_map(|kind| words.strip_prefix(kind))?;
    name.split(|c: char| !c.is_alphanumeric()).next()
}

#[test]
fn each_type_of_the_server_has_a_name_of_its_own() {
    let sources = sources();
    let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Source { path, text } in sources.iter().filter(|source| source.is_rust()) {
        let own = path.starts_with("server/src/");
        // Of the core and the shell nobody else sees more than what is public.
        let seen = |line: &&str| own || line.starts_with("pub ");
        if own || path.starts_with("server/core/src/") || path.starts_with("server/shell/src/") {
            let names = text.lines().filter(seen).filter_map(type_name);
            names.for_each(|name| types.entry(name).or_default().push(path));
        }
    }
    assert!(types.len() > 100, "only {} types found", types.len());
    types.retain(|_, paths| paths.len() > 1 && paths.iter().any(|path| path.starts_with("server/src/")));
    let findings = types.iter().map(|(name, paths)| format!("{name}: {}", paths.join(", ")));
    assert_none("each type of the server has a name of its own", findings.collect());
}

#[test]
fn the_policy_is_pure() {
    let found = dependencies("server/policy/Cargo.toml", &["dependencies", "build-dependencies"]);
    assert_eq!(found, ["serde", "thiserror", "toml"], "leasehold-policy reads text, and decides");
}

#[test]
fn the_shell_has_no_runtime() {
    let found = dependencies("server/shell/Cargo.toml", &["dependencies", "build-dependencies"]);
    assert_eq!(found, ["leasehold-core"], "leasehold-shell sees nothing but std and the core");
}

#[test]
fn the_model_is_of_the_protocol_and_not_of_the_code() {
    let found = dependencies("tests/model/Cargo.toml", &["dependencies", "dev-dependencies", "build-dependencies"]);
    let ours = found.into_iter().filter(|name| name.starts_with("leasehold"));
    assert_none("leasehold-model shares no code with what it is a model of", ours.collect());
}

/// What only Linux, or only Unix, has. Crates for it are known by the build that pretends another
/// system (tests/run).
const SYSTEM_WORDS: [&str; 6] = ["std::os::", "tokio::net::unix", "tokio::signal::unix", "/proc/", "/bin/", "/dev/"];
/// Where that may stand in the client and the command, beside what `leasehold run` is made of.
const SYSTEM_FILES: [&str; 1] = ["client/cli/src/signals.rs"];

#[test]
fn the_command_leans_on_linux_in_one_module() {
    let mut findings = Vec::new();
    let mut seen = 0;
    for source in sources().iter().filter(|source| source.is_rust()) {
        let of_run = source.path.starts_with("client/cli/src/run/") || source.path == "client/cli/src/run.rs";
        let is_portable = source.path.starts_with("client/src/") || source.path.starts_with("client/cli/src/");
        if of_run || !is_portable || SYSTEM_FILES.contains(&source.path.as_str()) {
            continue;
        }
        seen += 1;
        for (index, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = SYSTEM_WORDS.iter().find(|word| code.contains(**word)) {
                findings.push(format!("{}:{}: {word}", source.path, index + 1));
            }
        }
    }
    assert!(seen > 40, "only {seen} files looked at");
    assert_none("only client/cli/src/run leans on Linux", findings);
}

#[test]
fn the_client_knows_the_contract_only() {
    for manifest in ["client/Cargo.toml", "client/cli/Cargo.toml"] {
        let found = dependencies(manifest, &["dependencies", "build-dependencies"]);
        assert!(found.iter().any(|name| name == "leasehold-proto"), "{manifest}: {found:?}");
        let foreign = ["leasehold-core", "leasehold-server", "leasehold-harness", "kube", "k8s-openapi", "axum"];
        let others = found.into_iter().filter(|name| foreign.contains(&name.as_str()));
        assert_none(&format!("{manifest} depends on what a client has no use for"), others.collect());
    }
}

/// The path and the code of each source in a folder, without its tests.
fn code_below(folder: &str) -> Vec<(String, String)> {
    let below = sources().into_iter().filter(|source| source.is_rust() && source.path.starts_with(folder));
    let code = |text: &str| text.lines().take_while(|line| *line != "#[cfg(test)]").collect::<Vec<_>>().join("\n");
    let found: Vec<_> =
        below.map(|source| (code(&source.text), source.path)).map(|(code, path)| (path, code)).collect();
    assert!(found.len() > 20, "only {} files in {folder}", found.len());
    found
}

#[test]
fn one_file_of_the_client_reads_the_clock_and_none_that_says_no_io_asks_it() {
    let (clocks, asks) = (["Instant::now", "SystemTime::now", "clock_gettime"], ["clock::now", "tokio::", "async "]);
    let mut pure = 0;
    let mut findings = Vec::new();
    for (path, code) in code_below("client/src/") {
        let is_pure = code.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("No I/O"));
        pure += usize::from(is_pure);
        let forbidden =
            clocks.iter().filter(|_| !path.starts_with("client/src/clock")).chain(asks.iter().filter(|_| is_pure));
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        findings.extend(forbidden.filter(|word| code.contains(**word)).map(|word| format!("{path}: {word}")));
    }
    assert!(pure > 4, "only {pure} files say that they do no I/O");
    assert_none("time comes from client/src/clock.rs, and is an argument where it says no I/O", findings);
}

#[test]
fn no_two_types_of_the_client_or_the_command_have_one_name() {
    for folder in ["client/src/", "client/cli/src/"] {
        let mut seen = std::collections::BTreeMap::new();
        let mut findings = Vec::new();
        for (path, code) in code_below(folder) {
            for line in code.lines().map(|line| {
                line.strip_prefix("pub")
                    .map_or(line, |rest| rest.trim_start_matches("(crate)").trim_start_matches("(super)").trim_start())
            }) {
                let declared = ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| line.strip_prefix(word));
                let Some(name) = declared.and_then(|rest| rest.split(|char: char| !char.is_alphanumeric()).next())
                else {
                    continue;
                };
                findings
                    .extend(seen.insert(name.to_owned(), path.clone()).map(|other| format!("{name}: {other}, {path}")));
            }
        }
        assert_none("a name means one type", findings);
    }
}

#[test]
fn no_two_files_of_a_crate_need_each_other() {
    for folder in ["server/core/src", "server/shell/src", "client/src"] {
        let found = cycles(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        assert_none(&format!("arrows between the files of {folder} run one way"), found);
    }
}
