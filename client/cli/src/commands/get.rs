//! `leasehold get`.

use super::Context;
use super::list::{HEADINGS, row};
use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json, table, words};

pub(crate) async fn get(context: &Context, election: String) -> anyhow::Result<Exit> {
    let election = context.client().await?.get(election).await?;
    let text = match context.format {
        Format::Json => json::line("Election", &election)?,
        Format::Table => {
            let headings = [&HEADINGS[..], &["LAST-CHANGE", "REVISION"]].concat();
            let mut cells = row(&election);
            cells.extend([words::change(election.reason()).to_owned(), election.revision.to_string()]);
            table::table(&headings, [cells])
        }
    };
    output::line(&text)?;
    Ok(Exit::Done)
}
