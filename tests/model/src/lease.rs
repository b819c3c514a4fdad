//! The API server: the Lease, the writes on their way to it, and what others do to it.

use crate::model::{Action, Protocol};
use crate::replica;
use crate::rules::Rule;
use crate::state::{Event, Kind, Lease, Role, State, Write};
use crate::world::{Slow, Witness};

/// What somebody does to the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// Empties the holder.
    Empty,
    /// Loses the annotations.
    Strip,
    /// Sets the duration to 1.
    Edit,
    /// Deletes it.
    Delete,
    /// Keeps a copy.
    Keep,
    /// Puts the copy back.
    Restore,
}

pub(crate) fn offer(model: &Protocol, state: &State, out: &mut Vec<Action>) {
    let left = &state.left;
    for (index, write) in state.writes.iter().enumerate() {
        out.push(if write.done.is_some() { Action::Answer(index) } else { Action::Apply(index) });
        if write.awaited && left.lost_answers > 0 {
            out.push(Action::LoseAnswer(index));
        }
    }
    if let Some(lease) = &state.lease {
        let all = [
            (Meddling::Empty, left.empties > 0 && lease.holder.is_some()),
            (Meddling::Strip, left.strips > 0 && lease.notes.is_some()),
            (Meddling::Edit, left.edits > 0 && lease.duration != 1),
            (Meddling::Delete, left.deletions > 0),
            (Meddling::Keep, left.backups > 0 && state.backup.as_ref() != Some(lease)),
        ];
        out.extend(all.into_iter().filter_map(|(what, can)| can.then_some(Action::Meddle(what))));
    }
    if left.restores > 0 && state.backup.is_some() && state.backup != state.lease && is_witnessed(model, state) {
        out.push(Action::Meddle(Meddling::Restore));
    }
}

/// Whether the promises hold across a restore.
fn is_witnessed(model: &Protocol, state: &State) -> bool {
    let mut seen =
        state.replicas.iter().filter(|r| r.role != Role::Down).map(|r| r.memory.tenure == state.truth.tenure);
    match model.world.witness {
        Witness::One => seen.any(|seen| seen),
        // With one of two it would be vacuous: the other one might start, and know nothing.
        Witness::All => seen.clone().count() == state.replicas.len() && seen.all(|seen| seen),
    }
}

/// After a restore those who know must live on until a tenure has begun.
pub(crate) fn may_die(model: &Protocol, state: &State, r: usize) -> bool {
    let knows = |r: &crate::state::Replica| r.role != Role::Down && r.memory.tenure == state.truth.tenure;
    !state.restored
        || match model.world.witness {
            Witness::All => false,
            Witness::One => {
                !knows(&state.replicas[r]) || state.replicas.iter().filter(|replica| knows(replica)).count() > 1
            }
        }
}

pub(crate) fn meddle(model: &Protocol, state: &mut State, what: Meddling) {
    let left = &mut state.left;
    let mut lease = state.lease.clone();
    match what {
        Meddling::Keep => {
            left.backups -= 1;
            state.backup = lease;
            return;
        }
        Meddling::Empty => left.empties -= 1,
        Meddling::Strip => left.strips -= 1,
        Meddling::Edit => left.edits -= 1,
        Meddling::Delete => left.deletions -= 1,
        Meddling::Restore => left.restores -= 1,
    }
    if let Some(lease) = lease.as_mut() {
        match what {
            Meddling::Empty => lease.holder = None,
            Meddling::Strip => lease.notes = None,
            Meddling::Edit => lease.duration = 1,
            Meddling::Delete | Meddling::Keep | Meddling::Restore => {}
        }
    }
    match what {
        Meddling::Delete => lease = None,
        Meddling::Restore => {
            let older = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.notes).map(|notes| notes.tenure);
            lease.clone_from(&state.backup);
            state.restored = older(&lease) < Some(state.truth.tenure);
        }
        _ => {}
    }
    store(model, state, lease);
}

/// A standby that finds no Lease makes an empty one.
pub(crate) fn make_empty(model: &Protocol, state: &mut State, r: usize) {
    let lease = Lease { holder: None, duration: model.world.duration[r], notes: None };
    store(model, state, Some(lease));
}

/// The Lease changes: nobody's version is the newest any more. Watches tell at once.
pub(crate) fn store(model: &Protocol, state: &mut State, lease: Option<Lease>) {
    state.lease = lease;
    for replica in &mut state.replicas {
        match &mut replica.role {
            Role::Standby(standby) => standby.fresh = false,
            Role::Active(active) => active.fresh = false,
            Role::Down | Role::Stopping(_) => {}
        }
    }
    for write in &mut state.writes {
        write.fresh = false;
    }
    if !model.world.lazy {
        for r in 0..state.replicas.len() {
            replica::look(model, state, r);
        }
    }
}

/// A write is sent. Where writes take no time, it is done as well.
pub(crate) fn send(model: &Protocol, state: &mut State, r: usize, kind: Kind, lease: Lease, fresh: bool) {
    let owner = u8::try_from(r).expect("there are two");
    let slow = model.world.slow == Slow::All || (model.world.slow == Slow::Releases && kind == Kind::Release);
    state.writes.push(Write { owner, kind, lease, fresh, sent: 0, awaited: true, done: None });
    if !slow {
        let index = state.writes.len() - 1;
        apply(model, state, index);
        answer(model, state, index);
    }
}

/// Whether a replica waits for an answer.
pub(crate) fn waits(state: &State, r: usize) -> bool {
    state.writes.iter().any(|write| usize::from(write.owner) == r && write.awaited)
}

/// A write arrives at the API server.
pub(crate) fn apply(model: &Protocol, state: &mut State, index: usize) {
    let write = state.writes[index].clone();
    let ok = write.fresh || !model.rules.has(Rule::CompareAndSwap);
    if ok {
        let notes = write.lease.notes.as_ref();
        let own = |lease: &Lease| lease.holder == write.lease.holder && lease.notes.is_some();
        if write.kind == Kind::Renew && !state.lease.as_ref().is_some_and(own) {
            state.last = Some(Event::Repaired);
        }
        if let Kind::Claim(_) = write.kind {
            state.restored = false;
        }
        state.truth.tenure = state.truth.tenure.max(notes.map_or(0, |notes| notes.tenure));
        state.truth.ceiling = state.truth.ceiling.max(notes.map_or(0, |notes| notes.ceiling));
        store(model, state, Some(write.lease));
    }
    if write.awaited {
        state.writes[index].done = Some(ok);
        state.writes[index].fresh = ok;
    } else {
        state.writes.remove(index);
    }
}

/// Its answer arrives.
pub(crate) fn answer(model: &Protocol, state: &mut State, index: usize) {
    let write = state.writes.remove(index);
    replica::written(model, state, write);
}

/// Its answer won't arrive. The write itself may still be on its way.
pub(crate) fn lose_answer(state: &mut State, index: usize) {
    state.left.lost_answers -= 1;
    let write = &mut state.writes[index];
    write.awaited = false;
    let (owner, sent) = (usize::from(write.owner), write.sent);
    let claim = match &write.kind {
        Kind::Claim(claim) => Some(claim.clone()),
        Kind::Renew | Kind::Release => None,
    };
    if write.done.is_some() {
        state.writes.remove(index);
    }
    if let Role::Standby(standby) = &mut state.replicas[owner].role {
        standby.lost = claim.map(|claim| (claim, sent));
    }
}

/// Nobody waits for a replica's answers any more.
pub(crate) fn forget(state: &mut State, r: usize) {
    for write in state.writes.iter_mut().filter(|write| usize::from(write.owner) == r) {
        write.awaited = false;
    }
    state.writes.retain(|write| write.awaited || write.done.is_none());
}
