//! `handshakes`: what a connection costs the server, in plain text, with a whole handshake of TLS,
//! and with one that resumes a session.

use anyhow::{Context as _, Result};
use leasehold_harness::{AdminClient, Authority, Server};
use leasehold_proto::v1::GetStatusRequest;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use crate::latency::Latency;
use crate::machine::{Meter, Usage, cores, micros_each};
use crate::real::{RealArgs, stop};

mod way;

use way::{SERVER, Way};

/// How long a connection may take before the run fails.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a run may take beside its rounds: starts, ends.
const SLACK: Duration = Duration::from_secs(60);
/// Before the first round of each way.
const WARM_UP: Duration = Duration::from_secs(1);

/// The settings of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Clients, each of which makes one connection after the other.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// Seconds of a round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Rounds of each kind, in turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    #[command(flatten)]
    real: RealArgs,
}

impl Args {
    /// When the run must be over.
    pub(crate) fn time_limit(&self) -> Duration {
        let round = Duration::from_secs(self.seconds.into()) + TIMEOUT;
        SLACK + (round * self.rounds.into() + WARM_UP) * Kind::ALL.len() as u32
    }
}

/// How connections are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Full,
    Resumed,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Plain, Self::Full, Self::Resumed];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain text",
            Self::Full => "TLS, full",
            Self::Resumed => "TLS, resumed",
        }
    }
}

/// What rounds of one kind found.
struct Found {
    connections: u64,
    /// Server CPU of a connection, one for each round.
    micros: Vec<f64>,
    latency: Latency,
    others: f64,
}

impl Found {
    fn new() -> Self {
        Self { connections: 0, micros: Vec::new(), latency: Latency::new(), others: 0.0 }
    }

    /// Of all rounds: the least, that in the middle, and the most.
    fn spread(&self) -> [f64; 3] {
        let mut micros = self.micros.clone();
        micros.sort_by(f64::total_cmp);
        [0, micros.len() / 2, micros.len() - 1].map(|at| micros[at])
    }
}

fn print(kinds: &mut dyn Iterator<Item = (Kind, Found)>) {
    println!(
        "{:<14}{:>12}{:>26}{:>16}{:>12}",
        "", "connections", "server CPU, median us", "p50 and p99 ms", "others %"
    );
    for (kind, found) in kinds {
        let [least, median, most] = found.spread();
        let cpu = format!("{median:.0} ({least:.0} to {most:.0})");
        let took = [50.0, 99.0].map(|percentage| found.latency.percentile_ms(percentage));
        let took = format!("{:.1}, {:.1}", took[0], took[1]);
        println!("{:<14}{:>12}{cpu:>26}{took:>16}{:>12.0}", kind.name(), found.connections, found.others);
    }
}

/// Makes connections of all kinds in turns, and prints what they cost.
///
/// # Errors
///
/// When a connection fails, or isn't made as it must be.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let authority = Authority::new("load")?;
    let files = authority.issue("server", &[SERVER])?;
    let plain = args.real.start().await?;
    let sealed = args.real.start_with(|builder| builder.tls(&files)).await?;
    println!(
        "handshakes: {} clients, each a connection after the other, with one GetStatus on it; {} cores\nserver: {}\n",
        args.clients,
        cores(),
        args.real
    );
    let ca = authority.ca();
    let place = |kind| if kind == Kind::Plain { &plain } else { &sealed };
    let ways = |kind| -> Result<Vec<Arc<Way>>> {
        (0..args.clients).map(|_| Ok(Arc::new(Way::new(place(kind), kind, &ca)?))).collect()
    };
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        let ways = ways(kind)?;
        round(place(kind), &ways, WARM_UP, &mut Found::new()).await?;
        kinds.push((kind, ways, Found::new()));
    }
    for _ in 0..args.rounds {
        for (kind, ways, found) in &mut kinds {
            round(place(*kind), ways, Duration::from_secs(args.seconds.into()), found).await?;
        }
    }
    print(&mut kinds.into_iter().map(|(kind, _, found)| (kind, found)));
    stop(plain).await?;
    stop(sealed).await
}

async fn round(server: &Server, ways: &[Arc<Way>], length: Duration, found: &mut Found) -> Result<()> {
    let (meter, until) = (Meter::start(server.pid())?, Instant::now() + length);
    let mut clients = JoinSet::new();
    for way in ways {
        way.begin();
        clients.spawn(one_after_the_other(Arc::clone(way), until));
    }
    let mut made = 0;
    while let Some(client) = clients.join_next().await {
        let latency = client??;
        made += latency.count();
        found.latency.add(&latency);
    }
    let usage: Usage = meter.read()?;
    found.connections += made;
    found.micros.push(micros_each(usage.server, made));
    found.others = found.others.max(usage.percent_of_core(usage.others));
    Ok(())
}

async fn one_after_the_other(way: Arc<Way>, until: Instant) -> Result<Latency> {
    let mut latency = Latency::new();
    while Instant::now() < until {
        let since = Instant::now();
        tokio::time::timeout(TIMEOUT, connection(&way)).await.context("a connection takes more than 10 s")??;
        latency.record(since.elapsed());
    }
    Ok(latency)
}

async fn connection(way: &Way) -> Result<()> {
    let channel = way.connect().await?;
    AdminClient::new(channel).get_status(GetStatusRequest {}).await?;
    Ok(())
}
