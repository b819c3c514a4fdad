//! The workers: honest ones, that follow the rules of the contract, or in some worlds those of an
//! older one.

use crate::elections::{self, Turn};
use crate::model::{Action, Protocol, Way};
use crate::rules::Rule;
use crate::state::{Broken, Call, Event, News, Part, Role, State};

/// What this worker, and what keeps its calls, can do next.
pub(crate) fn offer(model: &Protocol, state: &State, w: usize, out: &mut Vec<Action>) {
    let (worker, left) = (&state.workers[w], &state.left);
    let late = left.late_news > 0;
    if worker.news.is_some() {
        out.push(Action::Hear(w));
    }
    for (r, replica) in state.replicas.iter().enumerate() {
        match &replica.role {
            Role::Active(active) if model.serves(active) => {
                let campaigns = left.campaigns > 0 && worker.own.is_none() && active.tenure >= worker.tenure;
                if campaigns && active.next + 2 <= active.ceiling {
                    out.push(Action::Campaign(w, r));
                }
                if let Some(own) = worker.own {
                    if !own.kept {
                        out.push(Action::KeepAlive(w, Way::Direct(r)));
                        if late {
                            out.push(Action::KeepAlive(w, Way::LateAnswer(r)));
                        }
                    }
                    if left.resigns > 0 {
                        out.push(Action::Resign(w, r));
                    }
                }
                if worker.held.is_some() {
                    out.push(Action::Arrive(w, r));
                }
            }
            Role::Standby(_) if worker.own.is_some() && worker.held.is_none() && left.held_by_standby > 0 => {
                out.push(Action::KeepAlive(w, Way::Standby(r)));
            }
            _ => {}
        }
    }
    if worker.own.is_some() && worker.held.is_none() && left.held_by_network > 0 {
        out.push(Action::KeepAlive(w, Way::Network));
    }
    if worker.own.is_some() && left.lost_resigns > 0 {
        out.push(Action::LoseResign(w));
    }
}

pub(crate) fn campaign(model: &Protocol, state: &mut State, w: usize, r: usize) {
    state.left.campaigns -= 1;
    elections::act(model, state, r, |turn| turn.campaign(w));
    settle_news(model, state);
}

pub(crate) fn keep_alive(model: &Protocol, state: &mut State, w: usize, way: Way) {
    let Some(own) = state.workers[w].own.as_mut() else { return };
    let mut call = Call { ticket: own.ticket, sent: 0, at: None };
    match way {
        Way::Direct(r) | Way::LateAnswer(r) => {
            own.kept = true;
            let Some(news) = handle(model, state, w, r, &call, false) else { return };
            if matches!(way, Way::LateAnswer(_)) {
                state.left.late_news -= 1;
                state.workers[w].news = Some(news);
            } else {
                hear(model, state, w, &news);
            }
            settle_news(model, state);
        }
        Way::Standby(r) => {
            state.left.held_by_standby -= 1;
            let knew = match &state.replicas[r].role {
                Role::Standby(standby) => standby.view.as_ref().and_then(|lease| lease.notes),
                _ => None,
            };
            call.at = u8::try_from(r).ok().map(|r| (r, knew.map_or(0, |notes| notes.tenure)));
            state.workers[w].held = Some(call);
        }
        Way::Network => {
            state.left.held_by_network -= 1;
            state.workers[w].held = Some(call);
        }
    }
}

/// What the network or a standby held up arrives at an active replica. Its worker has given it up.
pub(crate) fn arrive(model: &Protocol, state: &mut State, w: usize, r: usize) {
    let Some(call) = state.workers[w].held else { return };
    let Role::Active(active) = &state.replicas[r].role else { return };
    if call.at.is_some_and(|(_, knew)| knew != active.tenure) && model.rules.has(Rule::CallTenure) {
        state.workers[w].held = None;
        state.last = Some(Event::OtherTenure);
        return;
    }
    handle(model, state, w, r, &call, call.at.is_none());
    state.workers[w].held = None;
    settle_news(model, state);
}

fn handle(model: &Protocol, state: &mut State, w: usize, r: usize, call: &Call, late: bool) -> Option<News> {
    let waited = matches!(&state.replicas[r].role, Role::Active(active)
        if active.wait > 0 && active.former.is_some_and(|former| former.tenure == call.ticket.accepted.0));
    let own = state.workers[w].own.filter(|own| own.timer > 0 && own.ticket == call.ticket);
    let leads = own.is_some_and(|own| own.ticket.token.is_some());
    let news = elections::act(model, state, r, |turn: &mut Turn<'_>| turn.keep_alive(w, call, late))?;
    let kept = match news.part {
        Some((Part::Leading(token) | Part::Draining(token), _)) => Some(token) == call.ticket.token,
        Some((Part::Waiting, _)) => false,
        None => !waited,
    };
    if leads && !kept {
        state.truth.broken.get_or_insert(Broken::Continuity);
    }
    Some(news)
}

/// An Elected is heard at once, in worlds where nothing comes late. What nobody waits for any more
/// needn't arrive.
pub(crate) fn settle_news(model: &Protocol, state: &mut State) {
    for w in 0..2 {
        let worker = &mut state.workers[w];
        let waits = |news: &News| worker.own.is_some_and(|own| own.id == news.id);
        if !worker.news.as_ref().is_some_and(waits) {
            worker.news = None;
        } else if model.world.faults.late_news == 0
            && let Some(news) = worker.news.take()
        {
            hear(model, state, w, &news);
        }
    }
}

/// A worker hears an answer or an event.
pub(crate) fn hear(model: &Protocol, state: &mut State, w: usize, news: &News) {
    let worker = &mut state.workers[w];
    if news.tenure < worker.tenure && model.rules.has(Rule::HigherVersion) {
        return;
    }
    worker.tenure = worker.tenure.max(news.tenure);
    let Some(own) = worker.own.as_mut().filter(|own| own.id == news.id) else { return };
    // Whoever takes WAITING for a sign of life only, and leads on, doesn't listen to what is said
    // to a waiter's ticket.
    let leads_on = model.world.old_contract && own.ticket.token.is_some();
    if leads_on && !news.to_leader {
        return;
    }
    let Some((part, ticket)) = news.part else {
        // A later tenure that has put it back, or will by a KeepAlive that is under way, can't
        // know: that lasts one TTL.
        let id = own.id;
        let lives = |role: &Role| {
            matches!(role, Role::Active(active)
                if active.tenure > news.tenure && active.candidacies.iter().any(|c| c.id == id))
        };
        let under_way = worker.held.is_some_and(|call| call.ticket.id == id);
        if !under_way && !state.replicas.iter().any(|replica| lives(&replica.role)) {
            state.truth.over |= 1 << id;
        }
        worker.own = None;
        return;
    };
    if let Some(sent) = news.accepted {
        let sent = if model.rules.has(Rule::FromTheSendWorker) { sent } else { 0 };
        own.timer = own.timer.max(model.world.ttl[w].saturating_sub(sent));
    }
    if (ticket.accepted, ticket.token) > (own.ticket.accepted, own.ticket.token) {
        own.ticket = ticket;
    }
    match part {
        Part::Leading(token) | Part::Draining(token) => own.granted = Some((token, news.tenure)),
        // A later tenure knows nothing of the grant: the worker never led, or it has just been
        // told.
        Part::Waiting if leads_on => {}
        Part::Waiting if own.granted.is_some_and(|(_, tenure)| tenure < news.tenure) => own.granted = None,
        Part::Waiting => {}
    }
}

/// A worker resigns: from here on it doesn't lead. The answer comes at once, or the call is lost.
pub(crate) fn resign(model: &Protocol, state: &mut State, w: usize, at: Option<usize>) {
    let Some(own) = state.workers[w].own.take() else { return };
    if let Some(r) = at {
        state.left.resigns -= 1;
        state.truth.over |= 1 << own.id;
        elections::act(model, state, r, |turn| turn.resign(own.id));
        settle_news(model, state);
    } else {
        state.left.lost_resigns -= 1;
    }
    state.workers[w].news = None;
}
