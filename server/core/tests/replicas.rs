//! Transcripts of several replicas that compete for one Lease, as golden text, one file a rule or a
//! scenario.
//!
//! `REWRITE=1 cargo test -p leasehold-core --test replicas` writes the answers anew;
//! `RUN=released.txt` picks a file. The words of the language stand in `replicas/language.rs`.

#[path = "replicas/api.rs"]
mod api;
#[path = "bench/args.rs"]
mod args;
#[path = "replicas/group.rs"]
mod group;
#[path = "replicas/language.rs"]
mod language;
#[path = "replicas/link.rs"]
mod link;
#[path = "replicas/member.rs"]
mod member;
#[path = "bench/render.rs"]
mod render;
#[path = "replicas/show.rs"]
mod show;

use group::Group;

#[test]
fn transcripts() {
    let mut files = 0;
    datadriven::walk(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/replica-transcripts"), |file| {
        files += 1;
        let mut group = Group::new();
        file.run(|case| -> Result<String, String> {
            language::run(&mut group, case)?;
            Ok(group.take_lines())
        });
    });
    assert!(files > 0, "no transcripts were found");
}
