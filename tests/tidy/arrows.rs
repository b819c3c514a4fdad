//! Which file of the core uses which: arrows between files run one way.

use crate::{assert_none, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The place of a file's module in the crate, such as `["replica", "hold"]`.
type Module = Vec<String>;

/// Arrows from each file to those that it names in a path. Methods of a type that is spread over
/// files aren't seen.
struct Arrows {
    modules: BTreeSet<Module>,
    /// The module of each name that `lib.rs` exports.
    exports: BTreeMap<String, Module>,
}

impl Arrows {
    fn new(files: &BTreeMap<Module, String>) -> Self {
        let modules: BTreeSet<_> = files.keys().cloned().collect();
        let lib = files.get(&Module::new()).map_or("", String::as_str);
        let names = paths(lib).into_iter().filter_map(|mut path| Some((path.pop()?, path)));
        Self { exports: names.filter(|(_, module)| modules.contains(module)).collect(), modules }
    }

    /// The module in which a path ends that stands in `from`.
    fn resolve(&self, from: &Module, path: &[String]) -> Option<Module> {
        let mut segments = path;
        let mut module = match path.first()?.as_str() {
            "crate" => Module::new(),
            "super" | "self" => from.clone(),
            child if self.modules.contains(&[from.as_slice(), &[child.to_owned()]].concat()) => from.clone(),
            _ => return None,
        };
        while let Some(first @ ("crate" | "self" | "super")) = segments.first().map(String::as_str) {
            if first == "super" {
                module.pop();
            }
            segments = &segments[1..];
        }
        for segment in segments {
            let below = [module.as_slice(), std::slice::from_ref(segment)].concat();
            if !self.modules.contains(&below) {
                let exported = self.exports.get(segment).filter(|_| module.is_empty());
                return exported.cloned().or(Some(module));
            }
            module = below;
        }
        Some(module)
    }

    /// Each circle once, as its files.
    fn circles(&self, files: &BTreeMap<Module, String>) -> Vec<String> {
        let mut arrows = BTreeMap::new();
        for (from, text) in files.iter().filter(|(from, _)| !from.is_empty()) {
            let targets = paths(text).into_iter().filter_map(|path| self.resolve(from, &path));
            arrows.insert(from, targets.filter(|to| to != from && !to.is_empty()).collect::<BTreeSet<_>>());
        }
        let (mut circles, mut done) = (Vec::new(), BTreeSet::new());
        for from in arrows.keys() {
            follow(&arrows, from, &mut Vec::new(), &mut done, &mut circles);
        }
        circles
    }
}

fn follow<'a>(
    arrows: &'a BTreeMap<&Module, BTreeSet<Module>>,
    at: &'a Module,
    way: &mut Vec<&'a Module>,
    done: &mut BTreeSet<&'a Module>,
    circles: &mut Vec<String>,
) {
    if let Some(start) = way.iter().position(|module| *module == at) {
        let files = way[start..].iter().copied().chain([at]).map(|module| format!("{}.rs", module.join("/")));
        circles.push(files.collect::<Vec<_>>().join(" -> "));
        return;
    }
    if done.contains(at) {
        return;
    }
    way.push(at);
    for to in arrows.get(at).into_iter().flatten() {
        follow(arrows, to, way, done, circles);
    }
    way.pop();
    done.insert(at);
}

/// All paths of a file's code but for its tests: those of `use`, one for each name, and those that
/// stand in an expression or a type.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<_> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut paths = Vec::new();
    for statement in code.join("\n").split(';').map(str::trim) {
        let item = ["pub ", "pub(crate) ", "pub(super) "].iter().find_map(|seen| statement.strip_prefix(seen));
        if let Some(used) = item.unwrap_or(statement).strip_prefix("use ") {
            expand(&[], used, &mut paths);
        } else {
            let words = statement.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let words = words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
            paths.extend(words.map(segments));
        }
    }
    paths
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

/// Takes a `use` apart, with the braces in it.
fn expand(before: &[String], used: &str, paths: &mut Vec<Vec<String>>) {
    let used = used.trim();
    let Some((head, list)) = used.split_once('{') else {
        let used = used.split(" as ").next().unwrap_or_default();
        paths.push([before, &segments(used)].concat());
        return;
    };
    let before = [before, &segments(head)].concat();
    let (mut depth, mut start) = (0, 0);
    let list = list.trim_end().trim_end_matches('}');
    for (at, letter) in list.char_indices().chain([(list.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !list[start..at].trim().is_empty() {
                    expand(&before, &list[start..at], paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn module(path: &str) -> Module {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    if path == "lib" { Module::new() } else { path.split('/').map(str::to_owned).collect() }
}

#[test]
fn arrows_between_the_files_of_the_core_run_one_way() {
    let inside =
        |path: &str| path.strip_prefix("server/core/src/").filter(|path| !path.ends_with("_tests.rs")).map(module);
    let files: BTreeMap<_, _> =
        sources().into_iter().filter_map(|source| Some((inside(&source.path)?, source.text))).collect();
    let arrows = Arrows::new(&files);
    assert!(arrows.modules.len() > 30 && arrows.exports.len() > 60, "is this the core?");
    assert_none("files of the core that use each other", arrows.circles(&files));
}

#[test]
fn the_reader_of_arrows_reads() {
    let files = [
        ("lib.rs", "pub use low::{Low, other::{Deep as Deeper}};"),
        ("low.rs", "//! use crate::top;\nfn f() -> crate::top::T {}\n#[cfg(test)]\nuse crate::up;"),
        ("low/other.rs", "use std::fmt;"),
        ("top.rs", "mod left;\nmod right;\npub(crate) use left::Left;\nuse crate::{\n    Low,\n};"),
        ("top/left.rs", "use super::right::{Right, more};"),
        ("top/right.rs", "fn g(x: super::Top) {}"),
        ("up.rs", "use crate::low::Low;"),
    ];
    let files = files.map(|(path, text)| (module(path), text.to_owned())).into();
    let circles = Arrows::new(&files).circles(&files);
    assert_eq!(circles, ["low.rs -> top.rs -> low.rs", "top.rs -> top/left.rs -> top/right.rs -> top.rs"]);
}
