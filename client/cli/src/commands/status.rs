//! `leasehold status`.

use leasehold_proto::v1::GetStatusResponse;

use super::Context;
use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json, table, words};

pub(crate) async fn status(context: &Context) -> anyhow::Result<Exit> {
    let status = context.client().await?.status().await?.into();
    let text = match context.format {
        Format::Json => json::line("GetStatusResponse", &status)?,
        Format::Table => table::pairs(&pairs(&status)),
    };
    output::line(&text)?;
    Ok(Exit::Done)
}

fn pairs(status: &GetStatusResponse) -> Vec<(&'static str, String)> {
    let time = |time: &Option<_>| time.map(words::api_time).unwrap_or_default();
    let mut pairs = vec![
        ("ROLE", words::role(status.role()).to_owned()),
        ("VERSION", words::printable(&status.version)),
        ("TENURE", status.tenure.to_string()),
        ("TENURE-AGE", time(&status.tenure_age)),
    ];
    if status.settling.is_some() {
        pairs.push(("SETTLING", format!("{}, nothing is granted until then", time(&status.settling))));
    }
    pairs.extend([
        ("MAX-TTL", time(&status.max_ttl)),
        ("ELECTIONS", status.elections.to_string()),
        ("CANDIDACIES", status.candidacies.to_string()),
        ("LEADERS", status.leaders.to_string()),
        ("OBSERVERS", status.observers.to_string()),
        ("REVISION", status.revision.to_string()),
    ]);
    pairs
}

#[cfg(test)]
mod tests {
    use prost_reflect::prost_types::Duration;

    use super::*;

    #[test]
    fn settling_is_shown_only_while_it_lasts() {
        let mut status = GetStatusResponse { elections: 3, ..Default::default() };
        assert!(!table::pairs(&pairs(&status)).contains("SETTLING"));
        status.settling = Some(Duration { seconds: 2, nanos: 0 });
        assert!(table::pairs(&pairs(&status)).contains("SETTLING      2s, nothing is granted until then"));
    }
}
