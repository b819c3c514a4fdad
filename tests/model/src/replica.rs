//! A replica and the Lease: to look, to take over, to renew, to hand over.

use crate::elections;
use crate::lease;
use crate::model::{Action, Protocol};
use crate::rules::Rule;
use crate::state::{
    Active, Candidacy, Claim, Event, Former, Kind, Lease, Memory, Mirror, Notes, Origin, Part, Release, Replica, Role,
    Standby, State, Ticks, Write,
};
use crate::world::Slow;

pub(crate) fn offer(model: &Protocol, state: &State, r: usize, out: &mut Vec<Action>) {
    let (left, role) = (&state.left, &state.replicas[r].role);
    let waits = lease::waits(state, r);
    if *role != Role::Down && left.crashes > 0 && lease::may_die(model, state, r) {
        out.push(Action::Crash(r));
    }
    if *role != Role::Down && left.skews > 0 {
        out.push(Action::Skew(r));
    }
    match role {
        Role::Down => {
            if left.starts > 0 && lease::may_die(model, state, r) {
                out.push(Action::Start(r));
            }
        }
        Role::Standby(standby) => {
            if model.world.lazy && !standby.fresh {
                out.push(Action::Look(r));
            }
            if standby.view.is_none() && standby.fresh {
                out.push(Action::MakeEmpty(r));
            }
            if !waits && may_take_over(model, &state.replicas[r], standby) {
                out.push(Action::TakeOver(r));
            }
        }
        Role::Active(active) if model.serves(active) => {
            if !active.renewed && !active.leaving && !waits {
                out.push(Action::Renew(r));
            }
            if left.stops > 0 && !active.leaving && lease::may_die(model, state, r) {
                out.push(Action::Stop(r, false));
                if model.world.mirror && matches!(state.replicas[1 - r].role, Role::Standby(_)) {
                    out.push(Action::Stop(r, true));
                }
            }
            if left.syncs > 0 && matches!(state.replicas[1 - r].role, Role::Standby(_)) {
                out.push(Action::Sync(r));
            }
            if left.step_downs > 0 && active.candidacies.iter().any(|c| matches!(c.part, Part::Leading(_))) {
                out.push(Action::StepDown(r));
            }
            if model.world.lazy && is_due(active) {
                out.push(Action::Wake(r));
            }
        }
        Role::Active(_) | Role::Stopping(_) => {}
    }
}

fn is_due(active: &Active) -> bool {
    let queue = active.candidacies.iter().any(|c| c.part == Part::Waiting);
    let leader = active.candidacies.iter().any(|c| c.token().is_some());
    active.candidacies.iter().any(|c| c.timer == 0) || (active.wait == 0 && queue && !leader)
}

/// A standby sees what stands there.
pub(crate) fn look(model: &Protocol, state: &mut State, r: usize) {
    let found = state.lease.clone();
    let Replica { role, memory, .. } = &mut state.replicas[r];
    let Role::Standby(standby) = role else { return };
    remember(model, memory, found.as_ref());
    if let Some(lease) = found.as_ref().filter(|_| model.rules.has(Rule::RestoredStripped))
        && lease.notes.is_some_and(|notes| is_older(model, memory, &notes))
    {
        let lease = Lease { holder: None, notes: None, ..lease.clone() };
        state.last = Some(Event::RestoreDetected);
        lease::store(model, state, Some(lease));
        if model.world.lazy {
            look(model, state, r);
        }
        return;
    }
    let first_look = standby.quiet == Ticks::MAX;
    if found != standby.view || first_look {
        if first_look || model.rules.has(Rule::WholeDurationUnchanged) {
            standby.quiet = model.world.duration[r];
            if model.rules.has(Rule::WholeDurationLongest) {
                standby.quiet = standby.quiet.max(memory.duration);
            }
        }
        standby.view.clone_from(&found);
    }
    standby.fresh = true;
    let notes = found.as_ref().and_then(|lease| lease.notes);
    let holder = found.as_ref().and_then(|lease| lease.holder);
    if let (Some(notes), Some(_)) = (notes, holder) {
        standby.held = Some((notes.tenure, memory.duration.max(model.world.duration[r])));
    }
    // Its own claim, whose answer never came.
    let own = |claim: &Claim| {
        holder == u8::try_from(r).ok() && notes.is_some_and(|n| n.tenure == claim.tenure && n.mark == claim.mark)
    };
    if let Some((claim, sent)) = standby.lost.take_if(|(claim, _)| own(claim)) {
        state.last = Some(Event::ClaimFound);
        let sent = if model.rules.has(Rule::FromTheSendClaim) { sent } else { 0 };
        begin(model, state, r, &claim, sent, true);
    }
}

fn remember(model: &Protocol, memory: &mut Memory, found: Option<&Lease>) {
    let Some(lease) = found else { return };
    memory.duration = memory.duration.max(lease.duration);
    let Some(notes) = lease.notes else { return };
    if model.rules.has(Rule::WholeDurationWritten) {
        memory.duration = memory.duration.max(notes.duration);
    }
    memory.ceiling = memory.ceiling.max(notes.ceiling);
    if notes.tenure == memory.tenure {
        memory.renewed_at = memory.renewed_at.max(notes.renewed_at);
    }
    if notes.tenure > memory.tenure {
        memory.tenure = notes.tenure;
        memory.renewed_at = notes.renewed_at;
        if !model.rules.has(Rule::ReplacedOnly) {
            memory.first = Some(notes);
        }
    }
}

/// Whether an older Lease than one seen was put back.
fn is_older(model: &Protocol, memory: &Memory, notes: &Notes) -> bool {
    let within = notes.tenure == memory.tenure && notes.renewed_at < memory.renewed_at;
    (notes.tenure < memory.tenure && model.rules.has(Rule::RestoredSaysNothing))
        || (within && model.rules.has(Rule::RestoredSaysNothingWithin))
}

fn may_take_over(model: &Protocol, replica: &Replica, standby: &Standby) -> bool {
    let Some(found) = &standby.view else { return false };
    if standby.quiet == 0 || !model.rules.has(Rule::WholeDuration) {
        return true;
    }
    if found.holder.is_some() {
        return false;
    }
    let Some(notes) = found.notes else {
        return !model.rules.has(Rule::UnknownHolds) || !model.rules.has(Rule::ReleaseNamed);
    };
    let named = notes.released.is_some() || !model.rules.has(Rule::ReleaseNamed);
    let seen = standby.held.is_some_and(|(tenure, left)| tenure == notes.tenure && left > 0);
    named && ((seen && replica.memory.tenure <= notes.tenure) || !model.rules.has(Rule::ReleaseSeen))
}

pub(crate) fn take_over(model: &Protocol, state: &mut State, r: usize) {
    let Replica { role, memory, mirror } = &state.replicas[r];
    let Role::Standby(standby) = role else { return };
    let Some(found) = &standby.view else { return };
    let rules = model.rules;
    let restored = found.notes.is_some_and(|notes| is_older(model, memory, &notes));
    let notes = if rules.has(Rule::ReplacedOnly) { found.notes } else { memory.first.or(found.notes) };
    let usable = notes.filter(|_| !restored);
    let own_ttl = model.world.max_ttl[r];
    let longest = notes.map_or(own_ttl, |notes| notes.longest_ttl.max(own_ttl));
    let wait = match usable {
        Some(notes) if rules.has(Rule::WaitOfLease) => notes.longest_ttl,
        None if restored => longest,
        _ => own_ttl,
    };
    let is_complete = |mirror: &&Mirror| {
        let last = |notes: Notes| notes.tenure == mirror.tenure && notes.released.is_some_and(|end| end.complete);
        usable.is_some_and(last) && (mirror.current || !rules.has(Rule::MirrorComplete))
    };
    let carried = mirror.as_ref().filter(is_complete).map(|mirror| mirror.candidacies.clone());
    let event = match (&carried, restored, standby.quiet) {
        (Some(_), ..) => Some(Event::HandedOver),
        (_, true, _) => Some(Event::RestoreDetected),
        (.., 1..) => Some(Event::ReleaseTaken),
        _ => None,
    };
    let tenure = first_number(model, state, memory, notes, restored);
    let waits = carried.is_none() && rules.has(Rule::Wait);
    let marked = model.world.slow == Slow::All && rules.has(Rule::OwnWrites);
    let claim = Claim {
        tenure,
        mark: if marked { state.truth.claims + 1 } else { 0 },
        wait: if waits { wait + model.drift() } else { 0 },
        former: usable.map(|notes| former(model, found, &notes)),
        longest_ttl: if rules.has(Rule::LongestTtlRises) { longest } else { own_ttl },
        carried: carried.unwrap_or_default(),
    };
    let fresh = standby.fresh;
    let mut lease = model.claim_of(r, claim.tenure, claim.longest_ttl, 0);
    lease.notes = lease.notes.map(|notes| Notes { mark: claim.mark, ..notes });
    state.truth.claims = claim.mark;
    state.last = event;
    lease::send(model, state, r, Kind::Claim(Box::new(claim)), lease, fresh);
}

fn first_number(model: &Protocol, state: &State, memory: &Memory, notes: Option<Notes>, restored: bool) -> u8 {
    if !model.rules.has(Rule::Ceiling) {
        return notes.map_or(0, |notes| notes.tenure) + 1;
    }
    // Where the Lease tells, the clock may have been set back. Where it doesn't, the clock has to
    // be right.
    let clock = (notes.is_none() || restored) && model.rules.has(Rule::Floor);
    let floor = if clock { state.truth.ceiling } else { 1 };
    notes.map_or(0, |notes| notes.ceiling).max(memory.ceiling).max(floor)
}

fn former(model: &Protocol, found: &Lease, notes: &Notes) -> Former {
    let duration = if model.rules.has(Rule::WholeDurationWritten) { notes.duration } else { found.duration };
    let lasts = if model.rules.has(Rule::RecencyRight) { duration.saturating_sub(model.margin()) } else { 0 };
    let by_right = notes.renewed_at + lasts;
    let right_ended = notes.released.map_or(by_right, |end| end.ended_at.min(by_right));
    Former { tenure: notes.tenure, right_ended }
}

/// A tenure begins, `sent` ticks after its claim was sent.
fn begin(model: &Protocol, state: &mut State, r: usize, claim: &Claim, sent: Ticks, fresh: bool) {
    let right = model.right(r).saturating_sub(sent);
    if right == 0 {
        return;
    }
    let restored = |carried: &Candidacy| {
        let drains = matches!(carried.part, Part::Draining(_));
        let timer = if drains { carried.timer } else { model.world.ttl[usize::from(carried.worker)] + model.drift() };
        let keeps = drains && model.rules.has(Rule::DrainTicket);
        let accepted = if keeps { carried.accepted } else { (claim.tenure, sent) };
        Candidacy { timer, accepted, origin: Origin::Mirror, ..*carried }
    };
    let active = Active {
        tenure: claim.tenure,
        age: sent,
        right,
        wait: claim.wait.saturating_sub(sent),
        next: claim.tenure + 1,
        ceiling: claim.tenure + model.world.headroom,
        longest_ttl: claim.longest_ttl,
        former: claim.former,
        renewed: true,
        fresh,
        leaving: false,
        candidacies: claim.carried.iter().map(restored).collect(),
        ended: 0,
        refused: Vec::new(),
    };
    let replica = &mut state.replicas[r];
    if active.tenure > replica.memory.tenure {
        replica.memory.tenure = active.tenure;
        replica.memory.renewed_at = 0;
    }
    replica.memory.ceiling = replica.memory.ceiling.max(active.ceiling);
    replica.memory.duration = replica.memory.duration.max(model.world.duration[r]);
    replica.mirror = None;
    replica.role = Role::Active(active);
    if !model.world.lazy {
        elections::act(model, state, r, |_| ());
    }
}

pub(crate) fn renew(model: &Protocol, state: &mut State, r: usize) {
    let Role::Active(active) = &mut state.replicas[r].role else { return };
    active.renewed = true;
    let fresh = active.fresh;
    let lease = model.claim_of(r, active.tenure, active.longest_ttl, active.age);
    lease::send(model, state, r, Kind::Renew, lease, fresh);
}

/// The answer to a write arrives.
pub(crate) fn written(model: &Protocol, state: &mut State, write: Write) {
    let r = usize::from(write.owner);
    let ok = write.done == Some(true);
    let sent = if model.rules.has(Rule::FromTheSendRight) { write.sent } else { 0 };
    match (&mut state.replicas[r].role, write.kind) {
        (Role::Standby(_), Kind::Claim(claim)) => {
            if ok && model.right(r) > sent {
                begin(model, state, r, &claim, sent, write.fresh);
            } else {
                look(model, state, r);
            }
        }
        (Role::Active(_), Kind::Renew) if ok => {
            let renewed_at = write.lease.notes.map_or(0, |notes| notes.renewed_at);
            state.replicas[r].memory.renewed_at = renewed_at;
            let Role::Active(active) = &mut state.replicas[r].role else { return };
            active.right = active.right.max(model.right(r).saturating_sub(sent));
            active.fresh = write.fresh;
        }
        (Role::Active(_), Kind::Renew) => conflict(model, state, r),
        (Role::Stopping(_) | Role::Active(_), Kind::Release) if ok => {
            // A replica that serves on after its release does so until its right ends.
            if matches!(state.replicas[r].role, Role::Stopping(_)) {
                go_down(state, r);
            }
        }
        (Role::Stopping(notes), Kind::Release) => {
            let notes = *notes;
            let own = |lease: &Lease| {
                lease.holder == Some(write.owner) && lease.notes.map(|n| n.tenure) == Some(notes.tenure)
            };
            if state.lease.as_ref().is_some_and(own) || !model.rules.has(Rule::ReleaseChecks) {
                lease::send(model, state, r, Kind::Release, write.lease, true);
            } else {
                go_down(state, r);
            }
        }
        _ => {}
    }
}

/// A renewal met another version: the holder reads, and repairs (rule `holder-repairs`) or stops.
fn conflict(model: &Protocol, state: &mut State, r: usize) {
    let found = state.lease.clone();
    let holder = found.as_ref().and_then(|lease| lease.holder);
    let other = holder.is_some_and(|holder| usize::from(holder) != r);
    remember(model, &mut state.replicas[r].memory, found.as_ref());
    let Role::Active(active) = &mut state.replicas[r].role else { return };
    if other && model.rules.has(Rule::YieldToOther) {
        stand_by(model, state, r);
        return;
    }
    active.fresh = true;
    active.renewed = false;
    if model.world.slow != Slow::All {
        renew(model, state, r);
    }
}

/// A replica that isn't active, or not any more, looks at the Lease.
pub(crate) fn stand_by(model: &Protocol, state: &mut State, r: usize) {
    lease::forget(state, r);
    let standby = Standby { view: None, fresh: false, quiet: Ticks::MAX, held: None, lost: None };
    state.replicas[r].role = Role::Standby(standby);
    look(model, state, r);
}

pub(crate) fn stop(model: &Protocol, state: &mut State, r: usize, tells: bool) {
    state.left.stops -= 1;
    if tells {
        sync(state, r);
    }
    let Role::Active(active) = &mut state.replicas[r].role else { return };
    let mut lease = model.claim_of(r, active.tenure, active.longest_ttl, active.age);
    lease.holder = None;
    let complete = active.wait == 0 || !model.rules.has(Rule::WaitCutShort);
    let Some(notes) = lease.notes.as_mut() else { return };
    notes.released = Some(Release { ended_at: active.age, complete });
    let (notes, fresh) = (*notes, active.fresh);
    if model.rules.has(Rule::StopFirst) {
        state.replicas[r].role = Role::Stopping(notes);
    } else {
        active.leaving = true;
    }
    lease::forget(state, r);
    lease::send(model, state, r, Kind::Release, lease, fresh);
}

/// The other replica's mirror gets all there is. What doesn't count at a takeover isn't kept.
pub(crate) fn sync(state: &mut State, r: usize) {
    let Role::Active(active) = &state.replicas[r].role else { return };
    let copy = |candidacy: &Candidacy| match candidacy.part {
        Part::Draining(_) => *candidacy,
        Part::Waiting | Part::Leading(_) => {
            Candidacy { timer: 0, accepted: (0, 0), origin: Origin::Mirror, ..*candidacy }
        }
    };
    let candidacies = active.candidacies.iter().map(copy).collect();
    let mirror = Mirror { tenure: active.tenure, current: true, candidacies };
    state.replicas[1 - r].mirror = Some(mirror);
}

/// A process ends, and with it what it held and knew. Its writes may still be on their way.
pub(crate) fn go_down(state: &mut State, r: usize) {
    lease::forget(state, r);
    state.replicas[r] = Replica { role: Role::Down, memory: Memory::default(), mirror: None };
    for worker in &mut state.workers {
        worker.held.take_if(|call| call.at.is_some_and(|(at, _)| usize::from(at) == r));
    }
}
