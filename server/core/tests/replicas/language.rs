//! The language of the transcripts of several replicas: a, b and c. Whoever isn't named is the one
//! that is active.
//!
//! ```text
//! start a [max-ttl=15s] [duration=8s] [renew=2s] [margin=1s]     a process starts
//! crash a [arrives]                   it is killed; a request that was under way arrives all the same
//! shutdown a                          it ends in good order
//! pause a, resume a                   it stands still (SIGSTOP), and goes on with what has come in meanwhile
//! advance 5s                          time passes, and replicas look whenever they want to
//! api a=works|fails|loses-replies|hangs|conflicts|cut-off|no-create [there=100ms] [back=100ms]
//!                                     what becomes of its requests to the API server
//! watch a=on|off|held                 whether it is told of changes of the Lease; on again: of what stands there now
//! mirror a=on|off|held                whether it mirrors the active replica
//! clock a=N                           its wall clock stands still, and vouches for that number
//! lease                               what stands there
//! edit delete|empty|take|renew|give-back|strip|label|upgrade [by=other] [duration=15s] [save=r] [restore=r]
//!                                     somebody else: deletes it; applies the manifest, with an empty holder; takes it, renews it
//!                                     and gives it back as client-go does; strips our annotations; labels it; takes it over as a
//!                                     replica of a later version, in a format of its own; or only changes the duration; keeps
//!                                     what stands there, or puts it back
//! campaign x election=a ..., reopen x, keep-alive x, resign x, proclaim x value=v, save x as=t, ticket x, step-down a,
//! verify a of=x, get a, status        as with one replica, and [at=b] or [via=b [hold=k]]: forwarded by a standby, and held up
//! let-go k [to=c]                     what was held up arrives
//! show-all, hide                      renewals, reads, rights and mirrors are shown as well
//! ```

use crate::api::{address, name_at};
use crate::args::{election, entry, flag, length, need, optional, text, word};
use crate::group::Group;
use crate::link::Mode;
use crate::member::Flow;
use crate::show::lease_words;
use datadriven::TestCase;
use leasehold_core::{
    Ask, CallId, Ceiling, ClockFloor, Config, Content, FencingToken, HEADROOM, Holder, Input, Millis, Newer, StreamId,
    Tenure, Ticket, Value,
};
use std::collections::VecDeque;

/// Does what one case says, and lets everything come to rest.
pub(crate) fn run(group: &mut Group, case: &TestCase) -> Result<(), String> {
    let mut case = case.clone();
    if !case.input.is_empty() {
        return Err(format!("{:?} isn't understood: a command is one line", case.input));
    }
    match case.directive.clone().as_str() {
        "start" | "crash" | "shutdown" | "pause" | "resume" => process(group, &mut case)?,
        "advance" => {
            let time = crate::args::duration(&word(&mut case)?)?;
            group.advance(time);
        }
        "api" | "watch" | "mirror" | "clock" => network(group, &mut case)?,
        "edit" => edit(group, &mut case)?,
        "lease" => {
            let line = format!("Lease {}", lease_words(&group.numbers, group.api.lease.as_ref()));
            group.say(&line);
        }
        "show-all" => group.show_all = true,
        "hide" => group.show_all = false,
        "let-go" => {
            let to = optional::<String>(&mut case, "to")?;
            let (target, input) = group.held.remove(&word(&mut case)?).ok_or("nothing of that name is held")?;
            group.tell(&to.unwrap_or(target), input);
        }
        "save" | "ticket" => {
            let name = optional::<String>(&mut case, "as")?;
            let (_, ticket) = ticket(group, &mut case)?;
            match name {
                Some(name) => drop(group.tickets.insert(name, ticket)),
                None => group.say(&group.numbers.ticket(&ticket)),
            }
        }
        _ => call(group, &mut case)?,
    }
    group.settle();
    case.expect_empty().map_err(text)
}

fn process(group: &mut Group, case: &mut TestCase) -> Result<(), String> {
    let now = group.now;
    let what = case.directive.clone();
    let mut settings = ["max-ttl", "duration", "renew", "margin"].map(|name| length(case, name)).into_iter();
    let mut setting = || settings.next().expect("as many as are asked for");
    let (max_ttl, duration, renew, margin) = (setting()?, setting()?, setting()?, setting()?);
    let arrives = flag(case, "arrives")?;
    let name = word(case)?;
    let member = group.members.get_mut(&name).ok_or_else(|| format!("there is no replica {name}"))?;
    match what.as_str() {
        "start" if member.replica.is_some() => return Err(format!("{name} runs already")),
        "start" => {
            member.start(|me: Holder| {
                let config = Config::replica(me, max_ttl.unwrap_or(Millis(15_000)));
                Config {
                    duration: duration.unwrap_or(config.duration),
                    renew_interval: renew.unwrap_or(config.renew_interval),
                    margin: margin.unwrap_or(config.margin),
                    ..config
                }
            });
            group.listen(&name);
        }
        "crash" => {
            member.link.crash(&mut group.api, arrives, now);
            member.end();
            group.mirrors_break(&name);
        }
        "shutdown" => group.tell(&name, Input::Shutdown),
        "pause" => member.inbox = Some(VecDeque::new()),
        _ => {
            let inbox = member.inbox.take().ok_or_else(|| format!("{name} isn't paused"))?;
            for input in inbox.into_iter().chain([Input::Tick]) {
                group.tell(&name, input);
            }
        }
    }
    Ok(())
}

fn network(group: &mut Group, case: &mut TestCase) -> Result<(), String> {
    let (there, back) = (length(case, "there")?, length(case, "back")?);
    for name in group.members.keys().cloned().collect::<Vec<_>>() {
        let Some(how) = optional::<String>(case, &name)? else { continue };
        match case.directive.as_str() {
            "api" => {
                let (mode, now) = (mode(&how)?, group.now);
                let link = &mut group.members.get_mut(&name).expect("it is one of them").link;
                let healed = link.mode == Mode::CutOff && mode != Mode::CutOff;
                link.change(&mut group.api, mode, now);
                (link.there, link.back) = (there.unwrap_or(Millis(0)), back.unwrap_or(Millis(0)));
                if healed {
                    group.watch_anew(&name);
                }
            }
            "clock" => group.set_clock(&name, ClockFloor(how.parse().map_err(text)?)),
            "watch" => {
                let state = flow(&how)?;
                let member = group.member(&name);
                let was = member.watch.state;
                for input in member.watch.change(state) {
                    group.tell(&name, input);
                }
                if was == Flow::Off && state == Flow::On {
                    group.watch_anew(&name);
                }
            }
            _ => {
                for input in group.member(&name).mirror.change(flow(&how)?) {
                    group.tell(&name, input);
                }
                group.leave_mirror(&name);
            }
        }
    }
    Ok(())
}

fn mode(how: &str) -> Result<Mode, String> {
    Ok(match how {
        "works" => Mode::Works,
        "fails" => Mode::Fails,
        "loses-replies" => Mode::LosesReplies,
        "hangs" => Mode::Hangs,
        "conflicts" => Mode::Conflicts,
        "cut-off" => Mode::CutOff,
        "no-create" => Mode::NoCreate,
        _ => return Err(format!("an API server can't be told that it {how}")),
    })
}

fn flow(how: &str) -> Result<Flow, String> {
    Ok(match how {
        "on" => Flow::On,
        "off" => Flow::Off,
        "held" => Flow::Held,
        _ => return Err(format!("a stream isn't {how}")),
    })
}

fn edit(group: &mut Group, case: &mut TestCase) -> Result<(), String> {
    let now = group.now.0.to_string();
    if let Some(name) = optional::<String>(case, "save")? {
        return group.api.save(name);
    }
    if let Some(name) = optional::<String>(case, "restore")? {
        return group.api.restore(&name);
    }
    let (duration, ttl, by) = (length(case, "duration")?, length(case, "ttl")?, optional::<String>(case, "by")?);
    let strips = case.args.len() > 1 && flag(case, "strip")?;
    let what = if case.args.is_empty() { "duration".to_owned() } else { word(case)? };
    if what == "delete" {
        group.api.delete();
        return Ok(());
    }
    group.api.edit(|content| {
        match what.as_str() {
            "empty" => (content.holder, content.duration) = (None, Some(Millis(15_000))),
            "take" => (content.holder, content.renew_time) = (by.map(Holder), now),
            "renew" => content.renew_time = now,
            "give-back" => (content.holder, content.duration, content.renew_time) = (None, Some(Millis(1000)), now),
            "strip" => content.signed = None,
            "upgrade" => upgrade(content, &by.unwrap_or_default(), duration, ttl),
            _ => {}
        }
        content.duration = duration.or(content.duration);
        content.signed = content.signed.take().filter(|_| !strips);
    });
    Ok(())
}

/// A replica of a later version takes the Lease over.
fn upgrade(content: &mut Content, by: &str, duration: Option<Millis>, ttl: Option<Millis>) {
    let Some(before) = content.signed.take() else { return };
    let (by, address, tenure) = (Holder(by.to_owned()), address(by), Tenure(before.record.ceiling.0));
    content.holder = Some(by.clone());
    let (duration, longest_ttl) =
        (duration.unwrap_or(before.record.duration), ttl.unwrap_or(before.record.longest_ttl));
    content.newer = Some(Newer { by, address, tenure, ceiling: Ceiling(tenure.0 + HEADROOM), duration, longest_ttl });
}

/// A worker's call, or an operator's: at a replica, or forwarded by one.
fn call(group: &mut Group, case: &mut TestCase) -> Result<(), String> {
    let (at, via) = (optional::<String>(case, "at")?, optional::<String>(case, "via")?);
    let hold = optional::<String>(case, "hold")?;
    let input = input(group, case)?;
    let active = |group: &Group| {
        let mut members = group.members.values();
        members.find(|m| m.tenure().is_some() && m.inbox.is_none()).map(|m| m.name.clone())
    };
    let reaches = match via {
        Some(via) => group.member(&via).follows.clone().map(|follows| {
            let input = Input::Forwarded { tenure: follows.tenure, input: Box::new(input) };
            (name_at(&follows.address).to_owned(), input)
        }),
        None => at.or_else(|| active(group)).map(|target| (target, input)),
    };
    let Some((target, input)) = reaches else {
        group.say("nobody is known to be active");
        return Ok(());
    };
    match hold {
        Some(name) => drop(group.held.insert(name, (target, input))),
        None => group.tell(&target, input),
    }
    Ok(())
}

fn input(group: &mut Group, case: &mut TestCase) -> Result<Input, String> {
    match case.directive.as_str() {
        "campaign" => {
            let (worker, entry) = entry(case)?;
            let stream = new_stream(group, &worker);
            return Ok(Input::Campaign { stream, entry });
        }
        "reopen" => {
            let (worker, ticket) = ticket(group, case)?;
            let stream = new_stream(group, &worker);
            return Ok(Input::Reopen { stream, ticket });
        }
        _ => {}
    }
    let (worker, ask) = ask(group, case)?;
    let call = CallId(group.new_id());
    group.callers.insert(call, worker);
    Ok(Input::Call { call, ask })
}

fn ask(group: &mut Group, case: &mut TestCase) -> Result<(String, Ask), String> {
    let token = match optional::<String>(case, "of")? {
        Some(worker) => Some(group.workers.get(&worker).and_then(|worker| worker.token).ok_or("has no token")?),
        None => None,
    };
    let nobody = String::new();
    Ok(match case.directive.as_str() {
        "keep-alive" => {
            let (worker, ticket) = ticket(group, case)?;
            (worker, Ask::KeepAlive(vec![ticket]))
        }
        "resign" => {
            let (worker, ticket) = ticket(group, case)?;
            (worker, Ask::Resign(ticket))
        }
        "proclaim" => {
            let value = Value::new(&need::<String>(case, "value")?).map_err(text)?;
            let (worker, ticket) = ticket(group, case)?;
            (worker, Ask::Proclaim(ticket, value))
        }
        "step-down" => (nobody, Ask::StepDown(election(&word(case)?)?, token)),
        "verify" => (nobody, Ask::Verify(election(&word(case)?)?, token.unwrap_or(FencingToken(0)))),
        "get" => (nobody, Ask::Get(election(&word(case)?)?)),
        "status" => (nobody, Ask::Status),
        other => return Err(format!("{other} isn't a word of this language")),
    })
}

fn new_stream(group: &mut Group, worker: &str) -> StreamId {
    let stream = StreamId(group.new_id());
    group.streams.insert(stream, worker.to_owned());
    stream
}

/// Whose ticket, and which.
fn ticket(group: &Group, case: &mut TestCase) -> Result<(String, Ticket), String> {
    let saved = optional::<String>(case, "ticket")?;
    let worker = word(case)?;
    let ticket = match saved {
        Some(name) => group.tickets.get(&name).cloned(),
        None => group.workers.get(&worker).and_then(|worker| worker.ticket.clone()),
    };
    let ticket = ticket.ok_or_else(|| format!("{worker} has no such ticket"))?;
    Ok((worker, ticket))
}
