//! Asks who leads an election every 20 ms, and measures the longest time without an answer.

use anyhow::{Context as _, ensure};
use leasehold_proto::v1::{Election, Leadership};
use std::fmt;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(20);
/// A question without an answer is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A task that asks.
#[derive(Debug)]
pub struct Prober {
    stop: CancellationToken,
    task: JoinHandle<Probes>,
}

/// What it found.
#[derive(Debug)]
pub struct Probes {
    /// Where it asked.
    pub what: String,
    /// Answers that named the leader.
    pub answers: usize,
    /// Calls that failed, and those whose answer was that it can't be known yet: how long that
    /// took, and why.
    pub failures: Vec<(Duration, String)>,
    /// Answers that can't be true.
    pub wrong: Vec<Election>,
    /// The longest time between two answers, without that by which the asking task itself was late:
    /// the machine was busy then.
    pub longest_gap: Duration,
    /// The longest time by which it was late.
    pub longest_delay: Duration,
}

impl Prober {
    /// Asks until it is told to stop. All answers must name the leader with this token.
    pub fn start<F>(what: &str, token: u64, ask: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Election, String>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(what.to_owned(), token, ask, stop.clone()));
        Self { stop, task }
    }

    /// Asks with this client.
    #[must_use]
    pub fn of_client(client: leasehold::Client, election: &str, token: u64) -> Self {
        let election = election.to_owned();
        Self::start("the client", token, move || {
            let (client, election) = (client.clone(), election.clone());
            async move { client.get(election).await.map(Election::from).map_err(|error| error.to_string()) }
        })
    }

    /// Asks over this connection.
    #[must_use]
    pub fn of_channel(what: &str, client: &leasehold_harness::ElectionClient, election: &str, token: u64) -> Self {
        let (client, election) = (client.clone(), election.to_owned());
        Self::start(what, token, move || {
            let (mut client, election) = (client.clone(), election.clone());
            async move {
                let request = leasehold_proto::v1::GetElectionRequest { election };
                let answer = client.get_election(request).await.map_err(|status| status.to_string())?;
                answer.into_inner().election.ok_or_else(|| "an answer without an election".to_owned())
            }
        })
    }

    /// Stops asking.
    ///
    /// # Errors
    ///
    /// When an answer was wrong, or there was none at all.
    pub async fn finish(self) -> anyhow::Result<Probes> {
        self.stop.cancel();
        let probes = self.task.await.context("the prober has panicked")?;
        println!("{probes}");
        ensure!(probes.answers > 0 && probes.wrong.is_empty(), "{probes:#?}");
        Ok(probes)
    }
}

impl fmt::Display for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, answers, failures, longest_gap, longest_delay, .. } = self;
        let slowest = failures.iter().map(|(took, _)| *took).max().unwrap_or_default();
        write!(f, "{what}: {answers} answers, {} failures, {slowest:?} at most for one, ", failures.len())?;
        write!(f, "the longest time without an answer {longest_gap:?} (the prober was {longest_delay:?} late at most)")
    }
}

async fn run<F>(what: String, token: u64, mut ask: impl FnMut() -> F, stop: CancellationToken) -> Probes
where
    F: Future<Output = Result<Election, String>>,
{
    let mut probes = Probes {
        what,
        answers: 0,
        failures: Vec::new(),
        wrong: Vec::new(),
        longest_gap: Duration::ZERO,
        longest_delay: Duration::ZERO,
    };
    let (mut last, mut late) = (Instant::now(), Duration::ZERO);
    while !stop.is_cancelled() {
        let due = Instant::now() + INTERVAL;
        tokio::time::sleep_until(due.into()).await;
        let asked = Instant::now();
        let delay = asked - due;
        (late, probes.longest_delay) = (late + delay, probes.longest_delay.max(delay));
        let why = match tokio::time::timeout(PATIENCE, ask()).await {
            Ok(Ok(election)) if election.leadership() == Leadership::Unsettled => "it isn't known yet".to_owned(),
            Ok(Ok(election)) if election.leader.as_ref().is_none_or(|leader| leader.fencing_token != token) => {
                probes.wrong.push(election);
                continue;
            }
            Ok(Ok(_)) => {
                let now = Instant::now();
                probes.longest_gap = probes.longest_gap.max((now - last).saturating_sub(late));
                (probes.answers, last, late) = (probes.answers + 1, now, Duration::ZERO);
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        probes.failures.push((asked.elapsed(), why));
    }
    // A silence that goes on counts as well.
    probes.longest_gap = probes.longest_gap.max(last.elapsed().saturating_sub(late));
    probes
}
