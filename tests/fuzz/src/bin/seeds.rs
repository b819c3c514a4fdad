//! Writes the seeds of a target as files: fuzz-seeds TARGET FOLDER.

use leasehold_fuzz::TARGETS;
// It is instrumented like the fuzzers, and so needs what counts.
use libfuzzer_sys as _;
use std::path::Path;
use std::{env, fs, process};

fn main() -> std::io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [name, folder] = arguments.as_slice() else { usage() };
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else { usage() };
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(Path::new(folder).join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}

fn usage() -> ! {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("fuzz-seeds TARGET FOLDER; the targets are: {}", names.join(" "));
    process::exit(2)
}
