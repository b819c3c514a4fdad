//! An observer, and what it saw.

use anyhow::{Context as _, Result, bail, ensure};
use leasehold_harness::ElectionClient;
use leasehold_proto::v1::observe_response::Event;
use leasehold_proto::v1::{ElectionChange, ObserveRequest};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

use crate::latency::Latency;

/// A change, as the leader's value tells it: its number, and when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) number: u32,
    /// Since the run began, in whole microseconds.
    pub(super) sent: Duration,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.sent.as_micros())
    }
}

impl FromStr for Change {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, micros) = text.split_once(' ').with_context(|| format!("{text:?} isn't a change"))?;
        Ok(Self { number: number.parse()?, sent: Duration::from_micros(micros.parse()?) })
    }
}

/// What observers saw, once they were synced.
#[derive(Debug)]
pub(super) struct Seen {
    /// Changes that came.
    pub(super) delivered: u64,
    /// Changes that were left out for a slow observer, and marked so.
    pub(super) left_out: u64,
    /// From before the leader sent a change until an observer had it.
    pub(super) latency: Latency,
    /// When the last change had come to the last of them.
    pub(super) last_at: Option<Instant>,
}

impl Seen {
    /// With nothing seen.
    pub(super) fn new() -> Self {
        Self { delivered: 0, left_out: 0, latency: Latency::new(), last_at: None }
    }

    /// Adds what another saw.
    pub(super) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.left_out += other.left_out;
        self.latency.add(&other.latency);
        self.last_at = self.last_at.max(other.last_at);
    }
}

/// An observer of one election.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) client: ElectionClient,
    /// When the run began.
    pub(super) origin: Instant,
    /// The number of the last change.
    pub(super) last: u32,
}

impl Watcher {
    /// Observes until the last change has come. Lets go of `synced` when it is synced.
    ///
    /// # Errors
    ///
    /// When the stream breaks, or tells what can't be: a change out of order, or one left out
    /// without a mark.
    pub(super) async fn run(mut self, election: &str, synced: mpsc::Sender<()>) -> Result<Seen> {
        let request = ObserveRequest { elections: vec![election.to_owned()], ..Default::default() };
        let mut stream = self.client.observe(request).await?.into_inner();
        let mut synced = Some(synced);
        let (mut seen, mut before) = (Seen::new(), None);
        loop {
            let message = stream.message().await?.context("an Observe stream ended")?;
            match message.event {
                Some(Event::Change(change)) => {
                    let revision = change.revision;
                    let now = follow(before.as_ref(), &change)?;
                    if let Some((earlier, _)) = before {
                        seen.left_out += u64::from(now.number - earlier.number - 1);
                        seen.delivered += 1;
                        seen.latency.record(self.origin.elapsed().saturating_sub(now.sent));
                    }
                    before = Some((now, revision));
                    if now.number == self.last {
                        seen.last_at = Some(Instant::now());
                        return Ok(seen);
                    }
                }
                Some(Event::Synced(_)) => {
                    ensure!(before.is_some(), "Synced came, but the leader wasn't named");
                    synced.take().context("Synced came twice")?;
                }
                Some(Event::Progress(_) | Event::Settling(_)) => {}
                other => bail!("{other:?} came on an Observe stream"),
            }
        }
    }
}

/// Reads a change, and checks that it may follow the one before, which is given with its revision.
fn follow(before: Option<&(Change, u64)>, change: &ElectionChange) -> Result<Change> {
    let leader = change.leader.as_ref().with_context(|| format!("the election was said to be vacant: {change:?}"))?;
    let now: Change = leader.value.parse()?;
    if let Some((earlier, revision)) = before {
        ensure!(change.revision > *revision, "revision {} came after {revision}", change.revision);
        ensure!(now.number > earlier.number, "change {} came after {}", now.number, earlier.number);
        let gap = now.number > earlier.number + 1;
        ensure!(
            gap == change.missed_changes,
            "change {} came after {} with missed_changes = {}",
            now.number,
            earlier.number,
            change.missed_changes
        );
    }
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::{Change, follow};
    use leasehold_proto::v1::{ElectionChange, Leader};
    use std::time::Duration;

    fn change(number: u32, revision: u64, missed_changes: bool) -> ElectionChange {
        let value = Change { number, sent: Duration::from_micros(5) }.to_string();
        let leader = Some(Leader { value, ..Default::default() });
        ElectionChange { revision, leader, missed_changes, ..Default::default() }
    }

    #[test]
    fn changes_come_in_order_and_gaps_are_marked() {
        let before = (Change { number: 3, sent: Duration::ZERO }, 30);
        let number = |change: &ElectionChange| follow(Some(&before), change).map(|change| change.number);
        assert_eq!(number(&change(4, 31, false)).expect("the next"), 4);
        assert_eq!(number(&change(9, 40, true)).expect("a marked gap"), 9);
        let refused = |change: &ElectionChange| number(change).expect_err("it can't be").to_string();
        assert_eq!(refused(&change(9, 40, false)), "change 9 came after 3 with missed_changes = false");
        assert_eq!(refused(&change(4, 31, true)), "change 4 came after 3 with missed_changes = true");
        assert_eq!(refused(&change(3, 31, false)), "change 3 came after 3");
        assert_eq!(refused(&change(4, 30, false)), "revision 30 came after 30");
        let vacant = ElectionChange { leader: None, ..change(4, 31, false) };
        assert!(refused(&vacant).starts_with("the election was said to be vacant"));
    }

    #[test]
    fn the_first_change_may_be_any() {
        assert_eq!(follow(None, &change(7, 1, true)).expect("a snapshot").number, 7);
    }
}
