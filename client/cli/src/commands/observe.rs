//! `leasehold observe`.

use std::time::SystemTime;

use futures::StreamExt as _;
use leasehold::{Observed, Selection};
use leasehold_proto::v1::{ElectionChange, Settling, Synced};

use super::Context;
use crate::args::{Format, ObserveArgs};
use crate::exit::Exit;
use crate::output::{self, words};
use crate::reach::{Reached, reach};
use crate::signals::Signals;

pub(crate) async fn observe(context: &Context, args: ObserveArgs) -> anyhow::Result<Exit> {
    let mut signals = Signals::ends()?;
    let voice = context.voice(false);
    let client = match reach(context, args.patience.patience, &mut signals, voice).await? {
        Reached::Client { client, .. } => client,
        Reached::Interrupted(_) => return Ok(Exit::Done),
    };
    let mut news = client.observe(selection(args.what));
    let mut is_headed = context.format == Format::Json;
    loop {
        let observed = tokio::select! {
            observed = news.next() => observed,
            _ = signals.next_end() => return Ok(Exit::Done),
        };
        let observed = observed.transpose()?;
        // What is refused has no columns.
        let is_answered = !matches!(observed, None | Some(Observed::Reconnecting { .. }));
        if is_answered && !is_headed {
            output::line(&columns(["TIME", "ELECTION", "LEADER", "TOKEN", "CHANGE", "VALUE"]))?;
            is_headed = true;
        }
        match observed {
            None => anyhow::bail!("the news ended without a reason"),
            Some(Observed::Reconnecting { error, delay }) => {
                let delay = words::time(delay);
                voice.say(format_args!("what was told may be old by now: {error}; trying again in {delay}"));
            }
            Some(Observed::Settling { remaining }) if context.format == Format::Table => {
                let left = words::time(remaining);
                voice.say(format_args!(
                    "the service started a short while ago, and grants nothing for another {left}; until then \
                     an election that isn't named may have a leader, too"
                ));
            }
            Some(observed) => print(context.format, observed)?,
        }
    }
}

fn selection(what: Option<String>) -> Selection {
    match what {
        None => Selection::all(),
        Some(prefix) if prefix.ends_with('/') => Selection::prefix(prefix),
        Some(election) => Selection::election(election),
    }
}

fn print(format: Format, observed: Observed) -> anyhow::Result<()> {
    match (observed, format) {
        (Observed::Change(change), Format::Json) => {
            output::event("change", "ElectionChange", &ElectionChange::from(change))
        }
        (Observed::Synced { revision }, Format::Json) => output::event("synced", "Synced", &Synced { revision }),
        (Observed::Settling { remaining }, Format::Json) => {
            output::event("settling", "Settling", &Settling { remaining: remaining.try_into().ok() })
        }
        (Observed::Change(change), Format::Table) => Ok(output::line(&row(&change.into(), SystemTime::now()))?),
        _ => Ok(()),
    }
}

/// A change as a line, with the time at which it became known here.
fn row(change: &ElectionChange, now: SystemTime) -> String {
    let leader = change.leader.as_ref();
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let election = words::printable(&change.election);
    let candidate = words::cell(leader.map(|leader| words::printable(&leader.candidate)).unwrap_or_default());
    let token = words::cell(leader.map(|leader| leader.fencing_token.to_string()).unwrap_or_default());
    let value = words::cell(leader.map(|leader| words::brief(&leader.value)).unwrap_or_default());
    columns([&time, &election, &candidate, &token, &reason(change), &value])
}

/// Why it changed, and what else there is to know.
fn reason(change: &ElectionChange) -> String {
    let missed = change.missed_changes.then(|| "others before it were missed".to_owned());
    let hold = change.hold.map(|left| format!("on hold for {}", words::api_time(left)));
    let notes: Vec<_> = [missed, hold].into_iter().flatten().collect();
    let reason = words::change(change.reason());
    if notes.is_empty() { reason.to_owned() } else { format!("{reason} ({})", notes.join(", ")) }
}

/// Lines come one by one, so widths are guessed: a longer cell moves the rest of its line.
fn columns([time, election, leader, token, change, value]: [&str; 6]) -> String {
    format!("{time:<20}   {election:<24}   {leader:<20}   {token:<16}   {change:<12}   {value}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use leasehold_proto::v1::{ChangeReason, Leader};

    use super::*;

    #[test]
    fn a_slash_at_the_end_makes_a_prefix() {
        assert_eq!(selection(None), Selection::all());
        assert_eq!(selection(Some("billing/".into())), Selection::prefix("billing/"));
        assert_eq!(selection(Some("billing/x".into())), Selection::election("billing/x"));
    }

    #[test]
    fn a_vacancy_says_why() {
        let change =
            ElectionChange { election: "demo".into(), reason: ChangeReason::Expired.into(), ..Default::default() };
        let cells = row(&change, SystemTime::UNIX_EPOCH);
        assert_eq!(
            cells.split_whitespace().collect::<Vec<_>>(),
            ["1970-01-01T00:00:00Z", "demo", "-", "-", "expired", "-"]
        );
    }

    #[test]
    fn missed_changes_are_marked() {
        let leader = Leader { candidate: "a".into(), fencing_token: 7, ..Default::default() };
        let reason = ChangeReason::Elected.into();
        let change = ElectionChange { leader: Some(leader), reason, missed_changes: true, ..Default::default() };
        assert!(row(&change, SystemTime::UNIX_EPOCH).contains("elected (others before it were missed)"));
    }

    #[test]
    fn a_hold_is_told_with_what_is_left_of_it() {
        let hold = Some(prost_reflect::prost_types::Duration { seconds: 59, nanos: 0 });
        let mut change = ElectionChange { reason: ChangeReason::Resigned.into(), hold, ..Default::default() };
        assert_eq!(reason(&change), "resigned (on hold for 59s)");
        change.missed_changes = true;
        assert_eq!(reason(&change), "resigned (others before it were missed, on hold for 59s)");
    }
}
