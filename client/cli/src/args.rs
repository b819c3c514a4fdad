//! The command line.

pub(crate) mod help;
mod time;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::{ArgValueCompleter, Shell};
use leasehold::Access;
use leasehold_policy::Verb;

use crate::{complete, exit};

/// Stands above the options that every subcommand has.
const COMMON: &str = "Common options";

/// Where the service is, unless it is said.
const DEFAULT_ENDPOINT: &str = "127.0.0.1:7400";

/// Says the same where options can't.
const ENDPOINT_VARIABLE: &str = "LEASEHOLD_ENDPOINT";

/// Leader election from a terminal: run a command on one machine only, see who leads, check tokens.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, after_help = exit::HELP, max_term_width = 110)]
pub(crate) struct Cli {
    /// Where the service is. Of several addresses, with commas between them, the first that answers
    /// is used. Default: what LEASEHOLD_ENDPOINT says, or 127.0.0.1:7400.
    #[arg(long, global = true, help_heading = COMMON, value_name = "HOST:PORT[,...]")]
    endpoint: Option<String>,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    /// How answers are printed.
    #[arg(long, short, global = true, help_heading = COMMON, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Where the service is.
    pub(crate) fn endpoint(&self) -> String {
        endpoint(self.endpoint.clone())
    }
}

/// Whom to trust, and what to show. Each stands in the environment as well.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AccessArgs {
    /// Trust the authorities in this PEM file alone. An endpoint without a scheme means TLS then.
    /// Default: what LEASEHOLD_CA says, or what this machine trusts.
    #[arg(long, global = true, help_heading = COMMON, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Show the certificate in this PEM file, if the service asks for one. Default: LEASEHOLD_CERT.
    #[arg(long, global = true, help_heading = COMMON, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,

    /// The key of that certificate. Default: LEASEHOLD_KEY.
    #[arg(long, global = true, help_heading = COMMON, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Show the token in this file, which may be replaced at any time. Default:
    /// LEASEHOLD_TOKEN_FILE.
    #[arg(long, global = true, help_heading = COMMON, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// What is done with a file.
type Give = fn(Access, PathBuf) -> Access;

impl AccessArgs {
    /// The options, before what the environment says.
    pub(crate) fn access(&self) -> Access {
        let gives: [(&Option<PathBuf>, Give); 4] = [
            (&self.ca, Access::ca),
            (&self.cert, Access::cert),
            (&self.key, Access::key),
            (&self.token_file, Access::token_file),
        ];
        let begin = Access::from_environment();
        gives.into_iter().fold(begin, |access, (file, give)| match file {
            Some(file) => give(access, file.clone()),
            None => access,
        })
    }

    /// The options as variables, for a command that is started: what isn't given it inherits.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let files = [
            ("LEASEHOLD_CA", &self.ca),
            ("LEASEHOLD_CERT", &self.cert),
            ("LEASEHOLD_KEY", &self.key),
            ("LEASEHOLD_TOKEN_FILE", &self.token_file),
        ];
        files.into_iter().filter_map(|(name, file)| Some((name, file.clone()?.into_os_string()))).collect()
    }
}

/// Where the service is, if this was given as the option. An empty variable says nothing,
/// and neither does one of commas and spaces alone.
pub(crate) fn endpoint(given: Option<String>) -> String {
    let said = || {
        std::env::var(ENDPOINT_VARIABLE)
            .ok()
            .filter(|value| value.contains(|char: char| char != ',' && !char.is_whitespace()))
    };
    given.or_else(said).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON object a line, with the fields of the API.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command while leading an election.
    #[command(after_help = help::RUN, override_usage = "leasehold run [OPTIONS] ELECTION -- COMMAND [ARGUMENT...]")]
    Run(RunArgs),

    /// Lead an election until ^C, and say what happens.
    #[command(after_help = help::CAMPAIGN)]
    Campaign(CandidateArgs),

    /// Watch who leads: the present state, then every change.
    #[command(after_help = help::OBSERVE)]
    Observe(ObserveArgs),

    /// List the elections that have a candidate or are on hold.
    #[command(after_help = help::LIST)]
    List {
        /// Only elections whose names begin with this.
        #[arg(add = ArgValueCompleter::new(complete::prefixes))]
        prefix: Option<String>,
    },

    /// Show one election. One that nobody has entered is vacant.
    #[command(after_help = help::GET)]
    Get {
        /// Name of the election.
        #[arg(add = ArgValueCompleter::new(complete::elections))]
        election: String,
    },

    /// Check whether a token is the current leader's: exits with 0 if it is, with 1 if not.
    #[command(after_help = help::VERIFY, allow_missing_positional = true)]
    Verify {
        /// Name of the election. Not needed with a task token, which names its own.
        #[arg(add = ArgValueCompleter::new(complete::elections))]
        election: Option<String>,

        /// A fencing token, or a task token.
        token: String,
    },

    /// End a leadership with care: the leader is told to finish, then the next candidate leads.
    #[command(after_help = help::STEP_DOWN)]
    StepDown {
        /// Name of the election.
        #[arg(add = ArgValueCompleter::new(complete::elections))]
        election: String,

        /// Only if this is the leader's fencing token.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        token: Option<u64>,
    },

    /// Show what the replica at the endpoint is and holds.
    #[command(after_help = help::STATUS)]
    Status,

    /// Show who this caller is, as the service has found out.
    #[command(after_help = help::WHOAMI)]
    Whoami,

    /// Say who may do what.
    #[command(after_help = help::POLICY)]
    Policy {
        #[command(subcommand)]
        what: PolicyCommand,
    },

    /// Print completions for a shell. They know the elections of the service.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: Shell,
    },

    /// Print the manual page of this command or of a subcommand.
    #[command(after_help = help::MAN)]
    Man {
        /// The subcommand. Default: the page of the whole command.
        subcommand: Option<String>,
    },

    /// Print the version of this command. That of the service is in status.
    #[command(after_help = help::VERSION)]
    Version,
}

/// What to do with a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Explain a decision: exits with 0 if the subject may do that, with 1 if not.
    #[command(after_help = help::POLICY)]
    Check(PolicyCheckArgs),
}

/// Which decision.
#[derive(Debug, Args)]
pub(crate) struct PolicyCheckArgs {
    /// Who calls, such as system:serviceaccount:team-a:worker. Default: whoever this is. About
    /// others the service answers whoever may do everything in that election.
    #[arg(long = "as", value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,

    /// A policy file. Default: what is in force at the service.
    #[arg(long, value_name = "FILE", requires = "subject")]
    pub(crate) file: Option<PathBuf>,

    /// campaign, replace, observe, verify, step-down or admin.
    pub(crate) verb: Verb,

    /// Name of the election.
    pub(crate) election: String,
}

/// How to enter an election.
#[derive(Debug, Args)]
pub(crate) struct CandidateArgs {
    /// Name of the election, such as billing/nightly-report.
    #[arg(add = ArgValueCompleter::new(complete::elections))]
    pub(crate) election: String,

    /// A label for this candidate that others see. Default: host name and process number.
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// How long the leadership outlasts the last contact with the service, at least 1s.
    #[arg(long, default_value = "15s", value_name = "TIME", value_parser = time::time)]
    pub(crate) ttl: Duration,

    /// Give up unless the election can be had at once.
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,

    /// Give up if the election can't be had within this time.
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    pub(crate) timeout: Option<Duration>,

    /// Once per tick: for this long after the grant nobody is granted the election again, whoever
    /// resigns or dies. 24h at most.
    #[arg(long, value_name = "TIME", value_parser = time::hold)]
    pub(crate) hold: Option<Duration>,

    /// What observers see beside the leader's name, such as an address.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) value: String,

    /// The former process of this --name is known to be dead: take its place at once.
    ///
    /// Where that isn't true, two processes may believe that they lead.
    #[arg(long, requires = "name")]
    pub(crate) replace_former: bool,

    #[command(flatten)]
    patience: PatienceArgs,
}

impl CandidateArgs {
    /// How long to go on trying to reach the service.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout.map_or(self.patience.patience, |timeout| timeout.min(self.patience.patience))
    }
}

/// How to begin.
#[derive(Debug, Args)]
pub(crate) struct PatienceArgs {
    /// How long to go on trying to reach the service at the start: it may be just starting, too.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time::time)]
    pub(crate) patience: Duration,
}

/// What to run, and how to enter the election.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) candidate: CandidateArgs,

    /// How long the command has between SIGTERM and SIGKILL when the leadership can't be kept.
    /// Default: a tenth of the ttl.
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    pub(crate) grace: Option<Duration>,

    #[command(flatten)]
    pub(crate) health: HealthArgs,

    /// Don't say what happens on standard error, nor that the election couldn't be had in time.
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// When the command has to make way for the next candidate, though the leadership could be kept.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Run by sh again and again. Unless it exits with 0 in time, the command is ended and the next
    /// candidate leads.
    ///
    /// It has to succeed once before the election is entered, and while this candidate waits.
    #[arg(long, value_name = "CMD")]
    pub(crate) health_cmd: Option<OsString>,

    /// From the end of one health command to the start of the next.
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = time::some_time, requires = "health_cmd")]
    pub(crate) health_interval: Duration,

    /// How long the health command may take. Then it is killed with its process group, and has
    /// failed.
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = time::some_time, requires = "health_cmd")]
    pub(crate) health_timeout: Duration,
}

/// What to watch.
#[derive(Debug, Args)]
pub(crate) struct ObserveArgs {
    /// Name of an election, or a prefix that ends with a slash. Default: all elections.
    #[arg(value_name = "ELECTION|PREFIX/", add = ArgValueCompleter::new(complete::prefixes))]
    pub(crate) what: Option<String>,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}
