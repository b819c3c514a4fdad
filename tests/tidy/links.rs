//! Links lead somewhere: files, headings, and paths that docs and comments name.

use super::{Source, assert_none, files};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Folders of the repository: a path that begins with one is meant to be there.
const FOLDERS: [&str; 9] =
    [".ci/", "client/", "deploy/", "docs/", "examples/", "proto/", "server/", "tests/", "target/"];
/// Folders whose contents are made by a build.
const MADE: [&str; 1] = ["target/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Markdown without its blocks of code.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let lines = text.lines().map(|line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        if in_code || fence { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The targets of the links in Markdown, `[...](target)` and `[...]: target`.
fn links(text: &str) -> Vec<String> {
    // The text of a link may have code in it: only what follows a `](` counts, and that never
    // begins inside code.
    let text = prose(text);
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let defined = text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    inline
        .chain(defined.map(|(_, target)| target).filter(|target| !target.contains(' ')))
        .map(|target| target.trim().to_owned())
        .collect()
}

/// The anchors of a page, as GitHub makes them from headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for line in prose(text).lines() {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = seen.entry(anchor.clone()).or_default();
        anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// A path below the root, without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// What is wrong with a link in this page, if something is.
fn fault(page: &Source, link: &str, pages: &BTreeMap<&str, BTreeSet<String>>) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
    let path = if file.is_empty() { PathBuf::from(&page.path) } else { plain(&folder.join(file)) };
    if !root().join(&path).exists() {
        return Some(format!("{}: {link}: there is no {}", page.path, path.display()));
    }
    let anchor = anchor?;
    let known = pages.get(&*path.to_string_lossy()).is_some_and(|anchors| anchors.contains(anchor));
    (!known).then(|| format!("{}: {link}: no such heading in {}", page.path, path.display()))
}

#[test]
fn links_in_docs_lead_somewhere() {
    let pages = files(&["md"]);
    let headings: BTreeMap<&str, BTreeSet<String>> =
        pages.iter().map(|page| (page.path.as_str(), anchors(&page.text))).collect();
    let mut count = 0;
    let mut findings = Vec::new();
    for page in pages.iter().filter(|page| page.path.ends_with(".md")) {
        for link in links(&page.text) {
            count += 1;
            findings.extend(fault(page, &link, &headings));
        }
    }
    assert!(count > 50, "only {count} links found");
    assert_none("links in docs lead somewhere", findings);
}

/// Whether this is the path of one file or folder, and not a pattern, a command or a part of code.
fn is_path(word: &str) -> bool {
    FOLDERS.iter().any(|folder| word.starts_with(folder))
        && word.chars().all(|c| c.is_ascii_alphanumeric() || ['/', '.', '_', '-'].contains(&c))
}

#[test]
fn paths_that_docs_name_are_there() {
    let mut count = 0;
    let mut findings = Vec::new();
    for page in files(&["md"]) {
        for word in prose(&page.text).split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            count += 1;
            if !MADE.iter().any(|made| word.starts_with(made)) && !root().join(word).exists() {
                findings.push(format!("{}: {word}", page.path));
            }
        }
    }
    assert!(count > 30, "only {count} paths found");
    assert_none("docs name files and folders that are there", findings);
}

#[test]
fn docs_that_code_names_are_there() {
    let mut count = 0;
    let mut findings = Vec::new();
    let pages = files(&["md"]);
    for source in files(&["rs", "proto", "py", "sh", "go", "toml", "yaml"]).iter().filter(|s| s.path != file!()) {
        for (at, _) in source.text.match_indices("docs/") {
            let word: String =
                source.text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "/.-_".contains(*c)).collect();
            let Some(end) = word.find(".md") else { continue };
            let (path, rest) = (&word[..end + 3], &source.text[at + end + 3..]);
            count += 1;
            let anchor = rest.strip_prefix('#').map(|rest| {
                rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next().unwrap_or_default()
            });
            let Some(page) = pages.iter().find(|page| page.path.ends_with(path)) else {
                findings.push(format!("{}: there is no {path}", source.path));
                continue;
            };
            if let Some(anchor) = anchor.filter(|anchor| !anchor.is_empty() && !anchors(&page.text).contains(*anchor)) {
                findings.push(format!("{}: no heading {anchor} in {path}", source.path));
            }
        }
    }
    assert!(count > 20, "only {count} pages found");
    assert_none("pages that code names are there", findings);
}

#[test]
fn the_finder_of_links_finds() {
    let page = "# One, `two`!\n[a](b.md#c) ```\n```\n[no](no)\n```\n[d `e`](f)\n[g]: h\n## One two\n";
    assert_eq!(links(page), ["b.md#c", "f", "h"]);
    assert_eq!(anchors(page), BTreeSet::from(["one-two".to_owned(), "one-two-1".to_owned()]));
    assert_eq!(plain(Path::new("docs/../server/./a")), Path::new("server/a"));
    assert!(is_path("server/core/src") && !is_path("server/*.rs") && !is_path("leasehold/v1"));
}
