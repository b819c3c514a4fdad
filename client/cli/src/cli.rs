//! From the command line to the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command, Internal};
use crate::commands::{self, Context};
use crate::exit::{self, Exit};
use crate::run;

/// Threads that carry the KeepAlives, so that nothing else can hold them up.
const WORKER_THREADS: usize = 2;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let exit = if Internal::is_meant(std::env::args_os()) {
        parsed(Internal::try_parse(), |internal| ended(start_internal(&internal), ""))
    } else {
        parsed(Cli::try_parse(), |cli| {
            let endpoint = cli.endpoint.clone();
            ended(start(cli), &endpoint)
        })
    };
    ExitCode::from(exit.code())
}

fn parsed<T>(parsed: Result<T, clap::Error>, start: impl FnOnce(T) -> Exit) -> Exit {
    match parsed {
        Ok(meant) => start(meant),
        Err(error) => {
            // Help and version come out of clap as errors, too.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Done }
        }
    }
}

fn ended(result: anyhow::Result<Exit>, endpoint: &str) -> Exit {
    result.unwrap_or_else(|error| {
        let (exit, message) = exit::explain(&error, endpoint);
        if let Some(message) = message {
            let _ = writeln!(std::io::stderr(), "leasehold: {message}");
        }
        exit
    })
}

fn start_internal(internal: &Internal) -> anyhow::Result<Exit> {
    match internal {
        Internal::Watch(args) => run::watchdog::watch(args).map(|()| Exit::Done),
        Internal::Launch(args) => Err(run::launch::launch(args).into()),
    }
}

fn start(cli: Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Completions { shell } => return commands::completions::completions(*shell),
        Command::Run(_) => run::terminal::withstand_background()?,
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
    runtime.block_on(ask(cli))
}

async fn ask(cli: Cli) -> anyhow::Result<Exit> {
    if let Command::Run(args) = &cli.command {
        return commands::run::run(&cli.endpoint, args).await;
    }
    let context = Context { endpoint: cli.endpoint, format: cli.output };
    match cli.command {
        Command::Campaign(args) => commands::campaign::campaign(&context, &args).await,
        Command::Observe(args) => commands::observe::observe(&context, args.what).await,
        Command::List { prefix } => commands::list::list(&context, &prefix.unwrap_or_default()).await,
        Command::Get { election } => commands::get::get(&context, election).await,
        Command::Verify { election, token } => commands::verify::verify(&context, election, &token).await,
        Command::StepDown { election, token } => commands::step_down::step_down(&context, election, token).await,
        Command::Status => commands::status::status(&context).await,
        Command::Run(_) | Command::Completions { .. } => unreachable!("these were taken care of before"),
    }
}
