//! An observer's process: the real client crate, following all elections.

use crate::history::History;
use futures::StreamExt as _;
use leasehold::{Client, Observed, Selection};
use std::sync::Arc;

/// Runs until it is crashed.
pub(crate) async fn observe(name: String, endpoints: String, history: Arc<History>) -> turmoil::Result {
    let client = Client::connect_lazy(endpoints)?;
    let mut news = client.observe(Selection::all());
    while let Some(event) = news.next().await {
        match event? {
            Observed::Change(change) => {
                let leader = change.leader.map(|leader| (leader.candidate, leader.fencing_token));
                history.shown(&name, &change.election, leader);
            }
            Observed::Reconnecting { .. } => history.reach("observer: reconnected"),
            _ => {}
        }
    }
    Err("an observation doesn't end".into())
}
