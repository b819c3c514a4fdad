//! The `leasehold` command.
#![cfg_attr(
    any(not(target_os = "linux"), pretend_macos, pretend_windows),
    allow(dead_code, reason = "some of it is there for `run` alone")
)]

mod args;
mod cli;
mod commands;
mod complete;
mod contest;
mod exit;
mod output;
mod reach;
// `--cfg pretend_macos` and `--cfg pretend_windows` prove on Linux that the rest builds elsewhere.
#[cfg_attr(any(not(target_os = "linux"), pretend_macos, pretend_windows), path = "elsewhere.rs")]
mod run;
mod signals;
mod voice;

fn main() -> std::process::ExitCode {
    cli::main()
}
