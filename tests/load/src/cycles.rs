//! `cycles`: campaign and resign against the bare service and the real server in turns, and the
//! ratio of what they cost.

use anyhow::{Result, ensure};
use leasehold_harness::ElectionClient;
use std::time::Duration;

use crate::bare::process::BareServer;
use crate::connect::connect;
use crate::exchange::Exchange;
use crate::real::{RealArgs, stop};

mod report;
mod round;

use round::{Load, Round};

/// How long a cycle may take before the run fails.
const CYCLE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a run may take beside its rounds: starts, first calls, ends.
const SLACK: Duration = Duration::from_secs(60);

/// The settings of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Clients that campaign and resign at the same time, each in an election of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// Connections that they share.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Seconds of a round. Short ones in turns meet the same weather on a machine that isn't idle.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Rounds against each server, in turns.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds of warm-up against each server before the first round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=600))]
    warm_up_seconds: u16,
    /// The run fails when the median of real / bare server CPU is larger.
    #[arg(long, default_value_t = 1.5)]
    max_ratio: f64,
    /// Compares the bare service with a second one instead of the real server: the ratio shows the
    /// noise of the method.
    #[arg(long)]
    against_itself: bool,
    /// Asks for a task token with each grant, which the real server has to sign.
    #[arg(long)]
    task_tokens: bool,
    #[command(flatten)]
    real: RealArgs,
}

impl Args {
    /// When a run that goes on is one that hangs.
    pub(crate) fn time_limit(&self) -> Duration {
        let seconds = u64::from(self.seconds) * u64::from(self.rounds) + u64::from(self.warm_up_seconds);
        Duration::from_secs(2 * seconds) + SLACK
    }
}

/// One server under load.
#[derive(Debug)]
struct Target {
    name: &'static str,
    pid: u32,
    clients: Vec<ElectionClient>,
}

/// Makes the run and prints it.
///
/// # Errors
///
/// When a server doesn't start, a cycle doesn't go as it must, or the median ratio is above the
/// limit.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let real = args.real.start().await?;
    let connections = usize::from(args.connections);
    let load = Load { clients: args.clients.into(), task_tokens: args.task_tokens };
    let mut real_clients = connect(&real.endpoint(), connections).await?;
    let messages = Exchange::make(&mut real_clients[0], load.request(0), None).await?;
    let bare = BareServer::start(&messages).await?;
    let bare_clients = connect(&bare.endpoint, connections).await?;
    let second = if args.against_itself { Some(BareServer::start(&messages).await?) } else { None };

    let measure = Target { name: "bare", pid: bare.pid(), clients: bare_clients };
    let measured = match &second {
        Some(second) => {
            Target { name: "bare 2", pid: second.pid(), clients: connect(&second.endpoint, connections).await? }
        }
        None => Target { name: "real", pid: real.pid(), clients: real_clients },
    };
    report::print_head(args, &messages, measured.name);
    let pairs = rounds(args, load, [&measure, &measured]).await?;
    let ratio = report::print_ratio(&pairs, measured.name, args.max_ratio)?;

    drop((measure, measured));
    stop(real).await?;
    ensure!(ratio <= args.max_ratio, "the median ratio {ratio:.2} is above the limit {:.2}", args.max_ratio);
    Ok(())
}

/// The rounds against both servers in turns, after a warm-up of each.
async fn rounds(args: &Args, load: Load, [measure, measured]: [&Target; 2]) -> Result<Vec<[Round; 2]>> {
    for target in [measure, measured] {
        Round::make(target, load, Duration::from_secs(args.warm_up_seconds.into())).await?;
    }
    let mut pairs = Vec::new();
    for number in 1..=args.rounds {
        let length = Duration::from_secs(args.seconds.into());
        let first = Round::make(measure, load, length).await?;
        report::print_round(number, measure.name, &first);
        let second = Round::make(measured, load, length).await?;
        report::print_round(number, measured.name, &second);
        pairs.push([first, second]);
    }
    Ok(pairs)
}
