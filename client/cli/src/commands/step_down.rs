//! `leasehold step-down`.

use std::time::Duration;

use leasehold_proto::v1::{Election, StepDownResponse};
use prost_reflect::prost_types;

use super::Context;
use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json, words};

pub(crate) async fn step_down(context: &Context, election: String, token: Option<u64>) -> anyhow::Result<Exit> {
    let client = context.client().await?;
    let answer = StepDownResponse::from(client.step_down(election.as_str(), token).await?);
    let text = match context.format {
        Format::Json => json::line("StepDownResponse", &answer)?,
        Format::Table => {
            // What was asked for is done, whether this can be told or not.
            let now = client.get(election.as_str()).await.ok().map(Election::from);
            let token = answer.fencing_token;
            let then = then(now.as_ref(), time(answer.remaining));
            format!("The leader of {election} with token {token} was told to hand over. {then}")
        }
    };
    output::line(&text)?;
    Ok(Exit::Done)
}

/// What follows in this election, where it is known, after a leader that has so much time left.
fn then(election: Option<&Election>, left: Duration) -> String {
    let text = words::time(left);
    match election {
        Some(election) if election.waiting == 0 => format!("Nobody waits, so nobody leads in {text} at most."),
        // A hold doesn't end with the leader.
        Some(election) => format!("The next one leads in {} at most.", words::time(left.max(time(election.hold)))),
        None => format!("It leads for {text} at most."),
    }
}

fn time(time: Option<prost_types::Duration>) -> Duration {
    time.and_then(|time| time.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_leader_is_promised_only_where_somebody_waits() {
        let then = |waiting: Option<u32>| {
            let election = waiting.map(|waiting| Election { waiting, ..Default::default() });
            then(election.as_ref(), Duration::from_secs(14))
        };
        assert_eq!(then(Some(2)), "The next one leads in 14s at most.");
        assert_eq!(then(Some(0)), "Nobody waits, so nobody leads in 14s at most.");
        assert_eq!(then(None), "It leads for 14s at most.");
    }

    #[test]
    fn the_next_one_leads_after_the_hold() {
        let hold = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let held = |seconds| Election { waiting: 1, hold: hold(seconds), ..Default::default() };
        let then = |seconds| then(Some(&held(seconds)), Duration::from_secs(14));
        assert_eq!(then(60), "The next one leads in 1m at most.");
        assert_eq!(then(3), "The next one leads in 14s at most.");
    }
}
