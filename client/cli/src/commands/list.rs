//! `leasehold list`.

use futures::TryStreamExt as _;
use leasehold_proto::v1::Election;

use super::Context;
use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json, table, words};

/// The columns of [`row`].
pub(super) const HEADINGS: [&str; 6] = ["NAME", "LEADER", "TOKEN", "STATE", "WAITING", "VALUE"];

pub(crate) async fn list(context: &Context, prefix: &str) -> anyhow::Result<Exit> {
    let mut elections = Box::pin(context.client().await?.list(prefix));
    let mut found = Vec::new();
    while let Some(election) = elections.try_next().await?.map(Election::from) {
        match context.format {
            Format::Json => output::line(&json::line("Election", &election)?)?,
            Format::Table => found.push(election),
        }
    }
    if context.format == Format::Table {
        let mut headings = HEADINGS.to_vec();
        let mut rows: Vec<_> = found.iter().map(row).collect();
        add_holds(&mut headings, &mut rows, &found);
        output::line(&table::table(&headings, rows))?;
    }
    Ok(Exit::Done)
}

/// An election as a row under [`HEADINGS`].
pub(super) fn row(election: &Election) -> Vec<String> {
    let leader = election.leader.as_ref();
    let state = match leader {
        Some(leader) if leader.draining => "draining",
        _ => words::leadership(election.leadership()),
    };
    vec![
        words::printable(&election.name),
        words::cell(leader.map(|leader| words::printable(&leader.candidate)).unwrap_or_default()),
        words::cell(leader.map(|leader| leader.fencing_token.to_string()).unwrap_or_default()),
        state.to_owned(),
        election.waiting.to_string(),
        words::cell(leader.map(|leader| words::brief(&leader.value)).unwrap_or_default()),
    ]
}

/// Adds a last column for how long elections are on hold, if one is: the others keep their places.
pub(super) fn add_holds(headings: &mut Vec<&str>, rows: &mut [Vec<String>], elections: &[Election]) {
    if elections.iter().all(|election| election.hold.is_none()) {
        return;
    }
    headings.push("HOLD");
    for (row, election) in rows.iter_mut().zip(elections) {
        row.push(words::cell(election.hold.map(words::api_time).unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use leasehold_proto::v1::{Leader, Leadership};
    use prost_reflect::prost_types::Duration;

    use super::*;

    #[test]
    fn a_vacant_election_has_dashes() {
        let election =
            Election { name: "demo".into(), leadership: Leadership::Vacant.into(), waiting: 2, ..Default::default() };
        assert_eq!(row(&election), ["demo", "-", "-", "vacant", "2", "-"]);
    }

    #[test]
    fn a_leader_that_hands_over_is_draining() {
        let mut leader = Leader { candidate: "a".into(), fencing_token: 7, value: "x:1".into(), ..Default::default() };
        let led = |leader: &Leader| Election {
            name: "demo".into(),
            leadership: Leadership::Led.into(),
            leader: Some(leader.clone()),
            ..Default::default()
        };
        assert_eq!(row(&led(&leader)), ["demo", "a", "7", "led", "0", "x:1"]);
        leader.draining = true;
        assert_eq!(row(&led(&leader))[3], "draining");
    }

    #[test]
    fn holds_are_shown_only_where_there_is_one() {
        let held = |seconds| Election { hold: Some(Duration { seconds, nanos: 0 }), ..Default::default() };
        let shown = |elections: &[Election]| {
            let (mut headings, mut rows) = (vec!["NAME"], vec![vec!["x".to_owned()]; elections.len()]);
            add_holds(&mut headings, &mut rows, elections);
            (headings.join(" "), rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>())
        };
        assert_eq!(shown(&[]), ("NAME".to_owned(), vec![]));
        assert_eq!(shown(&[Election::default()]), ("NAME".to_owned(), vec!["x".to_owned()]));
        let rows = vec!["x 1m 30s".to_owned(), "x -".to_owned()];
        assert_eq!(shown(&[held(90), Election::default()]), ("NAME HOLD".to_owned(), rows));
    }
}
