//! Entering an election and waiting until it is won: what `run` and `campaign` have in common.

use std::time::Duration;

use futures::StreamExt as _;
use leasehold::{Campaign, Client, Leadership, Standing};
use tokio::time::timeout;

use crate::args::CandidateArgs;
use crate::signals::Signals;

/// How long to wait for an answer, so that a candidacy that the user doesn't want any more can be
/// resigned.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a contest ended.
pub(crate) enum Contest {
    /// This process leads.
    Won(Leadership),
    /// A signal ended it. The candidacy was resigned.
    Interrupted(i32),
}

/// Enters the election and waits until it is won.
pub(crate) async fn contend(
    campaign: Campaign,
    signals: &mut Signals,
    mut tell: impl FnMut(Standing) -> anyhow::Result<()>,
) -> anyhow::Result<Contest> {
    let mut enroll = Box::pin(campaign.enroll());
    let candidacy = tokio::select! {
        candidacy = &mut enroll => candidacy?,
        signal = signals.next_end() => {
            if let Ok(Ok(candidacy)) = timeout(FAREWELL, enroll).await {
                let _ = timeout(FAREWELL, candidacy.resign()).await;
            }
            return Ok(Contest::Interrupted(signal));
        }
    };
    let mut standings = Box::pin(candidacy.standings());
    loop {
        tokio::select! {
            standing = standings.next() => match standing {
                Some(standing) => tell(standing)?,
                None => break,
            },
            signal = signals.next_end() => {
                let _ = timeout(FAREWELL, candidacy.resign()).await;
                return Ok(Contest::Interrupted(signal));
            }
        }
    }
    tokio::select! {
        leadership = candidacy.elected() => Ok(Contest::Won(leadership?)),
        signal = signals.next_end() => {
            // Dropped, it resigns in the background.
            tokio::time::sleep(FAREWELL).await;
            Ok(Contest::Interrupted(signal))
        }
    }
}

/// What was asked for on the command line, of a service that may take so long to let this candidate
/// in.
pub(crate) fn campaign(client: &Client, args: &CandidateArgs, patience: Duration) -> Campaign {
    let campaign = client.campaign(args.election.as_str()).ttl(args.ttl).value(args.value.as_str());
    let mut campaign = campaign.patience(patience);
    if let Some(name) = &args.name {
        campaign = campaign.candidate(name.as_str());
    }
    if args.no_wait {
        campaign = campaign.no_wait();
    }
    if let Some(timeout) = args.timeout {
        campaign = campaign.max_wait(timeout);
    }
    if let Some(hold) = args.hold {
        campaign = campaign.hold(hold);
    }
    if args.replace_former {
        campaign = campaign.replace_former();
    }
    campaign
}
