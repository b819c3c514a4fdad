//! Finds what cargo has built, beside the binary that runs.

use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};

/// Which build of a binary to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// The one that the running test or tool was built with.
    #[default]
    Same,
    /// The optimised one.
    Release,
}

/// The path of the binary `name`, which package `package` builds.
///
/// # Errors
///
/// When it isn't there: the error says which command builds it.
pub fn binary(package: &str, name: &str, profile: Profile) -> anyhow::Result<PathBuf> {
    let beside = built_beside()?;
    let (folder, flag) = match profile {
        Profile::Same if beside.ends_with("release") => (beside, " --release"),
        Profile::Same => (beside, ""),
        Profile::Release => (beside.with_file_name("release"), " --release"),
    };
    let path = folder.join(name);
    if !path.is_file() {
        bail!("{} isn't built: run `cargo build{flag} -p {package} --bin {name}` first", path.display());
    }
    Ok(path)
}

/// The path of the example `name` of package `package`.
///
/// # Errors
///
/// When it isn't there: the error says which command builds it.
pub fn example(package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let path = built_beside()?.join("examples").join(name);
    if !path.is_file() {
        bail!("{} isn't built: run `cargo build -p {package} --example {name}` first", path.display());
    }
    Ok(path)
}

/// The root of the repository, where `Cargo.toml`, `examples/` and `tests/` are.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// `target/debug` or `target/release`: tests run from a folder `deps` in it, tools from the folder
/// itself.
fn built_beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("the path of the running binary isn't known")?;
    let folder = own.parent().context("the running binary has no folder")?;
    let inner = folder.ends_with("deps") || folder.ends_with("examples");
    let folder = if inner { folder.parent().context("`deps` has no parent folder")? } else { folder };
    Ok(folder.to_path_buf())
}
