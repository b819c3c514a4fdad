//! The built command against the built server: what the page docs/command.md promises.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests measure from outside")]

#[path = "command/ask.rs"]
mod ask;
#[path = "command/begin.rs"]
mod begin;
#[path = "command/campaign.rs"]
mod campaign;
#[path = "command/end.rs"]
mod end;
#[path = "command/health.rs"]
mod health;
#[path = "command/hold.rs"]
mod hold;
#[path = "../../tests/client/page.rs"]
mod page;
#[path = "command/pause.rs"]
mod pause;
#[path = "command/run.rs"]
mod run;
#[path = "command/shells.rs"]
mod shells;
#[path = "command/start.rs"]
mod start;
#[path = "command/support.rs"]
mod support;
#[path = "command/terminal.rs"]
mod terminal;
