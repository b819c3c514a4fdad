//! What this program starts itself as: the processes between `leasehold run` and its command.

use std::ffi::OsString;

use clap::Parser;

use super::launch::{self, LaunchArgs};
use super::watchdog::{self, WatchArgs};
use crate::exit::Exit;

/// The command line of a part. Not for users, so not in the help.
#[derive(Debug, Parser)]
#[command(name = "leasehold")]
enum Part {
    #[command(name = "__watch")]
    Watch(WatchArgs),

    #[command(name = "__launch")]
    Launch(LaunchArgs),
}

/// Whether these arguments are for a part.
pub(crate) fn are_meant(mut args: impl Iterator<Item = OsString>) -> bool {
    args.nth(1).is_some_and(|first| first == "__watch" || first == "__launch")
}

/// Runs as the part that the command line names.
pub(crate) fn run() -> anyhow::Result<Exit> {
    match Part::try_parse()? {
        Part::Watch(args) => watchdog::watch(&args).map(|()| Exit::Done),
        Part::Launch(args) => Err(launch::launch(&args).into()),
    }
}
