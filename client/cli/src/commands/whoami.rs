//! `leasehold whoami`.

use leasehold_proto::v1::WhoAmIResponse;

use super::Context;
use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json, table, words};

pub(crate) async fn whoami(context: &Context) -> anyhow::Result<Exit> {
    let identity: WhoAmIResponse = context.client().await?.who_am_i().await?.into();
    let text = match context.format {
        Format::Json => json::line("WhoAmIResponse", &identity)?,
        Format::Table => table::pairs(&pairs(&identity)),
    };
    output::line(&text)?;
    Ok(Exit::Done)
}

fn pairs(identity: &WhoAmIResponse) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("SUBJECT", words::printable(&identity.subject))];
    if !identity.pod_uid.is_empty() {
        pairs.push(("POD", words::printable(&identity.pod_name)));
        pairs.push(("POD-UID", words::printable(&identity.pod_uid)));
    }
    pairs.extend(identity.valid_for.map(|left| ("VALID-FOR", words::api_time(left))));
    pairs
}

#[cfg(test)]
mod tests {
    use prost_reflect::prost_types::Duration;

    use super::*;

    #[test]
    fn what_is_not_known_is_not_shown() {
        let mut identity = WhoAmIResponse { subject: "anonymous".into(), ..Default::default() };
        assert_eq!(pairs(&identity), [("SUBJECT", "anonymous".to_owned())]);
        (identity.pod_name, identity.pod_uid) = ("worker-0".into(), "7c8d".into());
        identity.valid_for = Some(Duration { seconds: 90, nanos: 0 });
        let names: Vec<_> = pairs(&identity).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["SUBJECT", "POD", "POD-UID", "VALID-FOR"]);
        assert_eq!(pairs(&identity)[3].1, "1m 30s");
    }
}
