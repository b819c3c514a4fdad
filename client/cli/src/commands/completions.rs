//! `leasehold completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::output;

pub(crate) fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "leasehold", &mut script);
    output::line(String::from_utf8(script)?.trim_end())?;
    Ok(Exit::Done)
}
