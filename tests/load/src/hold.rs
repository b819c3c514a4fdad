//! `hold`: thousands of leased candidacies, kept alive in batches, none of which may be lost.

use anyhow::{Context as _, Result, ensure};
use leasehold_harness::{Server, rss_bytes};
use leasehold_proto::v1::{GetStatusRequest, GetStatusResponse};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::connect::connect;
use crate::machine::{Meter, Usage};
use crate::real::{RealArgs, stop};

mod batch;
mod enrol;
mod plan;
mod report;
mod streams;
mod tally;

use batch::Batch;
use plan::Plan;
use streams::{StreamCount, Streams};
use tally::Tally;

/// Candidacies in one KeepAlive call.
const BATCH: usize = 100;

/// What a run may take beside the time it holds: enrolment, start, end.
const SLACK: Duration = Duration::from_secs(180);

/// The settings of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leased candidacies to hold.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    candidacies: u32,
    /// Elections that they are spread over evenly; one candidacy of each leads. Without this: half
    /// as many as candidacies.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    elections: Option<u32>,
    /// Seconds to hold them, from when all are enrolled.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// The ttl of each, e.g. 15s; each is kept alive every third of it.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Connections that carry the streams and calls.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Whether the Campaign stream of each candidacy stays open.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    streams: bool,
    /// Whether leaders ask for a fresh task token with each KeepAlive.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    task_tokens: bool,
    #[command(flatten)]
    real: RealArgs,
}

impl Args {
    /// When a run that goes on is one that hangs.
    pub(crate) fn time_limit(&self) -> Duration {
        Duration::from_secs(self.seconds.into()) + SLACK
    }
}

/// What a run found.
#[derive(Debug)]
struct Outcome {
    enrolment: Duration,
    usage: Usage,
    /// The server's memory before the first candidacy and while all were held, in bytes.
    rss: [u64; 2],
    tally: Tally,
    streams: StreamCount,
    /// What the server itself counted at the end.
    status: GetStatusResponse,
}

/// Makes the run and prints it.
///
/// # Errors
///
/// When the server doesn't start, a candidacy can't be enrolled, or one was lost.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let plan = Arc::new(Plan::new(args)?);
    let server = args.real.start().await?;
    report::print_head(&plan, &args.real);
    let outcome = hold(&server, Arc::clone(&plan)).await?;
    report::print(&plan, &outcome);
    stop(server).await?;
    outcome.tally.verdict()?;
    outcome.streams.verdict()?;
    check_status(&plan, &outcome.status)
}

/// Enrols all candidacies, holds them, and counts what became of them.
async fn hold(server: &Server, plan: Arc<Plan>) -> Result<Outcome> {
    let before = rss_bytes(server.pid())?;
    let clients = connect(&server.endpoint(), plan.connections).await?;
    let streams = Arc::new(Streams::default());
    let (stop, stops) = watch::channel(None);
    let (enrolled, enrolments) = mpsc::channel(plan.batches());
    let start = Instant::now();
    let mut batches = JoinSet::new();
    for (number, client) in clients.iter().cycle().take(plan.batches()).cloned().enumerate() {
        let batch = Batch { number, plan: Arc::clone(&plan), client, streams: Arc::clone(&streams) };
        batches.spawn(batch.run(enrolled.clone(), stops.clone()));
    }
    drop(enrolled);
    let leading = leaders(&mut batches, enrolments).await?;
    let enrolment = start.elapsed();
    ensure!(leading == plan.elections, "{leading} candidacies lead, but there are {} elections", plan.elections);

    let meter = Meter::start(server.pid())?;
    stop.send_replace(Some(Instant::now() + plan.length));
    let mut tally = Tally::new();
    while let Some(done) = batches.join_next().await {
        tally.add(&done.context("a batch panicked")??);
    }
    let usage = meter.read()?;
    let rss = [before, rss_bytes(server.pid())?];
    let status = server.admin().await?.get_status(GetStatusRequest {}).await?.into_inner();
    Ok(Outcome { enrolment, usage, rss, tally, streams: streams.finish().await, status })
}

/// Waits until all batches are enrolled, and counts the leaders among them.
async fn leaders(batches: &mut JoinSet<Result<Tally>>, mut enrolments: mpsc::Receiver<usize>) -> Result<usize> {
    let mut leading = 0;
    loop {
        tokio::select! {
            enrolled = enrolments.recv() => match enrolled {
                Some(leaders) => leading += leaders,
                None => return Ok(leading),
            },
            // None of them ends before it is told to, unless it failed.
            Some(failed) = batches.join_next() => {
                failed.context("a batch panicked")??;
            }
        }
    }
}

/// The server's own count must be that of the plan: nothing was lost that no answer told of.
fn check_status(plan: &Plan, status: &GetStatusResponse) -> Result<()> {
    let counted = [status.candidacies, status.leaders, status.elections].map(usize::try_from);
    ensure!(
        counted == [Ok(plan.candidacies), Ok(plan.elections), Ok(plan.elections)],
        "the server counts {} candidacies, {} leaders and {} elections, but {}, {} and {} are held",
        status.candidacies,
        status.leaders,
        status.elections,
        plan.candidacies,
        plan.elections,
        plan.elections,
    );
    Ok(())
}
