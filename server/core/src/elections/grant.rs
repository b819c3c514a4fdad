//! Grants: who gets the lead, and when.

use super::{Elections, State, Turn};
use crate::{ChangeReason, ElectionName, EndReason, Enrolment, FencingToken};

impl Elections {
    /// Grants a vacant election to the first in its queue, unless the tenure hasn't settled. Forgets an election that has
    /// nobody left.
    pub(super) fn grant_next(&mut self, turn: &mut Turn<'_>, name: &ElectionName) {
        let Some(election) = self.by_name.get(name) else { return };
        if election.leader.is_some() {
            return;
        }
        match election.queue.first() {
            Some(&(_, id)) if turn.settled() => self.grant(turn, id),
            Some(_) => {}
            None => {
                self.by_name.remove(name);
            }
        }
    }

    /// Grants every vacant election: the tenure has settled.
    pub(crate) fn grant_all(&mut self, turn: &mut Turn<'_>) {
        self.refusals.clear();
        let vacant: Vec<_> =
            self.by_name.iter().filter(|(_, e)| e.leader.is_none()).map(|(name, _)| name.clone()).collect();
        for name in vacant {
            self.grant_next(turn, &name);
        }
    }

    /// Makes a waiting candidacy the leader of its vacant election.
    pub(super) fn grant(&mut self, turn: &mut Turn<'_>, id: Enrolment) {
        let token = FencingToken(turn.active.line.take());
        self.lead(id, token);
        self.announce(turn, id, Some(token), ChangeReason::Elected);
    }

    /// Makes a waiting candidacy the leader again that it was in the former tenure. Of two, the one with the higher token
    /// stays; the other one ends as overtaken.
    pub(super) fn install(&mut self, turn: &mut Turn<'_>, id: Enrolment, token: FencingToken) {
        let Some(candidacy) = self.candidacies.get(&id) else { return };
        let current = self.by_name.get(&candidacy.election).and_then(|election| election.leader);
        if let Some(current) = current {
            if self.candidacies.get(&current).and_then(super::Candidacy::token) > Some(token) {
                self.end(turn, id, EndReason::Overtaken);
                return;
            }
            self.end(turn, current, EndReason::Overtaken);
        }
        self.lead(id, token);
        self.announce(turn, id, None, ChangeReason::Restored);
    }

    fn lead(&mut self, id: Enrolment, token: FencingToken) {
        self.change_state(id, |state| *state = State::Leading { token });
        let Some(candidacy) = self.candidacies.get(&id) else { return };
        if let Some(election) = self.by_name.get_mut(&candidacy.election) {
            assert!(election.leader.is_none(), "two leaders of {}", candidacy.election);
            election.queue.remove(&candidacy.key());
            election.leader = Some(id);
            self.leaders += 1;
        }
    }

    fn announce(&mut self, turn: &mut Turn<'_>, id: Enrolment, revision: Option<FencingToken>, reason: ChangeReason) {
        let Some(candidacy) = self.candidacies.get(&id) else { return };
        let (name, stream) = (candidacy.election.clone(), candidacy.stream);
        if let Some(event) = candidacy.lead(turn) {
            turn.event(stream, event);
        }
        self.changed(turn, &name, revision, reason);
    }
}
