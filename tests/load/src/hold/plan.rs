//! What is held, and when each batch is due.

use anyhow::{Result, ensure};
use leasehold_proto::v1::CampaignRequest;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::{Args, BATCH};

/// The settings of a run, checked, and the moment from which all is scheduled.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) candidacies: usize,
    pub(super) elections: usize,
    pub(super) length: Duration,
    pub(super) ttl: Duration,
    pub(super) connections: usize,
    pub(super) streams: bool,
    pub(super) task_tokens: bool,
    origin: Instant,
}

impl Plan {
    /// Checks the settings; the schedule begins now.
    ///
    /// # Errors
    ///
    /// When there are more elections than candidacies, or the ttl isn't one that a server takes.
    pub(super) fn new(args: &Args) -> Result<Self> {
        let candidacies = usize::try_from(args.candidacies)?;
        let elections = args.elections.map_or(Ok(candidacies.div_ceil(2)), usize::try_from)?;
        ensure!(elections <= candidacies, "{elections} elections can't all have one of {candidacies} candidacies");
        let whole = args.ttl.subsec_nanos().is_multiple_of(1_000_000);
        ensure!(whole && args.ttl >= Duration::from_secs(1), "a ttl is 1 s at least, in whole ms, not {:?}", args.ttl);
        Ok(Self {
            candidacies,
            elections,
            length: Duration::from_secs(args.seconds.into()),
            ttl: args.ttl,
            connections: args.connections.into(),
            streams: args.streams,
            task_tokens: args.task_tokens,
            origin: Instant::now(),
        })
    }

    /// How often each candidacy is kept alive.
    pub(super) fn interval(&self) -> Duration {
        self.ttl / 3
    }

    /// How many batches there are.
    pub(super) fn batches(&self) -> usize {
        self.candidacies.div_ceil(BATCH)
    }

    /// The candidacies of a batch.
    pub(super) fn members(&self, batch: usize) -> Range<usize> {
        batch * BATCH..self.candidacies.min((batch + 1) * BATCH)
    }

    /// The first moment after `after` at which this batch is due. The batches are spread evenly
    /// over an interval.
    pub(super) fn due(&self, batch: usize, after: Instant) -> Instant {
        let interval = self.interval();
        let first = self.origin + interval.mul_f64(batch as f64 / self.batches() as f64);
        let rounds = after.saturating_duration_since(first).as_nanos() / interval.as_nanos();
        let rounds = u32::try_from(rounds).expect("a run is far shorter than 4 billion intervals");
        let due = first + interval * rounds;
        if due > after { due } else { due + interval }
    }

    /// What a candidacy asks for.
    pub(super) fn request(&self, candidacy: usize) -> CampaignRequest {
        CampaignRequest {
            election: format!("hold/election-{:07}", candidacy % self.elections),
            candidate: format!("candidate-{candidacy:07}"),
            ttl: Some(prost_types::Duration::try_from(self.ttl).expect("checked in new")),
            ..Default::default()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Args, Plan};
    use clap::Parser;
    use std::time::Duration;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    pub(crate) fn plan(line: &[&str]) -> anyhow::Result<Plan> {
        Plan::new(&Line::parse_from([&["hold"], line].concat()).args)
    }

    #[test]
    fn every_candidacy_is_in_one_batch_and_every_election_has_a_candidacy() {
        let plan = plan(&["--candidacies", "250"]).expect("it is lawful");
        let members: Vec<_> = (0..plan.batches()).flat_map(|batch| plan.members(batch)).collect();
        assert_eq!(members, (0..250).collect::<Vec<_>>());
        let elections: std::collections::BTreeSet<_> = members.iter().map(|&one| plan.request(one).election).collect();
        assert_eq!((plan.elections, elections.len()), (125, 125));
    }

    #[test]
    fn batches_are_due_every_interval_and_evenly_apart() {
        let plan = plan(&["--candidacies", "1000", "--ttl", "15s"]).expect("it is lawful");
        let start = plan.origin;
        assert_eq!(plan.due(0, start), start + Duration::from_secs(5), "strictly after");
        assert_eq!(plan.due(1, start), start + Duration::from_millis(500));
        assert_eq!(plan.due(9, start + Duration::from_millis(4500)), start + Duration::from_millis(9500));
        assert_eq!(plan.due(9, start + Duration::from_secs(60)), start + Duration::from_millis(64_500));
    }

    #[test]
    fn unlawful_settings_are_refused() {
        let text = |line: &[&str]| plan(line).expect_err("it is unlawful").to_string();
        assert_eq!(text(&["--ttl", "10ms"]), "a ttl is 1 s at least, in whole ms, not 10ms");
        let text = text(&["--candidacies", "3", "--elections", "4"]);
        assert_eq!(text, "4 elections can't all have one of 3 candidacies");
    }
}
