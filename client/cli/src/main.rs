//! The `leasehold` command.

mod args;
mod cli;
mod commands;
mod contest;
mod exit;
mod output;
mod run;
mod voice;

fn main() -> std::process::ExitCode {
    cli::main()
}
