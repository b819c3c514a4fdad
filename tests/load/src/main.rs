//! `leasehold-load`: load on a real server, one kind of it a subcommand.

mod bare;
mod callers;
mod calls;
mod connect;
mod cycles;
mod exchange;
mod handshakes;
mod hold;
mod latency;
mod machine;
mod noisy;
mod observe;
mod ratio;
mod real;
mod stop;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Loads a leasehold-server that it starts itself, on free ports of this machine, and says what
/// that cost.
///
/// Every run ends by itself, and ends the servers it started. The exit code is 0 when the run kept
/// its promise, 1 when it didn't, or couldn't be made.
#[derive(Debug, Parser)]
#[command(name = "leasehold-load", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Campaign and resign, again and again, beside a bare tonic service with the same messages and
    /// no logic.
    Cycles(cycles::Args),
    /// Hold many leased candidacies with KeepAlives, and look for one that is lost.
    Hold(hold::Args),
    /// Change one election often, and wait until all its observers have seen the last change.
    Observe(observe::Args),
    /// Make connections in plain text, with whole handshakes of TLS, and with resumed sessions.
    Handshakes(handshakes::Args),
    /// Call a server that asks who calls, and one that doesn't, in turns.
    Calls(calls::Args),
    /// Campaign and resign beside another subject that calls as often as it can.
    Noisy(noisy::Args),
    /// What `cycles` compares with; `cycles` starts it.
    #[command(hide = true)]
    BareServer(Box<bare::Args>),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leasehold-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "this is a debug build, and its figures would mean nothing: use `cargo run --release -p leasehold-load -- ...`"
    );
    match command {
        Command::Cycles(args) => stop::unless_stopped(args.time_limit(), cycles::run(&args)).await,
        Command::Hold(args) => stop::unless_stopped(args.time_limit(), hold::run(&args)).await,
        Command::Observe(args) => stop::unless_stopped(args.time_limit(), observe::run(&args)).await,
        Command::Handshakes(args) => stop::unless_stopped(args.time_limit(), handshakes::run(&args)).await,
        Command::Calls(args) => stop::unless_stopped(args.time_limit(), calls::run(&args)).await,
        Command::Noisy(args) => stop::unless_stopped(args.time_limit(), noisy::run(&args)).await,
        Command::BareServer(args) => bare::serve(&args).await,
    }
}
