//! `leasehold get`.

use super::Context;
use super::list::{HEADINGS, add_holds, row};
use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json, table, words};

pub(crate) async fn get(context: &Context, election: String) -> anyhow::Result<Exit> {
    let election = context.client().await?.get(election).await?.into();
    let text = match context.format {
        Format::Json => json::line("Election", &election)?,
        Format::Table => {
            let mut headings = [&HEADINGS[..], &["LAST-CHANGE", "REVISION"]].concat();
            let mut rows = [row(&election)];
            rows[0].extend([words::change(election.reason()).to_owned(), election.revision.to_string()]);
            add_holds(&mut headings, &mut rows, std::slice::from_ref(&election));
            table::table(&headings, rows)
        }
    };
    output::line(&text)?;
    Ok(Exit::Done)
}
