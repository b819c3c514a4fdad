//! What stands for `run` on other systems than Linux.

use std::io;

use crate::args::RunArgs;
use crate::commands::Context;
use crate::exit::{Exit, Failure};

/// No process is a part of another one here.
pub(crate) fn as_part() -> Option<anyhow::Result<Exit>> {
    None
}

/// Nothing is needed for a command that can't be run.
pub(crate) fn prepare() -> io::Result<()> {
    Ok(())
}

/// Which signals are ignored isn't known here.
pub(crate) fn ignored_signals() -> io::Result<u64> {
    Ok(0)
}

/// Says why it can't be done.
pub(crate) async fn run(_: &Context, args: &RunArgs) -> anyhow::Result<Exit> {
    let command = args.command[0].to_string_lossy();
    Err(Failure::new(
        Exit::NotExecutable,
        format!(
            "leasehold run needs Linux: no other system ends {command:?} and all that it started in time when the leadership is lost. \
             Every other subcommand works here; leasehold campaign leads without running a command."
        ),
    )
    .into())
}
