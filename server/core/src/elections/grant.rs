//! Grants: who gets the lead, and when.

use super::{Elections, Place, State, Turn};
use crate::must::Must;
use crate::{ChangeReason, ElectionName, EndReason, Enrolment, FencingToken, Millis, Revision, StateVersion, Time};

impl Elections {
    /// Grants a vacant election to the first in its queue, unless the tenure hasn't settled (rule
    /// `wait`) or the election is on hold. Forgets an election that has nobody left.
    pub(super) fn grant_next(&mut self, turn: &mut Turn<'_>, name: &ElectionName) {
        let Some(election) = self.by_name.get(name).must() else { return };
        if election.leader.is_some() || election.held_until.is_some() {
            return;
        }
        match election.queue.first() {
            Some(&Place { id, .. }) if turn.settled() => self.grant(turn, id),
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
        let hold = self.candidacies.get(&id).must().map_or(Millis(0), |candidacy| candidacy.hold);
        if hold > Millis(0) {
            self.hold_until(turn, id, turn.now + hold);
        }
        self.lead(turn, id, token, Revision(token.0), ChangeReason::Elected);
    }

    /// Puts the election of this leader on hold until that moment. The leader remembers a moment
    /// that has passed as well: without it, its tickets would tell the next tenure of a whole hold.
    fn hold_until(&mut self, turn: &Turn<'_>, id: Enrolment, until: Time) {
        let Some(candidacy) = self.candidacies.get_mut(&id).must() else { return };
        candidacy.held_until = Some(until);
        if until > turn.now {
            let name = candidacy.election.clone();
            self.put_on_hold(&name, until);
        }
    }

    /// Makes a waiting candidacy the leader again that it was in the former tenure. Rule
    /// `higher-token-wins`: if the election has such a leader already, the one with the higher
    /// token stays, and the other one ends as overtaken.
    ///
    /// `hold` is what is left of the election's hold. It counts from the beginning of this tenure,
    /// as nobody knows how long the gap before it was.
    pub(super) fn install(&mut self, turn: &mut Turn<'_>, id: Enrolment, token: FencingToken, hold: Millis) {
        let Some(candidacy) = self.candidacies.get(&id).must() else { return };
        if let Some(leader) = self.leader_of(&candidacy.election) {
            let overtaken = if leader.token() > Some(token) { id } else { leader.id };
            self.end(turn, overtaken, EndReason::Overtaken);
            if overtaken == id {
                return;
            }
        }
        let revision = turn.draw();
        self.hold_until(turn, id, turn.active.began + hold);
        self.lead(turn, id, token, revision, ChangeReason::Restored);
    }

    fn lead(&mut self, turn: &mut Turn<'_>, id: Enrolment, token: FencingToken, revision: Revision, why: ChangeReason) {
        self.change_state(id, StateVersion(revision.0), State::Leading { token });
        let Some(candidacy) = self.candidacies.get(&id).must() else { return };
        let name = candidacy.election.clone();
        if let Some(election) = self.by_name.get_mut(&name).must() {
            assert!(election.leader.is_none(), "two leaders of {name}");
            election.queue.remove(&candidacy.place);
            election.leader = Some(id);
            self.leaders += 1;
        }
        turn.event(candidacy.stream, candidacy.version, candidacy.lead(turn, token));
        self.changed(turn, &name, revision, why);
    }
}
