//! What stands on standard output: columns for people, or JSON.

pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod words;

use std::io::{self, Write as _};

use prost_reflect::prost::Message;

/// Standard output can't be written to.
#[derive(Debug, thiserror::Error)]
#[error("can't write to standard output: {0}")]
pub(crate) struct Unwritable(io::Error);

impl Unwritable {
    /// The reader of the output has gone away, as `head` does.
    pub(crate) fn is_unread(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Prints one line at once, also into a pipe.
pub(crate) fn line(text: &str) -> Result<(), Unwritable> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Unwritable)
}

/// Prints a message of the API as the field that it is in its event: `{"elected":{...}}`.
pub(crate) fn event(field: &str, name: &str, message: &impl Message) -> anyhow::Result<()> {
    Ok(line(&json::object(&[(field, json::line(name, message)?)]))?)
}
