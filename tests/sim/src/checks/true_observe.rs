//! An observer sees only real leaders, in order, vacancies included, and ends up at the newest
//! state.

use super::{Guarantee, wrong};
use crate::truth::{Fact, Truth};
use leasehold_core::{Batch, Change, ChangeReason, ElectionName, FencingToken, Output, Revision, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) const NAME: &str = "true-observe";

#[derive(Debug, Default)]
pub(crate) struct TrueObserve {
    /// Everything that observers may be told.
    changes: BTreeMap<Revision, Arc<Change>>,
    last: Revision,
    pictures: BTreeMap<usize, Picture>,
}

/// What one observer has been told. It forgets nothing before it has to.
#[derive(Debug, Default)]
struct Picture {
    leaders: BTreeMap<ElectionName, FencingToken>,
    /// What a snapshot has named so far: when it is complete, all others are vacant.
    named: Option<BTreeSet<ElectionName>>,
    last: Revision,
    live: bool,
}

impl TrueObserve {
    /// The changes of an election follow from each other.
    fn changed(&mut self, truth: &Truth, change: &Arc<Change>) -> Result<(), String> {
        wrong(change.revision <= self.last, || format!("{change:?} comes after revision {}", self.last))?;
        self.last = change.revision;
        self.changes.insert(change.revision, Arc::clone(change));
        let before = truth.leaders.get(&change.election);
        let after = change.leader.as_ref().map(|leader| &leader.token);
        let fits = match change.reason {
            ChangeReason::Elected | ChangeReason::Restored => before.is_none() && after.is_some(),
            ChangeReason::Ended(_) => before.is_some() && after.is_none(),
            ChangeReason::Held => before.is_none() && after.is_none() && change.held_until.is_some(),
            ChangeReason::Proclaimed | ChangeReason::Draining => before.is_some() && before == after,
        };
        wrong(!fits, || format!("{change:?} can't come after {before:?}"))
    }
}

impl Picture {
    fn begins_anew(&mut self) {
        (self.named, self.last, self.live) = (Some(BTreeSet::new()), Revision(0), false);
    }

    fn shown(&mut self, batch: &Batch, changes: &BTreeMap<Revision, Arc<Change>>) -> Result<(), String> {
        if batch.reset {
            self.begins_anew();
        }
        for seen in &batch.changes {
            let change = &seen.change;
            wrong(changes.get(&change.revision) != Some(change), || format!("{change:?} never happened"))?;
            wrong(change.revision <= self.last, || format!("{change:?} comes after revision {}", self.last))?;
            self.last = change.revision;
            self.named.iter_mut().for_each(|named| _ = named.insert(change.election.clone()));
            let token = change.leader.as_ref().map(|leader| leader.token);
            let before = match token {
                Some(token) => self.leaders.insert(change.election.clone(), token),
                None => self.leaders.remove(&change.election),
            };
            let skips = self.live && !seen.missed && before.is_some() && token.is_some() && before != token;
            wrong(skips, || format!("{change:?} follows {before:?} with no vacancy between, and says no gap"))?;
        }
        for name in &batch.vacant {
            self.leaders.remove(name);
        }
        if batch.synced.is_some() {
            self.live = true;
            if let Some(named) = self.named.take() {
                self.leaders.retain(|election, _| named.contains(election));
            }
        }
        Ok(())
    }
}

impl Guarantee for TrueObserve {
    fn name(&self) -> &'static str {
        NAME
    }

    fn note(&mut self, _: Time, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Fell => self.last = Revision(0),
            Fact::Said(Output::Changed(change)) => self.changed(truth, change)?,
            Fact::ObserverConnects { observer, resumes } => {
                let picture = self.pictures.entry(*observer).or_default();
                match resumes {
                    Some(last) => (picture.last, picture.named) = (*last, None),
                    None => picture.begins_anew(),
                }
                // Until it is synced it is told states: a stream that broke may have owed it the
                // mark of a gap.
                picture.live = false;
            }
            Fact::Observed { observer, batch } => {
                let picture = self.pictures.entry(*observer).or_default();
                picture.shown(batch, &self.changes).map_err(|why| format!("observer {observer}: {why}"))?;
                // Whoever has read everything sees what is.
                let untrue = picture.live && !batch.more && picture.leaders != truth.leaders;
                wrong(untrue, || {
                    let sees = &picture.leaders;
                    format!("observer {observer} has read all and sees {sees:?}; the truth is {:?}", truth.leaders)
                })?;
            }
            Fact::TheEnd { .. } => {
                for (observer, picture) in &self.pictures {
                    wrong(picture.leaders != truth.leaders, || {
                        format!("observer {observer} sees {:?}; the truth is {:?}", picture.leaders, truth.leaders)
                    })?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
