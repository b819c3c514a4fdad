//! `leasehold step-down`.

use super::Context;
use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json, words};

pub(crate) async fn step_down(context: &Context, election: String, token: Option<u64>) -> anyhow::Result<Exit> {
    let client = context.client().await?;
    let answer = client.step_down(election.as_str(), token).await?;
    let text = match context.format {
        Format::Json => json::line("StepDownResponse", &answer)?,
        Format::Table => {
            // What was asked for is done, whether this can be told or not.
            let waiting = client.get(election.as_str()).await.ok().map(|election| election.waiting);
            let left = answer.remaining.map(words::api_time).unwrap_or_default();
            let token = answer.fencing_token;
            format!("The leader of {election} with token {token} was told to hand over. {}", then(waiting, &left))
        }
    };
    output::line(&text)?;
    Ok(Exit::Done)
}

/// What follows, if so many candidates wait.
fn then(waiting: Option<u32>, left: &str) -> String {
    match waiting {
        Some(0) => format!("Nobody waits, so nobody leads in {left} at most."),
        Some(_) => format!("The next one leads in {left} at most."),
        None => format!("It leads for {left} at most."),
    }
}

#[cfg(test)]
mod tests {
    use super::then;

    #[test]
    fn a_next_leader_is_promised_only_where_somebody_waits() {
        assert_eq!(then(Some(2), "14s"), "The next one leads in 14s at most.");
        assert_eq!(then(Some(0), "14s"), "Nobody waits, so nobody leads in 14s at most.");
        assert_eq!(then(None, "14s"), "It leads for 14s at most.");
    }
}
