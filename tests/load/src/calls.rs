//! `calls`: what it costs a server to ask who calls. Leaders keep themselves alive at a server that
//! asks and at one that doesn't, in turns.

use anyhow::{Context as _, Result, ensure};
use leasehold_harness::{Server, http_get};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use crate::callers::{Callers, Leader, quiet_server};
use crate::connect::connect;
use crate::machine::{Meter, micros_each};
use crate::ratio::print_ratio;
use crate::real::stop;

/// What a run may take beside its rounds.
const SLACK: Duration = Duration::from_secs(60);

/// The settings of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leaders that call at the same time, each as a subject of its own.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// Connections that they share: one each, as workers have.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Seconds of a round.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=30))]
    seconds: u16,
    /// Rounds against each server, in turns.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// The run fails when the median of asked / open server CPU is larger.
    #[arg(long, default_value_t = 1.1)]
    max_ratio: f64,
    /// The callers of the open server show their tokens as well, and it doesn't look at them: what
    /// is left is what the server does beside the transport.
    #[arg(long)]
    tokens_to_both: bool,
}

impl Args {
    /// When a run that goes on is one that hangs.
    pub(crate) fn time_limit(&self) -> Duration {
        Duration::from_secs(2 * u64::from(self.seconds) * (u64::from(self.rounds) + 1)) + SLACK
    }
}

/// One server, and its leaders.
struct Side {
    name: &'static str,
    server: Server,
    leaders: Vec<Leader>,
}

/// Makes the run and prints it.
///
/// # Errors
///
/// When a call fails, or the median ratio is above the limit.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let callers = Callers::new()?;
    // Leaders that aren't called in a round must not end.
    let patient = || quiet_server().arg("--max-ttl=60s");
    let asked = callers.asked_by(patient()).arg("--max-calls-per-subject=1000000").start().await?;
    let mut open = Side::new("open", patient().start().await?, args, &callers, args.tokens_to_both).await?;
    let mut asked = Side::new("asked", asked, args, &callers, true).await?;
    println!(
        "calls: KeepAlives of {} leaders over {} connections, {} s a round; tokens of {} bytes{}\n",
        args.clients,
        args.connections,
        args.seconds,
        callers.token("worker-00000").len(),
        if args.tokens_to_both { ", shown to both servers" } else { "" }
    );
    println!(
        "{:>5}  {:<6}  {:>8}  {:>8}  {:>14}  {:>10}",
        "round", "server", "calls", "calls/s", "server us each", "others CPU"
    );
    let mut ratios = Vec::new();
    for round in 0..=args.rounds {
        let (first, second) = if round % 2 == 0 { (&mut open, &mut asked) } else { (&mut asked, &mut open) };
        let costs = [first.round(round, args.seconds).await?, second.round(round, args.seconds).await?];
        let [open, asked] = if round % 2 == 0 { costs } else { [costs[1], costs[0]] };
        // The first one warms up.
        if round > 0 {
            ratios.push(asked / open);
        }
    }
    let ratio = print_ratio("server CPU a call, asked / open", ratios, args.max_ratio)?;
    for side in [open, asked] {
        stop(side.server).await?;
    }
    ensure!(ratio <= args.max_ratio, "the median ratio {ratio:.2} is above the limit {:.2}", args.max_ratio);
    Ok(())
}

impl Side {
    async fn new(name: &'static str, server: Server, args: &Args, callers: &Callers, says: bool) -> Result<Self> {
        let clients = connect(&server.endpoint(), args.connections.into()).await?;
        let mut leaders = Vec::new();
        for (number, client) in clients.iter().cycle().take(args.clients.into()).cloned().enumerate() {
            let token = says.then(|| callers.token(&format!("worker-{number:05}")));
            leaders.push(Leader::enter(client, token, number).await?);
        }
        // A server that doesn't serve any more would say so here.
        http_get(&format!("{}/healthz", server.http())).await?;
        Ok(Self { name, server, leaders })
    }

    /// Calls for so long; what one costs the server in microseconds.
    async fn round(&mut self, round: u16, seconds: u16) -> Result<f64> {
        let meter = Meter::start(self.server.pid())?;
        let until = Instant::now() + Duration::from_secs(seconds.into());
        let mut running = JoinSet::new();
        for mut leader in self.leaders.drain(..) {
            running.spawn(async move {
                let mut calls = 0_u64;
                while Instant::now() < until {
                    leader.keep_alive().await?;
                    calls += 1;
                }
                anyhow::Ok((leader, calls))
            });
        }
        let mut calls = 0;
        while let Some(done) = running.join_next().await {
            let (leader, made) = done.context("a client panicked")?.with_context(|| format!("at {}", self.name))?;
            self.leaders.push(leader);
            calls += made;
        }
        let usage = meter.read()?;
        let cost = micros_each(usage.server, calls);
        println!(
            "{round:>5}  {:<6}  {calls:>8}  {:>8.0}  {cost:>14.2}  {:>8.0} %",
            self.name,
            calls as f64 / usage.elapsed.as_secs_f64(),
            usage.percent_of_core(usage.others)
        );
        ensure!(cost > 0.0, "{calls} calls cost nothing");
        Ok(cost)
    }
}
