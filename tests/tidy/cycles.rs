//! Cycles between the source files of a crate: files that need each other can't be read one after
//! the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What a file names of its own crate: its paths, each as segments from the crate's root.
#[derive(Default)]
struct File {
    /// The modules that stand in files of their own below this one.
    children: BTreeSet<String>,
    paths: BTreeSet<Vec<String>>,
    /// The names that this file exports, and what each stands for. None: something of another
    /// crate.
    exports: BTreeMap<String, Option<Vec<String>>>,
}

type Files = BTreeMap<Vec<String>, File>;

/// The cycles of `use crate::`, `use super::` and `use child::` between the files of this folder,
/// which holds the `lib.rs` of a crate. Each file that lies on one names the shortest.
///
/// An exported name counts as an arrow to the file that defines it. Tests don't count.
pub(crate) fn cycles(folder: &Path) -> Vec<String> {
    let mut files = Files::new();
    read(&folder.join("lib.rs"), folder, &[], &mut files);
    let arrows: BTreeMap<&[String], BTreeSet<Vec<String>>> = files
        .iter()
        .map(|(module, file)| {
            let targets = file.paths.iter().filter_map(|path| resolve(&files, path, 0));
            (module.as_slice(), targets.filter(|target| target != module).collect())
        })
        .collect();
    let found = files.keys().filter_map(|start| shortest_cycle(&arrows, start));
    // Each cycle is told once, from its first file on.
    let told = found.filter(|cycle| cycle.iter().min() == cycle.first());
    told.map(|cycle| cycle.iter().map(|module| name(module)).collect::<Vec<_>>().join(" -> ")).collect()
}

fn name(module: &[String]) -> String {
    if module.is_empty() { "lib.rs".to_owned() } else { format!("{}.rs", module.join("/")) }
}

/// Reads the file of a module and those below it.
fn read(path: &Path, folder: &Path, module: &[String], files: &mut Files) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let code: Vec<&str> = text.lines().take_while(|line| *line != "#[cfg(test)]").collect();
    let mut file = File::default();
    for line in &code {
        let declared = line.rsplit_once("mod ").and_then(|(_, name)| name.strip_suffix(';'));
        let below = |name: &&str| folder.join(name).with_extension("rs").exists();
        file.children.extend(declared.filter(below).map(str::to_owned));
    }
    let code = code.into_iter().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for (start, _) in code.match_indices(char::is_alphabetic) {
        if code[..start].ends_with(|char: char| char.is_alphanumeric() || "_:".contains(char)) {
            continue;
        }
        let (first, line) = (identifier(&code[start..]), code[..start].rsplit('\n').next().unwrap_or_default());
        let (is_use, is_public) = (line.ends_with("use "), line.starts_with("pub"));
        let is_path = code[start + first.len()..].starts_with("::");
        let base = match first {
            "crate" if is_path => Vec::new(),
            // A module inside this file has this file above it.
            "super" if is_path && line.starts_with(' ') && in_inner_module(&code[..start]) => module.to_vec(),
            "super" if is_path => module[..module.len().saturating_sub(1)].to_vec(),
            child if is_use && file.children.contains(child) => [module, &[child.to_owned()]].concat(),
            _ if is_use && is_public => {
                let statement = code[start..].split(';').next().unwrap_or_default();
                let names = statement.split(|char: char| !char.is_alphanumeric() && char != '_');
                file.exports.extend(names.map(|name| (name.to_owned(), None)));
                continue;
            }
            _ => continue,
        };
        let mut found = Vec::new();
        expand(&code[start + first.len()..], &base, &mut found);
        if is_use && is_public {
            let exports = found.iter().filter_map(|path| Some((path.last()?.clone(), Some(path.clone()))));
            file.exports.extend(exports);
        }
        file.paths.extend(found);
    }
    for child in file.children.clone() {
        let below = folder.join(&child);
        read(&below.with_extension("rs"), &below, &[module, &[child]].concat(), files);
    }
    files.insert(module.to_vec(), file);
}

fn identifier(text: &str) -> &str {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').next().unwrap_or_default()
}

/// Whether the end of this code stands in a `mod x { ... }` of its file. Leans on rustfmt.
fn in_inner_module(code: &str) -> bool {
    let opened = code.lines().rev().find(|line| !line.starts_with([' ', '}']) && line.ends_with('{'));
    opened.is_some_and(|line| line.contains("mod "))
}

/// The paths that begin so and go on with this text, such as `::a::{b, c::d}`. The rest is of no
/// interest.
fn expand<'a>(text: &'a str, base: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let Some(rest) = text.strip_prefix("::") else {
        found.push(base.to_vec());
        return text;
    };
    let Some(mut rest) = rest.strip_prefix('{') else {
        let next = identifier(rest);
        // A star stands for all that the module has.
        let path = if next.is_empty() { base.to_vec() } else { [base, &[next.to_owned()]].concat() };
        return expand(&rest[next.len().max(usize::from(rest.starts_with('*')))..], &path, found);
    };
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let next = identifier(rest);
        let path = if next == "self" { base.to_vec() } else { [base, &[next.to_owned()]].concat() };
        rest = expand(&rest[next.len()..], &path, found);
        // Past a comma, a star, or a new name.
        rest = rest.find([',', '}']).map_or("", |end| &rest[end..]);
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// The file that a path leads to.
fn resolve(files: &Files, path: &[String], depth: usize) -> Option<Vec<String>> {
    let mut module = Vec::new();
    for segment in path {
        let file = files.get(&module)?;
        match file.exports.get(segment) {
            _ if file.children.contains(segment) => module.push(segment.clone()),
            // A ring of exports leads nowhere.
            Some(path) if depth < files.len() => return resolve(files, path.as_ref()?, depth + 1),
            _ => break,
        }
    }
    files.contains_key(&module).then_some(module)
}

/// The shortest way from a file back to itself.
fn shortest_cycle(arrows: &BTreeMap<&[String], BTreeSet<Vec<String>>>, start: &[String]) -> Option<Vec<Vec<String>>> {
    let mut ways = vec![vec![start.to_vec()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in arrows.get(way.last()?.as_slice()).into_iter().flatten() {
                let way = [way.as_slice(), std::slice::from_ref(next)].concat();
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}
