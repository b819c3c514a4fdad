//! `leasehold policy`.

use super::Context;
use crate::args::{Format, PolicyCheckArgs};
use crate::exit::{Exit, Failure};
use crate::output::{self, json};
use leasehold_policy::{MAX_POLICY_BYTES, Policy};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Whether a subject may do that, and which rule says so, or how to allow it.
pub(crate) async fn check(context: &Context, args: &PolicyCheckArgs) -> anyhow::Result<Exit> {
    let subject = args.subject.as_deref();
    let (is_allowed, why) = match (&args.file, subject) {
        (Some(file), Some(subject)) => match read(file)?.decide(subject, args.verb, &args.election) {
            Ok(place) => (true, place.to_string()),
            Err(denial) => (false, denial.to_string()),
        },
        _ => {
            let client = context.client().await?;
            let decision = client.check_policy(subject, args.verb.name(), args.election.as_str()).await?;
            (decision.allowed, decision.detail)
        }
    };
    output::line(&match context.format {
        Format::Json => json::object(&[("allowed", is_allowed.to_string()), ("detail", json::text(&why))]),
        Format::Table if is_allowed => format!("allowed by {why}"),
        Format::Table => why,
    })?;
    Ok(if is_allowed { Exit::Done } else { Exit::No })
}

fn read(path: &Path) -> anyhow::Result<Policy> {
    let name = path.display().to_string();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_POLICY_BYTES as u64 + 1).read_to_string(&mut text));
    let refused = |why: String| Failure::new(Exit::Usage, why);
    read.map_err(|error| refused(format!("{name} can't be read: {error}")))?;
    Ok(Policy::parse(&name, &text).map_err(|error| refused(error.to_string()))?)
}
