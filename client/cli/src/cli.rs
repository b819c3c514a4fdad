//! From the command line to the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command, Format, PolicyCommand};
use crate::commands::{self, Context};
use crate::exit::{self, Exit, Explanation};
use crate::{complete, run, voice};

/// Threads that carry the KeepAlives, so that nothing else can hold them up.
const WORKER_THREADS: usize = 2;

/// SIGPIPE: the reader of the output has gone away.
const UNREAD: i32 = 13;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let exit = if let Some(part) = run::as_part() {
        ended(part, "", Format::Table)
    } else if complete::was_asked() {
        ended(complete::answer(), "", Format::Table)
    } else {
        match Cli::try_parse() {
            Ok(cli) => {
                let (endpoint, format) = (cli.endpoint(), cli.output);
                ended(start(cli, &endpoint), &endpoint, format)
            }
            Err(error) => refused(&error, format_meant(std::env::args_os().skip(1))),
        }
    };
    ExitCode::from(exit.code())
}

/// Of a command line that isn't accepted: clap's words. Help and versions come out of clap as
/// errors, too.
fn refused(error: &clap::Error, format: Format) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Done;
    }
    if format == Format::Json {
        let text = error.render().to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        voice::line(&Explanation::new(Exit::Usage, message).line(format));
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

/// How an error is to be told of a command line that can't be read as a whole.
fn format_meant(args: impl Iterator<Item = OsString>) -> Format {
    let args: Vec<_> = args.map(|arg| arg.to_string_lossy().into_owned()).take_while(|arg| arg != "--").collect();
    let alone = args.iter().any(|arg| ["--output=json", "-ojson", "-o=json"].contains(&arg.as_str()));
    let apart = args.windows(2).any(|pair| ["--output", "-o"].contains(&pair[0].as_str()) && pair[1] == "json");
    if alone || apart { Format::Json } else { Format::Table }
}

fn ended(result: anyhow::Result<Exit>, endpoint: &str, format: Format) -> Exit {
    result.unwrap_or_else(|error| match exit::explain(&error, endpoint) {
        Some(report) => {
            voice::line(&report.line(format));
            report.exit
        }
        None => Exit::signal(UNREAD),
    })
}

fn start(cli: Cli, endpoint: &str) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Completions { shell } => return commands::completions::completions(*shell),
        Command::Man { subcommand } => return commands::man::man(subcommand.as_deref()),
        Command::Version => return commands::version::version(cli.output),
        Command::Run(_) => run::prepare()?,
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
    runtime
        .block_on(ask(cli.command, &Context { endpoint: endpoint.to_owned(), access: cli.access, format: cli.output }))
}

async fn ask(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => run::run(context, &args).await,
        Command::Campaign(args) => commands::campaign::campaign(context, &args).await,
        Command::Observe(args) => commands::observe::observe(context, args).await,
        Command::List { prefix } => commands::list::list(context, &prefix.unwrap_or_default()).await,
        Command::Get { election } => commands::get::get(context, election).await,
        Command::Verify { election, token } => commands::verify::verify(context, election, &token).await,
        Command::StepDown { election, token } => commands::step_down::step_down(context, election, token).await,
        Command::Status => commands::status::status(context).await,
        Command::Whoami => commands::whoami::whoami(context).await,
        Command::Policy { what: PolicyCommand::Check(args) } => commands::policy::check(context, &args).await,
        Command::Completions { .. } | Command::Man { .. } | Command::Version => {
            unreachable!("these were taken care of before")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_as_answers_were_asked_for() {
        let meant = |args: &str| format_meant(args.split(' ').map(OsString::from));
        for args in ["-o json get", "--output json", "get --output=json", "-ojson get", "run -o=json"] {
            assert_eq!(meant(args), Format::Json, "{args}");
        }
        for args in ["get json", "-o table get", "run x -- jq -o json", "--output"] {
            assert_eq!(meant(args), Format::Table, "{args}");
        }
    }
}
