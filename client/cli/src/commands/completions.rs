//! `leasehold completions`.

use clap_complete::Shell;

use crate::complete;
use crate::exit::Exit;
use crate::output;

pub(crate) fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    complete::script(shell, &mut script)?;
    output::line(String::from_utf8(script)?.trim_end())?;
    Ok(Exit::Done)
}
