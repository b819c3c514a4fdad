//! The language of the transcripts.
//!
//! ```text
//! start [max-ttl=15s] [elections=N] [candidacies=N] [per-election=N] [per-subject=N] [bytes=N] [ends=N]
//!                                     a process starts on what the store holds; with same-boot it
//!                                     knows when the last one was gone
//! crash [stored]                      it is killed; a write that is under way was stored
//! shutdown                            it ends in good order
//! advance 5s                          time passes, and the replica looks whenever it wants to
//! pause 5s                            time passes, and the process stands still (SIGSTOP); the store goes on
//! campaign x election=a [ttl=15s] [name=n] [subject=s] [value=v] [no-wait] [max-wait=5s] [replace-former] [attempt=t] [hold=1m]
//!                                     [pod=u] [replace-former-of-the-pod]
//!                                     the worker x enters; its stream is called x, its candidate name is n (or x)
//! reopen x, close x                   its stream is opened again, or breaks
//!                                     (value-bytes=N: one of so many bytes)
//! keep-alive x, resign x, proclaim x value=v [times=N]
//!                                     with its latest ticket; or ticket=t: with one that was saved
//! save x as=t                         saves its latest ticket
//! step-down a [of=x], verify a of=x   with the latest token that x was given
//! get a, list [prefix=p] [after=a] limit=N, status, ticket x
//! store works|fails|loses-replies|hangs|full|lost [latency=200ms], clock-floor N
//! record [save=r] [restore=r] [remove]
//! show-store, hide-store              whether reads, writes and the right are shown
//! show-versions                       which state of a candidacy each word is about, and after which change observers resume
//! ```

use crate::args::{duration, election, entry, flag, length, need, optional, text, value, word};
use crate::store::Mode;
use crate::world::{World, found_words};
use datadriven::TestCase;
use leasehold_core::{Ask, ClockFloor, Config, FencingToken, Found, Input, Limits, Millis, Ticket};

/// Does what one case says.
pub(crate) fn run(world: &mut World, case: &TestCase) -> Result<(), String> {
    let mut case = case.clone();
    if !case.input.is_empty() {
        return Err(format!("{:?} isn't understood: a command is one line", case.input));
    }
    match case.directive.clone().as_str() {
        "start" => start(world, &mut case)?,
        "crash" => {
            world.store.drop_jobs(flag(&mut case, "stored")?);
            world.replica = None;
        }
        "shutdown" => world.tell(Input::Shutdown),
        "advance" => {
            let time = duration(&word(&mut case)?)?;
            world.advance(time);
        }
        "pause" => {
            world.now = world.now + duration(&word(&mut case)?)?;
            world.tell(Input::Tick);
        }
        "campaign" => campaign(world, &mut case)?,
        "reopen" => {
            let (worker, ticket) = ticket(world, &mut case)?;
            let stream = world.new_stream(&worker);
            world.tell(Input::Reopen { stream, ticket });
        }
        "close" => {
            let worker = word(&mut case)?;
            let stream = world.workers.get(&worker).and_then(|worker| worker.stream).ok_or("has no stream")?;
            world.tell(Input::StreamClosed { stream });
        }
        "keep-alive" => {
            let (worker, ticket) = ticket(world, &mut case)?;
            world.call(vec![worker], Ask::KeepAlive(vec![ticket]));
        }
        "resign" => {
            let (worker, ticket) = ticket(world, &mut case)?;
            world.call(vec![worker], Ask::Resign(ticket));
        }
        "proclaim" => proclaim(world, &mut case)?,
        "save" => {
            let name: String = need(&mut case, "as")?;
            let (_, ticket) = ticket(world, &mut case)?;
            world.tickets.insert(name, ticket);
        }
        "store" | "clock-floor" | "record" | "show-store" | "hide-store" | "show-versions" | "ticket" => {
            aside(world, &mut case)?
        }
        _ => ask(world, &mut case)?,
    }
    case.expect_empty().map_err(text)
}

fn start(world: &mut World, case: &mut TestCase) -> Result<(), String> {
    let max_ttl = length(case, "max-ttl")?.unwrap_or(Millis(15_000));
    let mut config = Config::embedded(max_ttl);
    let limits: &mut Limits = &mut config.limits;
    for (name, limit) in [
        ("elections", &mut limits.elections),
        ("candidacies", &mut limits.candidacies),
        ("per-election", &mut limits.candidacies_per_election),
        ("per-subject", &mut limits.candidacies_per_subject),
        ("bytes", &mut limits.bytes),
        ("ends", &mut limits.remembered_ends),
    ] {
        *limit = optional(case, name)?.unwrap_or(*limit);
    }
    world.store.bound(world.now, flag(case, "same-boot")?);
    world.start(config);
    Ok(())
}

fn campaign(world: &mut World, case: &mut TestCase) -> Result<(), String> {
    let (worker, entry) = entry(case)?;
    let stream = world.new_stream(&worker);
    world.tell(Input::Campaign { stream, entry });
    Ok(())
}

fn proclaim(world: &mut World, case: &mut TestCase) -> Result<(), String> {
    let value = value(case)?;
    let times = optional(case, "times")?.unwrap_or(1);
    let (worker, ticket) = ticket(world, case)?;
    world.quiet = true;
    for _ in 1..times {
        world.call(vec![worker.clone()], Ask::Proclaim(ticket.clone(), value.clone()));
    }
    world.quiet = false;
    world.call(vec![worker], Ask::Proclaim(ticket, value));
    Ok(())
}

/// Calls that change nothing but by an operator's wish.
fn ask(world: &mut World, case: &mut TestCase) -> Result<(), String> {
    let token = match optional::<String>(case, "of")? {
        Some(worker) => Some(world.workers.get(&worker).and_then(|worker| worker.token).ok_or("has no token")?),
        None => None,
    };
    let ask = match case.directive.as_str() {
        "step-down" => Ask::StepDown(election(&word(case)?)?, token),
        "verify" => Ask::Verify(election(&word(case)?)?, token.unwrap_or(FencingToken(0))),
        "get" => Ask::Get(election(&word(case)?)?),
        "list" => Ask::List {
            prefix: optional(case, "prefix")?.unwrap_or_default(),
            after: optional(case, "after")?,
            limit: need(case, "limit")?,
        },
        "status" => Ask::Status,
        other => return Err(format!("{other} isn't a word of this language")),
    };
    world.call(Vec::new(), ask);
    Ok(())
}

/// What the replica doesn't notice, or not at once.
fn aside(world: &mut World, case: &mut TestCase) -> Result<(), String> {
    match case.directive.as_str() {
        "store" => {
            let latency = length(case, "latency")?.unwrap_or(Millis(0));
            let mode = match word(case)?.as_str() {
                "works" => Mode::Works,
                "fails" => Mode::Fails,
                "loses-replies" => Mode::LosesReplies,
                "hangs" => Mode::Hangs,
                "full" => Mode::Full,
                "lost" => Mode::Lost,
                other => return Err(format!("a store can't be told that it {other}")),
            };
            (world.store.mode, world.store.latency) = (mode, latency);
            if world.replica.is_some() {
                world.tell(Input::Tick);
            }
        }
        "clock-floor" => {
            let floor = ClockFloor(word(case)?.parse().map_err(text)?);
            world.numbers.may_go_back |= floor < world.store.clock_floor;
            world.store.clock_floor = floor;
        }
        "record" => {
            if let Some(name) = optional::<String>(case, "save")? {
                world.records.insert(name, world.store.found.clone());
            } else if let Some(name) = optional::<String>(case, "restore")? {
                world.store.found = world.records.get(&name).ok_or("no such record was saved")?.clone();
            } else if flag(case, "remove")? {
                world.store.found = Found::Lost;
            }
            world.say(&found_words(&world.numbers, &world.store.found));
        }
        "show-store" => world.show_store = true,
        "hide-store" => world.show_store = false,
        "show-versions" => world.numbers.show_versions = true,
        _ => {
            let (_, ticket) = ticket(world, case)?;
            world.say(&world.numbers.ticket(&ticket));
        }
    }
    Ok(())
}

/// Whose ticket, and which.
fn ticket(world: &World, case: &mut TestCase) -> Result<(String, Ticket), String> {
    let saved = optional::<String>(case, "ticket")?;
    let worker = word(case)?;
    let ticket = match saved {
        Some(name) => world.tickets.get(&name).cloned(),
        None => world.workers.get(&worker).and_then(|worker| worker.ticket.clone()),
    };
    let ticket = ticket.ok_or_else(|| format!("{worker} has no such ticket"))?;
    Ok((worker, ticket))
}
