//! `leasehold step-down`.

use super::Context;
use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json, words};

pub(crate) async fn step_down(context: &Context, election: String, token: Option<u64>) -> anyhow::Result<Exit> {
    let answer = context.client().await?.step_down(election.as_str(), token).await?;
    let text = match context.format {
        Format::Json => json::line("StepDownResponse", &answer)?,
        Format::Table => {
            let left = answer.remaining.map(words::api_time).unwrap_or_default();
            let token = answer.fencing_token;
            format!(
                "The leader of {election} with token {token} was told to hand over. The next one leads in {left} at most."
            )
        }
    };
    output::line(&text)?;
    Ok(Exit::Done)
}
