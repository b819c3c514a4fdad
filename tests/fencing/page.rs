//! The page docs/fencing.md: its sections, and the blocks of code in them.

use leasehold_harness::repository;
use std::path::Path;

/// A block of code of the page.
pub(crate) struct Block {
    /// The heading above it, without its marks.
    pub(crate) heading: String,
    /// What stands behind the opening marks: `sh`, `sql`.
    pub(crate) language: String,
    /// Its lines.
    pub(crate) text: String,
}

/// All blocks, in order.
pub(crate) fn blocks() -> Vec<Block> {
    let page = std::fs::read_to_string(repository().join("docs/fencing.md")).expect("the page is there");
    let mut blocks: Vec<Block> = Vec::new();
    let mut heading = String::new();
    let mut is_open = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(language) => {
                is_open = true;
                let (heading, language) = (heading.clone(), language.to_owned());
                blocks.push(Block { heading, language, text: String::new() });
            }
            None if is_open => {
                let block = blocks.last_mut().expect("one is open");
                block.text += line;
                block.text.push('\n');
            }
            None if line.starts_with('#') => heading = line.trim_start_matches('#').trim().to_owned(),
            None => {}
        }
    }
    blocks
}

/// The commands of one section: a block each.
pub(crate) fn commands(heading: &str) -> Vec<String> {
    let of = |block: &Block| block.heading == heading && block.language == "sh";
    blocks().into_iter().filter(of).map(|block| block.text).collect()
}

/// What the page quotes from: the examples, and the docs of `Fence`.
pub(crate) fn sources() -> String {
    let mut folders = vec![repository().join("examples/fencing")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text += &std::fs::read_to_string(path).unwrap_or_default();
            }
        }
    }
    text + &doc_comments(&repository().join("client/src/fence.rs"))
}

/// The doc comments of a Rust file, without their marks.
fn doc_comments(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("the file is there");
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("///"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}
