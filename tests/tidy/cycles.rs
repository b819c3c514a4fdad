//! Cycles between the source files of a crate: files that need each other can't be read one after
//! the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What the file of a module names of its own crate. Paths have slashes and begin at the crate's
/// root, which is "".
#[derive(Default)]
struct File {
    /// The modules that stand in files of their own below this one.
    children: BTreeSet<String>,
    paths: BTreeSet<String>,
    /// The names that this file exports, and what each stands for.
    exports: BTreeMap<String, String>,
}

/// The cycles of `use crate::`, `use super::` and `use child::` between the files of this folder,
/// which holds the `lib.rs` of a crate. Each file that lies on one names the shortest.
///
/// An exported name counts as an arrow to the file that defines it. Tests don't count.
pub(crate) fn cycles(folder: &Path) -> Vec<String> {
    let mut files = BTreeMap::new();
    read(folder, "", &mut files);
    let arrows = files.iter().map(|(module, file)| {
        let targets = file.paths.iter().map(|path| resolve(&files, path, 0));
        (module.clone(), targets.filter(|target| target != module).collect())
    });
    let arrows = arrows.collect();
    let found = files.keys().filter_map(|start| shortest_cycle(&arrows, start));
    // Each cycle is told once, from its first file on.
    let told = found.filter(|cycle| cycle.iter().min() == cycle.first());
    let name = |module: &String| if module.is_empty() { "lib.rs".to_owned() } else { format!("{module}.rs") };
    told.map(|cycle| cycle.iter().map(name).collect::<Vec<_>>().join(" -> ")).collect()
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}/{name}") }
}

/// Reads the file of a module and those below it.
fn read(folder: &Path, module: &str, files: &mut BTreeMap<String, File>) {
    let path = folder.join(if module.is_empty() { "lib" } else { module }).with_extension("rs");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]");
    let code: Vec<&str> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut file = File::default();
    let declared = code.iter().filter_map(|line| line.rsplit_once("mod ")?.1.strip_suffix(';'));
    let has_file = |name: &&str| folder.join(join(module, name)).with_extension("rs").exists();
    file.children = declared.filter(has_file).map(str::to_owned).collect();
    let code = code.join("\n");
    for (start, _) in code.match_indices(char::is_alphabetic) {
        if code[..start].ends_with(|char: char| char.is_alphanumeric() || "_:".contains(char)) {
            continue;
        }
        let (first, line) = (identifier(&code[start..]), code[..start].rsplit('\n').next().unwrap_or_default());
        let rest = &code[start + first.len()..];
        let base = match first {
            "crate" if rest.starts_with("::") => String::new(),
            "super" if rest.starts_with("::") => module.rsplit_once('/').map_or("", |(above, _)| above).to_owned(),
            child if line.ends_with("use ") && file.children.contains(child) => join(module, child),
            _ => continue,
        };
        let mut found = Vec::new();
        expand(rest, &base, &mut found);
        if line.starts_with("pub") && line.ends_with("use ") {
            let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
            file.exports.extend(found.iter().map(|path| (name(path), path.clone())));
        }
        file.paths.extend(found);
    }
    for child in &file.children {
        read(folder, &join(module, child), files);
    }
    files.insert(module.to_owned(), file);
}

fn identifier(text: &str) -> &str {
    text.split(|char: char| !char.is_alphanumeric() && char != '_').next().unwrap_or_default()
}

/// The paths that begin with `base` and go on with this text, such as `::a::{b, c::d}`. Returns the
/// text after them.
fn expand<'a>(text: &'a str, base: &str, found: &mut Vec<String>) -> &'a str {
    let Some(rest) = text.strip_prefix("::") else {
        found.push(base.to_owned());
        return text;
    };
    let Some(mut rest) = rest.strip_prefix('{') else {
        let next = identifier(rest);
        // A star stands for all that the module has.
        let path = if next.is_empty() { base.to_owned() } else { join(base, next) };
        return expand(&rest[next.len()..], &path, found);
    };
    loop {
        rest = rest.trim_start_matches([' ', '\n', ',']);
        if rest.is_empty() || rest.starts_with('}') {
            return rest.strip_prefix('}').unwrap_or_default();
        }
        let next = identifier(rest);
        let path = if next == "self" { base.to_owned() } else { join(base, next) };
        rest = expand(&rest[next.len()..], &path, found);
        rest = rest.find([',', '}']).map_or("", |end| &rest[end..]);
    }
}

/// The file that a path leads to.
fn resolve(files: &BTreeMap<String, File>, path: &str, depth: usize) -> String {
    let mut module = String::new();
    for segment in path.split('/') {
        let file = &files[&module];
        match file.exports.get(segment) {
            _ if file.children.contains(segment) => module = join(&module, segment),
            // A ring of exports leads nowhere.
            Some(path) if depth < files.len() => return resolve(files, path, depth + 1),
            _ => break,
        }
    }
    module
}

/// The shortest way from a file back to itself.
fn shortest_cycle(arrows: &BTreeMap<String, BTreeSet<String>>, start: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        for way in std::mem::take(&mut ways) {
            for next in &arrows[way.last()?] {
                let longer = [way.as_slice(), std::slice::from_ref(next)].concat();
                if next == start {
                    return Some(longer);
                }
                if seen.insert(next) {
                    ways.push(longer);
                }
            }
        }
    }
    None
}
