//! `leasehold campaign`.

use std::time::Duration;

use leasehold::{Leadership, Lost, Standing};
use leasehold_proto::v1::{Draining, Elected, EndReason, Ended, Waiting};
use prost_reflect::prost_types;

use super::Context;
use crate::args::{CandidateArgs, Format};
use crate::contest::{self, Contest, contend};
use crate::exit::Exit;
use crate::output::{self, words};
use crate::reach::{Reached, reach};
use crate::signals::Signals;
use crate::voice::{self, Voice};

pub(crate) async fn campaign(context: &Context, args: &CandidateArgs) -> anyhow::Result<Exit> {
    let mut signals = Signals::ends()?;
    let (client, patience) = match reach(context, args.patience(), &mut signals, context.voice(false)).await? {
        Reached::Client { client, patience } => (client, patience),
        Reached::Interrupted(_) => return Ok(Exit::Done),
    };
    let tell = |standing| waiting(context.format, &args.election, standing);
    match contend(contest::campaign(&client, args, patience), &mut signals, tell).await? {
        Contest::Interrupted(_) => Ok(Exit::Done),
        Contest::Won(leadership) => lead(context.format, leadership, &mut signals).await,
    }
}

/// Leads until a signal comes or the leadership ends.
async fn lead(format: Format, leadership: Leadership, signals: &mut Signals) -> anyhow::Result<Exit> {
    elected(format, &leadership)?;
    let lost = leadership.lost();
    let drain = leadership.draining();
    tokio::pin!(lost, drain);
    let mut draining = false;
    let over = loop {
        tokio::select! {
            lost = &mut lost => break lost,
            () = &mut drain, if !draining => {
                draining = true;
                told_to_hand_over(format, &leadership)?;
            }
            _ = signals.next_end() => {
                let election = leadership.election().to_owned();
                leadership.resign().await?;
                ended(format, &election, &Lost::Resigned)?;
                return Ok(Exit::Done);
            }
        }
    };
    ended(format, leadership.election(), &over)?;
    Ok(Exit::Lost)
}

fn elected(format: Format, leadership: &Leadership) -> anyhow::Result<()> {
    let (fencing_token, task_token) = (leadership.fencing_token(), leadership.task_token());
    match format {
        Format::Table => {
            let (candidate, election) = (leadership.candidate(), leadership.election());
            Ok(output::line(&format!("{candidate} leads {election} with fencing token {fencing_token}"))?)
        }
        Format::Json => {
            // The ticket is a secret of this process.
            let elected = Elected { fencing_token, ticket: Vec::new(), task_token };
            output::event("elected", "Elected", &elected)
        }
    }
}

fn told_to_hand_over(format: Format, leadership: &Leadership) -> anyhow::Result<()> {
    let left = leadership.remaining();
    match format {
        Format::Table => {
            let (election, left) = (leadership.election(), words::time(left));
            Ok(output::line(&format!("{election} is to be handed over: resign with ^C, or it ends in {left}"))?)
        }
        Format::Json => {
            let draining = Draining { fencing_token: leadership.fencing_token(), remaining: api_time(left) };
            output::event("draining", "Draining", &draining)
        }
    }
}

fn ended(format: Format, election: &str, lost: &Lost) -> anyhow::Result<()> {
    match format {
        Format::Table => Ok(output::line(&format!("the leadership of {election} is over: {lost}"))?),
        Format::Json => {
            let reason = match lost {
                Lost::Ended { reason, .. } => (*reason).into(),
                Lost::Resigned => EndReason::Resigned,
                _ => EndReason::Expired,
            };
            output::event("ended", "Ended", &Ended { reason: reason.into(), detail: lost.to_string() })
        }
    }
}

/// Nothing is said of a candidacy that is only being entered.
fn waiting(format: Format, election: &str, standing: Standing) -> anyhow::Result<()> {
    match (format, standing) {
        (Format::Json, Standing::Waiting { ahead, settling, hold }) => {
            let (settling, hold) = (settling.and_then(api_time), hold.and_then(api_time));
            let waiting = Waiting { ahead: ahead.unwrap_or(0), settling, hold };
            output::event("waiting", "Waiting", &waiting)
        }
        (Format::Json, standing @ Standing::Outdated { .. }) => {
            // No event of the API.
            Voice { quiet: false, format }.standing(election, standing);
            Ok(())
        }
        (Format::Json, _) => Ok(()),
        (Format::Table, standing) => match voice::waiting(election, standing) {
            Some(text) => Ok(output::line(&text)?),
            None => Ok(()),
        },
    }
}

fn api_time(time: Duration) -> Option<prost_types::Duration> {
    time.try_into().ok()
}
