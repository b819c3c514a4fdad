//! Attacks a server that it starts itself: `hostile list`, `hostile run unread-lists --seconds 10
//! --release`.

use clap::{Parser, Subcommand};
use leasehold_hostile::{ATTACKS, How};
use std::time::Duration;

/// Attacks on a leasehold-server that is started for each of them, on loopback.
#[derive(Debug, Parser)]
#[command(name = "hostile")]
struct Words {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says which attacks there are
    List,
    /// Runs these attacks, or all
    Run {
        /// Their names
        names: Vec<String>,
        /// How long each lasts, at most ten minutes
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
        /// Attack the optimised build
        #[arg(long)]
        release: bool,
        /// Another word of the server's command line, like --max-memory=256MiB
        #[arg(long = "server-arg", value_name = "ARG", allow_hyphen_values = true)]
        server_args: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Words::parse().command {
        Command::List => {
            for attack in ATTACKS {
                println!("{:<24}{}", attack.name, attack.what);
            }
        }
        Command::Run { names, seconds, release, server_args } => {
            let how = How { release, server_args };
            let unknown = names.iter().find(|name| !ATTACKS.iter().any(|attack| attack.name == **name));
            anyhow::ensure!(unknown.is_none(), "there is no attack {unknown:?}: see `hostile list`");
            for attack in
                ATTACKS.iter().filter(|attack| names.is_empty() || names.iter().any(|name| name == attack.name))
            {
                println!("{}: {}", attack.name, attack.what);
                match leasehold_hostile::run(attack, Duration::from_secs(seconds), &how).await {
                    Ok(outcome) => println!("{outcome}\n"),
                    Err(error) => println!("  failed: {error:#}\n"),
                }
            }
        }
    }
    Ok(())
}
