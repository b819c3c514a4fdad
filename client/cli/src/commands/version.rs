//! `leasehold version`.

use crate::args::Format;
use crate::exit::Exit;
use crate::output::{self, json};

pub(crate) fn version(format: Format) -> anyhow::Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    output::line(&match format {
        Format::Table => format!("leasehold {version}"),
        Format::Json => json::object(&[("version", json::text(version))]),
    })?;
    Ok(Exit::Done)
}
