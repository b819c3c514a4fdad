//! Running a command while leading.

pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod family;
pub(crate) mod health;
pub(crate) mod launch;
pub(crate) mod session;
pub(crate) mod signals;
pub(crate) mod terminal;
pub(crate) mod timing;
pub(crate) mod token_file;
pub(crate) mod watchdog;
pub(crate) mod wire;
