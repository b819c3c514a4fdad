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
    let mut rows = Vec::new();
    while let Some(election) = elections.try_next().await? {
        match context.format {
            Format::Json => output::line(&json::line("Election", &election)?)?,
            Format::Table => rows.push(row(&election)),
        }
    }
    if context.format == Format::Table {
        output::line(&table::table(&HEADINGS, rows))?;
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

#[cfg(test)]
mod tests {
    use leasehold_proto::v1::{Leader, Leadership};

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
}
