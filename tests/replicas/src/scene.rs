//! What most tests of faults begin with: replicas that have settled, workers that lead, and
//! somebody who takes notes.

use crate::{Conduct, Group, GroupBuilder, Leading, Lease, Probe, Proxy, Record, Term, Terms, Witness};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long replicas may take from nothing to the first grant: nobody knows who held the Lease
/// before, so its duration, then the longest TTL.
pub const START: Duration = Duration::from_secs(90);

/// The elections that are led for as long as that goes well.
const STEADY: [&str; 3] = ["billing/nightly", "billing/hourly", "reports/daily"];
/// The election in which two take turns, so that there are grants at all times.
const BUSY: &str = "busy";
/// How long such a turn is.
const TURN: Duration = Duration::from_millis(250);
/// How long everybody may take to enter.
const ENTRY: Duration = Duration::from_secs(20);

/// Replicas, workers and notes.
#[derive(Debug)]
pub struct Scene {
    /// The replicas.
    pub group: Group,
    /// The notes about the replicas.
    pub terms: Terms,
    /// The workers, and the notes about them.
    pub witness: Witness,
    /// The number of the replica that is active at first.
    pub active: usize,
    ttl: Duration,
}

/// What stays the same as long as nobody notices anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calm {
    /// Replica and tenure of all tenures.
    pub tenures: Vec<(usize, u64)>,
    /// Elections that are led for long: the token, and whether that lasts.
    pub leads: BTreeSet<(String, u64, bool)>,
    /// Connections of the observer that broke.
    pub breaks: usize,
}

impl Scene {
    /// Starts everything, and waits until all elections have leaders.
    ///
    /// # Errors
    ///
    /// When something doesn't start.
    pub async fn set(builder: GroupBuilder, ttl: Duration) -> anyhow::Result<Self> {
        Self::of(builder.start().await?, ttl, None).await
    }

    /// The same, of replicas that run already. The workers know of one more endpoint, if there is
    /// one, which may lead to nothing yet.
    ///
    /// # Errors
    ///
    /// When they don't settle.
    pub async fn of(group: Group, ttl: Duration, spare: Option<&Proxy>) -> anyhow::Result<Self> {
        let terms = Terms::watch(&group)?;
        let active = group.settled(START).await?;
        let spare = spare.map(|spare| format!(",http://{}", spare.address())).unwrap_or_default();
        let mut witness = Witness::start(format!("{}{spare}", group.offered())).await?;
        for election in STEADY {
            witness.pair(election, ttl, Conduct::Keeps, ENTRY).await?;
        }
        witness.pair(BUSY, ttl, Conduct::Passes(TURN), ENTRY).await?;
        Ok(Self { group, terms, witness, active, ttl })
    }

    /// A worker with the replica that is active at first.
    ///
    /// # Errors
    ///
    /// As `Probe::start`.
    pub async fn probe(&self, election: &str) -> anyhow::Result<Probe> {
        Probe::start(&self.group.replicas[self.active].server, election, self.ttl).await
    }

    /// A worker with each of the replicas, whatever it is: a standby forwards its calls.
    ///
    /// # Errors
    ///
    /// As `Probe::start`.
    pub async fn probes(&self, election: &str) -> anyhow::Result<Vec<Probe>> {
        let mut probes = Vec::new();
        for (number, replica) in self.group.replicas.iter().enumerate() {
            probes.push(Probe::start(&replica.server, &format!("{election}-{number}"), self.ttl).await?);
        }
        Ok(probes)
    }

    /// Replica and tenure of all tenures so far.
    #[must_use]
    pub fn tenures(&self) -> Vec<(usize, u64)> {
        self.terms.so_far().iter().map(|term| (term.replica, term.tenure)).collect()
    }

    /// Leaderships of all elections but the busy one: election, token, and whether it lasts.
    #[must_use]
    pub fn steady(&self) -> BTreeSet<(String, u64, bool)> {
        let steady = self.witness.leads().into_iter().filter(|lead| lead.election != BUSY);
        steady.map(|lead| (lead.election, lead.token, lead.until.is_none())).collect()
    }

    /// What nobody should see change.
    #[must_use]
    pub fn calm(&self) -> Calm {
        Calm { tenures: self.tenures(), leads: self.steady(), breaks: self.witness.breaks() }
    }

    /// Asserts that since then nobody has noticed anything: no tenure began, no leader changed, no
    /// call was refused, no stream broke.
    ///
    /// # Panics
    ///
    /// When somebody has.
    #[track_caller]
    pub fn assert_unnoticed(&self, calm: &Calm, probes: &[Probe], since: Instant) {
        assert_eq!(self.calm(), *calm);
        for (number, probe) in probes.iter().enumerate() {
            let refused = probe.refused_since(since);
            assert!(refused.is_empty(), "by replica {number}: {refused:?}");
            assert!(!probe.lost_its_stream(), "replica {number} has broken an Observe stream");
        }
    }

    /// Waits until the Lease was renewed a moment ago.
    ///
    /// # Errors
    ///
    /// When it isn't within 10 s.
    pub async fn renewal(&self) -> anyhow::Result<Lease> {
        self.renewal_after(&self.group.lease_now().await?).await
    }

    /// Waits until the Lease says another moment of its renewal than this version.
    ///
    /// # Errors
    ///
    /// When it doesn't within 10 s.
    pub async fn renewal_after(&self, before: &Lease) -> anyhow::Result<Lease> {
        let renewed = |lease: &Lease| lease.renew_time() != before.renew_time();
        self.group.lease_where(Duration::from_secs(10), renewed).await
    }

    /// Waits until all elections are led by somebody who was told so after `since`.
    ///
    /// # Errors
    ///
    /// When they aren't within `timeout`.
    pub async fn all_led_after(&self, since: Instant, timeout: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        for election in STEADY.into_iter().chain([BUSY]) {
            self.witness.led_since(election, since, deadline.saturating_duration_since(Instant::now())).await?;
        }
        Ok(())
    }

    /// Waits until somebody has a turn: the service grants.
    ///
    /// # Errors
    ///
    /// When nobody has within `timeout`.
    pub async fn next_turn(&self, timeout: Duration) -> anyhow::Result<Leading> {
        self.witness.led_since(BUSY, Instant::now(), timeout).await
    }

    /// Ends, and gives back what was seen.
    ///
    /// # Errors
    ///
    /// As `Terms::finish` and `Witness::finish`.
    pub async fn check(self) -> anyhow::Result<(Group, Vec<Term>, Record)> {
        let (record, terms) = (self.witness.finish().await?, self.terms.finish().await?);
        for term in &terms {
            println!("replica {} in tenure {}", term.replica, term.tenure);
        }
        Ok((self.group, terms, record))
    }
}
