//! The subcommands, one a file.

pub(crate) mod campaign;
pub(crate) mod completions;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod observe;
pub(crate) mod policy;
pub(crate) mod status;
pub(crate) mod step_down;
pub(crate) mod verify;
pub(crate) mod version;
pub(crate) mod whoami;

use std::ffi::OsString;

use leasehold::Client;

use crate::args::{AccessArgs, Format};
use crate::voice::Voice;

/// What every subcommand that asks the service gets.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) endpoint: String,
    pub(crate) access: AccessArgs,
    pub(crate) format: Format,
}

impl Context {
    /// Connects to the service.
    pub(crate) async fn client(&self) -> Result<Client, leasehold::Error> {
        Client::connect_with(self.endpoint.as_str(), self.access.access()).await
    }

    /// What a command that is started finds in its environment about the service.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut environment = self.access.environment();
        environment.push(("LEASEHOLD_ENDPOINT", self.endpoint.clone().into()));
        environment
    }

    /// What is said on standard error.
    pub(crate) fn voice(&self, quiet: bool) -> Voice {
        Voice { quiet, format: self.format }
    }
}
