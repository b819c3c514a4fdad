//! `leasehold run`.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use futures::FutureExt as _;
use leasehold::{Leadership, Lost};
use rustix::process::Signal;

use super::child::Order;
use super::health::Health;
use super::session::{Outcome, Parts, Session, deadline};
use super::terminal::Terminal;
use super::timing::Timing;
use super::token_file::TokenFile;
use super::{family, launch};
use crate::args::RunArgs;
use crate::commands::Context;
use crate::contest::{Contest, campaign, contend};
use crate::exit::{Exit, Failure};
use crate::reach::{Reached, reach};
use crate::signals::Signals;
use crate::voice::Voice;

/// How long the service is given to hear that the election is free.
const RESIGN_TIME_MAX: Duration = Duration::from_secs(5);

/// Passed on to the command's process group.
const PASSED_ON: [Signal; 7] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH];

pub(crate) async fn run(context: &Context, args: &RunArgs) -> anyhow::Result<Exit> {
    let service = context.environment();
    let timing =
        Timing::new(args.candidate.ttl, args.grace).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    launch::check(&args.command[0])?;
    TokenFile::try_out().map_err(|error| cannot_make_file(&error))?;
    family::adopt_orphans()?;
    let mut signals = Signals::of(PASSED_ON.map(Signal::as_raw))?;
    let voice = context.voice(args.quiet);
    let (client, patience) = match reach(context, args.candidate.patience(), &mut signals, voice).await? {
        Reached::Client { client, patience } => (client, patience),
        Reached::Interrupted(signal) => return Ok(Exit::signal(signal)),
    };
    let election = args.candidate.election.as_str();
    let tell = |standing| {
        voice.standing(election, standing);
        Ok(())
    };
    let health = Health::new(args, &service, voice);
    let campaign = campaign(&client, &args.candidate, patience);
    let campaign = if let Some(health) = &health { health.tie(campaign) } else { campaign };
    match contend(campaign, &mut signals, tell).await {
        // Cron sends a mail for each line, and every machine but one comes here.
        Err(error) if args.quiet && is_not_granted(&error) => Ok(Exit::NotGranted),
        Err(error) => Err(error),
        Ok(Contest::Interrupted(signal)) => Ok(Exit::signal(signal)),
        Ok(Contest::Won(leadership)) => {
            voice.say(format_args!("leading {election} with fencing token {}", leadership.fencing_token()));
            let way = Way { service: &service, args, timing, health: health.as_ref(), voice };
            let outcome = lead(way, &leadership, &mut signals).await;
            resign(leadership, voice).await;
            Ok(match outcome? {
                Outcome::Unhealthy => Exit::Unhealthy,
                Outcome::Ended(code) => Exit::Code(code),
                Outcome::Lost => Exit::Lost,
            })
        }
    }
}

fn is_not_granted(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(leasehold::Error::NotGranted { .. }))
}

/// How the command is to be run.
#[derive(Debug, Clone, Copy)]
struct Way<'a> {
    /// What the command finds in its environment about the service.
    service: &'a [(&'static str, OsString)],
    args: &'a RunArgs,
    timing: Timing,
    health: Option<&'a Health>,
    voice: Voice,
}

/// Runs the command while the leadership lasts.
async fn lead(way: Way<'_>, leadership: &Leadership, signals: &mut Signals) -> anyhow::Result<Outcome> {
    let Way { service, args, timing, health, voice } = way;
    let token_file = TokenFile::new(&leadership.task_token()).map_err(|error| cannot_make_file(&error))?;
    let terminal = Terminal::of_stdin();
    let environment = environment(service, leadership, &token_file);
    if let Some(health) = health {
        health.leads(&environment);
    }
    let order = Order {
        command: &args.command,
        environment: &environment,
        kill_at: timing.kill_at(deadline(leadership)),
        remove: token_file.directory(),
        foreground: terminal.as_ref().is_some_and(Terminal::is_ours),
    };
    let parts = Parts { leadership, timing, terminal: terminal.as_ref(), token_file: &token_file, voice };
    Session::start(parts, &order).await?.run(signals).await
}

/// The command could be started, but not told its task token.
fn cannot_make_file(error: &io::Error) -> Failure {
    let folder = std::env::temp_dir();
    let folder = folder.display();
    let message = format!(
        "the command can't be started: no file for its task token can be made in {folder}: {error}. \
         Set TMPDIR to a folder that can be written to and has room."
    );
    Failure::new(Exit::NotExecutable, message)
}

fn environment(
    service: &[(&'static str, OsString)],
    leadership: &Leadership,
    token_file: &TokenFile,
) -> Vec<(&'static str, OsString)> {
    let own: [(_, OsString); 4] = [
        ("LEASEHOLD_ELECTION", leadership.election().into()),
        ("LEASEHOLD_CANDIDATE", leadership.candidate().into()),
        ("LEASEHOLD_FENCING_TOKEN", leadership.fencing_token().to_string().into()),
        ("LEASEHOLD_TASK_TOKEN_FILE", token_file.path().into()),
    ];
    service.iter().cloned().chain(own).collect()
}

/// The next candidate needn't wait until the time runs out.
async fn resign(leadership: Leadership, voice: Voice) {
    let patience = match leadership.lost().now_or_never() {
        None => leadership.remaining(),
        // Only this process knows of it.
        Some(Lost::Unhealthy { .. }) => RESIGN_TIME_MAX,
        Some(_) => return,
    };
    let election = leadership.election().to_owned();
    let resigned = tokio::time::timeout(patience.min(RESIGN_TIME_MAX), leadership.resign()).await;
    if !matches!(resigned, Ok(Ok(()))) {
        voice.say(format_args!(
            "the service couldn't be told that {election} is free: it becomes free when the time runs out"
        ));
    }
}
