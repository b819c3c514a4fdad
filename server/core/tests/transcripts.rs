//! Transcripts: what a replica is told and what it says, as golden text, one file a theme.
//!
//! `REWRITE=1 cargo test -p leasehold-core --test transcripts` writes the answers anew;
//! `RUN=resign.txt` picks a file. The words of the language stand in `bench/language.rs`.

#[path = "bench/args.rs"]
mod args;
#[path = "bench/language.rs"]
mod language;
#[path = "bench/render.rs"]
mod render;
#[path = "bench/store.rs"]
mod store;
#[path = "bench/world.rs"]
mod world;

use world::World;

#[test]
fn transcripts() {
    let mut files = 0;
    datadriven::walk(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts"), |file| {
        files += 1;
        let mut world = World::new();
        file.run(|case| -> Result<String, String> {
            language::run(&mut world, case)?;
            Ok(world.take_lines())
        });
    });
    assert!(files > 0, "no transcripts were found");
}
