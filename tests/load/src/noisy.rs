//! `noisy`: what a subject that calls as often as it can, far beyond its quota, costs another one.

use anyhow::{Context as _, Result, bail, ensure};
use leasehold_harness::{ElectionClient, by, refusal};
use leasehold_proto::v1::{CampaignRequest, GetElectionRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::Code;

use crate::callers::{Callers, quiet_server};
use crate::connect::connect;
use crate::exchange::Exchange;
use crate::latency::Latency;
use crate::ratio::print_ratio;
use crate::real::stop;

/// What a run may take beside its rounds.
const SLACK: Duration = Duration::from_secs(60);
/// The pause between two cycles of the quiet subject.
const PAUSE: Duration = Duration::from_millis(5);

/// The settings of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Calls that the noisy subject has under way at the same time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    callers: u16,
    /// Calls a second that one subject may make.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    quota: u32,
    /// Seconds of a round.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Rounds without the noisy subject and with it, in turns.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// The run fails when the median of noisy / quiet at p50 is larger. The noisy clients share
    /// the cores with the server, and so does everything else on the machine.
    #[arg(long, default_value_t = 10.0)]
    max_ratio: f64,
}

impl Args {
    /// When a run that goes on is one that hangs.
    pub(crate) fn time_limit(&self) -> Duration {
        Duration::from_secs(2 * u64::from(self.seconds) * u64::from(self.rounds)) + SLACK
    }
}

/// Calls of the noisy subject.
#[derive(Debug, Default)]
struct Noise {
    stops: AtomicBool,
    served: AtomicU64,
    refused: AtomicU64,
}

/// Makes the run and prints it.
///
/// # Errors
///
/// When a call of the quiet subject fails, the quota refuses nothing, or a ratio is above the
/// limit.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let callers = Callers::new()?;
    let quota = format!("--max-calls-per-subject={}", args.quota);
    let server = callers.asked_by(quiet_server()).arg(quota).start().await?;
    let mut quiet = connect(&server.endpoint(), 1).await?.remove(0);
    let loud = connect(&server.endpoint(), 2).await?;
    let (own, others) = (callers.token("quiet"), callers.token("noisy"));
    println!(
        "noisy: {} calls at a time of one subject that may make {} a second; {} s a round\n\
         quiet: another subject campaigns, is elected and resigns, every {PAUSE:?}\n",
        args.callers, args.quota, args.seconds
    );
    println!(
        "{:>5}  {:<6}  {:>8}  {:>7}  {:>7}  {:>9}  {:>9}",
        "round", "", "cycles", "p50 ms", "p99 ms", "served/s", "refused/s"
    );
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let before = cycles(&mut quiet, &own, args.seconds).await?;
        print_round(round, "alone", &before, args.seconds, None);
        let noise = Arc::new(Noise::default());
        let mut running = JoinSet::new();
        for client in loud.iter().cycle().take(args.callers.into()) {
            running.spawn(make_noise(client.clone(), others.clone(), Arc::clone(&noise)));
        }
        let beside = cycles(&mut quiet, &own, args.seconds).await;
        noise.stops.store(true, Ordering::Relaxed);
        while let Some(done) = running.join_next().await {
            done.context("a noisy caller panicked")??;
        }
        let beside = beside?;
        print_round(round, "beside", &beside, args.seconds, Some(&noise));
        ensure!(noise.refused.load(Ordering::Relaxed) > 0, "the quota refused nothing");
        p50.push(beside.percentile_ms(50.0) / before.percentile_ms(50.0));
        p99.push(beside.percentile_ms(99.0) / before.percentile_ms(99.0));
    }
    let ratio = print_ratio("p50 of a cycle, beside / alone", p50, args.max_ratio)?;
    print_ratio("p99 of a cycle, beside / alone", p99, f64::INFINITY)?;
    drop((quiet, loud));
    stop(server).await?;
    ensure!(ratio <= args.max_ratio, "the median ratio {ratio:.2} is above the limit {:.2}", args.max_ratio);
    Ok(())
}

fn print_round(round: u16, name: &str, latency: &Latency, seconds: u16, noise: Option<&Noise>) {
    let rate = |count: fn(&Noise) -> &AtomicU64| {
        noise.map_or(0, |noise| count(noise).load(Ordering::Relaxed)) / u64::from(seconds)
    };
    println!(
        "{round:>5}  {name:<6}  {:>8}  {:>7.2}  {:>7.2}  {:>9}  {:>9}",
        latency.count(),
        latency.percentile_ms(50.0),
        latency.percentile_ms(99.0),
        rate(|noise| &noise.served),
        rate(|noise| &noise.refused)
    );
}

/// Cycles of the quiet subject: none may fail.
async fn cycles(client: &mut ElectionClient, token: &str, seconds: u16) -> Result<Latency> {
    let request = CampaignRequest {
        election: "load/quiet".to_owned(),
        candidate: "worker".to_owned(),
        ttl: Some(prost_types::Duration { seconds: 15, nanos: 0 }),
        ..Default::default()
    };
    let (mut latency, until) = (Latency::new(), Instant::now() + Duration::from_secs(seconds.into()));
    while Instant::now() < until {
        let start = Instant::now();
        Exchange::make(client, request.clone(), Some(token)).await.context("the quiet subject")?;
        latency.record(start.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(latency)
}

/// Calls without a pause.
async fn make_noise(mut client: ElectionClient, token: String, noise: Arc<Noise>) -> Result<()> {
    while !noise.stops.load(Ordering::Relaxed) {
        let get = GetElectionRequest { election: "load/noise".to_owned() };
        match client.get_election(by(&token, get)).await {
            Ok(_) => noise.served.fetch_add(1, Ordering::Relaxed),
            Err(status) if status.code() == Code::ResourceExhausted && refusal(&status).reason == "TOO_FAST" => {
                noise.refused.fetch_add(1, Ordering::Relaxed)
            }
            Err(status) => bail!("the noisy subject is told {status:?}"),
        };
    }
    Ok(())
}
