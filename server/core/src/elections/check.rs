//! The invariants of the elections.

use super::{Candidacy, Due, Elections, State};
use crate::Time;
use crate::tenure::ActiveTenure;
use std::collections::BTreeMap;

impl Elections {
    /// Panics if state that must agree doesn't. While the right has lapsed nobody's time runs out.
    pub(crate) fn check(&self, active: &ActiveTenure, now: Time, lapsed: bool) {
        let (mut deadlines, mut streams, mut leaders) = (0, 0, 0);
        let mut subjects = BTreeMap::new();
        for (id, candidacy) in &self.candidacies {
            assert_eq!((candidacy.id, candidacy.place.id), (*id, *id));
            assert!(lapsed || candidacy.wake().is_none_or(|at| at > now), "{id} should have ended");
            if let Some(at) = candidacy.wake() {
                deadlines += 1;
                assert!(self.deadlines.contains(&Due { at, what: *id }), "{id} wouldn't end");
            }
            if let Some(stream) = candidacy.stream {
                streams += 1;
                assert_eq!(self.streams.get(&stream), Some(id));
            }
            *subjects.entry(&candidacy.subject).or_insert(0) += 1;
            assert!(candidacy.lease.is_some() || candidacy.stream.is_some(), "{id} is bound to no stream");
            assert!(id.0 <= active.line.last() && candidacy.place.at <= *id);
            assert!(self.ends.reason(*id).is_none(), "{id} lives and is over");
            let election = self.by_name.get(&candidacy.election).expect("a candidacy's election exists");
            match candidacy.state {
                State::Waiting { .. } => assert!(election.queue.contains(&candidacy.place)),
                State::Leading { token } | State::Draining { token, .. } => {
                    leaders += 1;
                    assert_eq!(election.leader, Some(*id));
                    assert!(token.0 <= active.line.last());
                }
            }
        }
        assert_eq!((deadlines, streams, leaders), (self.deadlines.len(), self.streams.len(), self.leaders));
        let bytes: usize = self.candidacies.values().map(Candidacy::bytes).sum();
        assert_eq!(bytes, self.bytes, "candidacies take another number of bytes");
        let known = self.subjects.iter().map(|(subject, count)| (subject, *count));
        assert!(subjects.into_iter().eq(known), "subjects have other numbers of candidacies");
        let (mut members, mut holds) = (0, 0);
        for (name, election) in &self.by_name {
            let count = election.queue.len() + usize::from(election.leader.is_some());
            let held = election.held_until.is_some();
            assert!(count > 0 || held, "{name} has nobody left");
            members += count;
            assert!(election.held_until.is_none_or(
                |until| (lapsed || until > now) && self.holds.contains(&Due { at: until, what: name.clone() })
            ));
            holds += usize::from(held);
            assert!(
                election.leader.is_some() || active.settles_at.is_some() || held,
                "{name} is vacant, has candidates, and isn't granted"
            );
        }
        assert_eq!((members, holds), (self.candidacies.len(), self.holds.len()));
        for (key, id) in &self.attempts {
            assert_eq!(self.candidacies.get(id).and_then(Candidacy::attempt_key).as_ref(), Some(key));
        }
        self.ends.check();
    }
}
