//! `leasehold run`.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context as _;
use leasehold::{Client, Leadership};

use crate::args::RunArgs;
use crate::contest::{Contest, contend};
use crate::exit::Exit;
use crate::run::child::Order;
use crate::run::session::{Outcome, Parts, Session, deadline};
use crate::run::signals::Signals;
use crate::run::terminal::Terminal;
use crate::run::timing::Timing;
use crate::run::token_file::TokenFile;
use crate::run::{family, launch};
use crate::voice::Voice;

/// How long the service is given to hear that the election is free.
const RESIGN_TIME_MAX: Duration = Duration::from_secs(5);

pub(crate) async fn run(endpoint: &str, args: &RunArgs) -> anyhow::Result<Exit> {
    let timing = Timing::new(args.candidate.ttl, args.grace)?;
    launch::check(&args.command[0])?;
    family::adopt_orphans()?;
    let mut signals = Signals::passed_on()?;
    let voice = Voice { quiet: args.quiet };
    let client = Client::connect(endpoint).await?;
    let election = args.candidate.election.as_str();
    let tell = |standing| {
        voice.standing(election, standing);
        Ok(())
    };
    match contend(&client, &args.candidate, &mut signals, tell).await? {
        Contest::Interrupted(signal) => Ok(Exit::signal(signal)),
        Contest::Won(leadership) => {
            voice.say(format_args!("leading {election} with fencing token {}", leadership.fencing_token()));
            let outcome = lead(endpoint, args, timing, &leadership, &mut signals, voice).await;
            resign(leadership, voice).await;
            Ok(match outcome? {
                Outcome::Ended(code) => Exit::Code(code),
                Outcome::Lost => Exit::Lost,
            })
        }
    }
}

/// Runs the command while the leadership lasts.
async fn lead(
    endpoint: &str,
    args: &RunArgs,
    timing: Timing,
    leadership: &Leadership,
    signals: &mut Signals,
    voice: Voice,
) -> anyhow::Result<Outcome> {
    let token_file = TokenFile::new(&leadership.task_token()).context("can't make the file for the task token")?;
    let terminal = Terminal::of_stdin();
    let order = Order {
        command: &args.command,
        environment: &environment(endpoint, leadership, &token_file),
        kill_at: timing.kill_at(deadline(leadership)),
        remove: token_file.directory(),
        foreground: terminal.as_ref().is_some_and(Terminal::is_ours),
    };
    let parts = Parts { leadership, timing, terminal: terminal.as_ref(), token_file: &token_file, voice };
    Session::start(parts, &order).await?.run(signals).await
}

fn environment(endpoint: &str, leadership: &Leadership, token_file: &TokenFile) -> [(&'static str, OsString); 5] {
    [
        ("LEASEHOLD_ENDPOINT", endpoint.into()),
        ("LEASEHOLD_ELECTION", leadership.election().into()),
        ("LEASEHOLD_CANDIDATE", leadership.candidate().into()),
        ("LEASEHOLD_FENCING_TOKEN", leadership.fencing_token().to_string().into()),
        ("LEASEHOLD_TASK_TOKEN_FILE", token_file.path().into()),
    ]
}

/// The next candidate needn't wait until the time runs out.
async fn resign(leadership: Leadership, voice: Voice) {
    let left = leadership.remaining();
    if left.is_zero() {
        return;
    }
    let election = leadership.election().to_owned();
    let resigned = tokio::time::timeout(left.min(RESIGN_TIME_MAX), leadership.resign()).await;
    if !matches!(resigned, Ok(Ok(()))) {
        voice.say(format_args!(
            "the service couldn't be told that {election} is free: it becomes free when the time runs out"
        ));
    }
}
