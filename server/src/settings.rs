//! Settings as meant: flags, environment and config file put together, completed and checked.

mod auth;
mod flags;
mod log_filter;
mod replica;
mod tls;

pub use crate::memory::Size;
pub use auth::{AuthSettings, AuthWay, OidcKeys, OidcSettings};
pub use flags::{CommandLine, Flags, LogFormat, ServerCommand, Span};
#[cfg(not(turmoil))]
pub(crate) use log_filter::log_filter;
pub use replica::ReplicaSettings;
pub use tls::{ClientAuth, ClientCa, TlsMode, TlsSettings, TlsSource};

use crate::memory::{self, Budget};
use leasehold_core::{BadAddress, BadConfig, BadWord, Config, ElectionName, Holder, Limits, Millis};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const DEFAULT_MAX_TTL: Millis = Millis(15_000);
const DEFAULT_MAX_OBSERVERS: usize = 10_000;
const DEFAULT_MAX_STREAMS_PER_CONNECTION: u32 = 4096;
const DEFAULT_INBOX: usize = 1024;
const DEFAULT_MAX_CONNECTION_AGE: Millis = Millis(3_600_000);
/// A connection that is closed sooner costs more than it carries.
const LEAST_CONNECTION_AGE: Millis = Millis(1000);
const MOST_CONNECTION_AGE: Millis = Millis(365 * 86_400_000);
/// Above this a limit limits nothing.
const MOST: usize = 1_000_000;
/// Each has metrics of its own, on each replica.
const MAX_WATCHED: usize = 100;
/// It stands in every task token.
const MAX_ISSUER_BYTES: usize = 256;

/// Everything that can be set about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Where health, metrics and keys are served over HTTP.
    pub http_listen: SocketAddr,
    /// Where keys and record are kept. Unused on Kubernetes.
    pub data_dir: PathBuf,
    /// How to be one of several replicas; `None`: the only one, with a file.
    pub replica: Option<ReplicaSettings>,
    /// The longest TTL that Campaign accepts; also how long a new tenure waits before its first
    /// grant.
    pub max_ttl: Millis,
    /// Limits on what the replica holds.
    pub limits: Limits,
    /// Open Observe streams.
    pub max_observers: usize,
    /// What this process may take, in bytes.
    pub max_memory: u64,
    /// Connections from one address; `None`: a quarter of all.
    pub max_connections_per_address: Option<usize>,
    /// Open streams of one gRPC connection.
    pub max_streams_per_connection: u32,
    /// Calls that lie before the loop; more wait in a fair line.
    pub inbox: usize,
    /// Elections with metrics of their own.
    pub watch_elections: Vec<ElectionName>,
    /// `iss` of task tokens.
    pub issuer: String,
    /// Who is asked who they are, and what they may do.
    pub auth: AuthSettings,
    /// What the gRPC port shows who it is with.
    pub tls: TlsSettings,
    /// How old a connection gets before it is closed, give or take a tenth.
    pub max_connection_age: Millis,
    /// Whether plain text may be served beyond this machine.
    pub insecure: bool,
    /// Form of the log.
    pub log_format: LogFormat,
    /// What is logged, in the words of tracing's `EnvFilter`; libraries only where they are named.
    pub log_level: String,
}

/// Settings that can't be used: which one, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The config file can't be read.
    #[error("can't read the config file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// The config file has a key or a value that isn't known.
    #[error("the config file {} can't be used: {why}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        why: String,
    },
    /// Nowhere to keep the state.
    #[error("there is no place for the state, as neither XDG_STATE_HOME nor HOME is set; pass --data-dir DIR")]
    NoDataDir,
    /// A replica that says it listens everywhere is reached nowhere.
    #[error("--listen {listen} doesn't say where others reach this replica; pass --advertise HOST:PORT, or set POD_IP")]
    NoAdvertise {
        /// What it listens on.
        listen: SocketAddr,
    },
    /// An address that nobody can connect to.
    #[error("the address that other replicas are told (--advertise, or POD_IP) can't be used: {0}")]
    BadAdvertise(#[from] BadAddress),
    /// A name that no object can have.
    #[error("{flag} is {name:?}; give 1 to 253 letters, digits, '-', '.' or '_'")]
    BadName {
        /// Which setting.
        flag: &'static str,
        /// Its value.
        name: String,
    },
    /// A setting of a replica for a server that isn't one.
    #[error("{flag} means nothing without --kubernetes; add that, or leave it out")]
    NeedsKubernetes {
        /// Which setting.
        flag: &'static str,
    },
    /// Who may call, and what they may do.
    #[error("{flag} can't be used: {why}")]
    Auth {
        /// Which setting.
        flag: &'static str,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Plain text beyond this machine.
    #[error(
        "{flag} {address} isn't an address of this machine alone, and there is no TLS: whoever can reach it could lead any \
         election and read every ticket. Use 127.0.0.1, pass --tls-cert and --tls-key, or pass --insecure if the network keeps \
         others out"
    )]
    NotLoopback {
        /// Which setting.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// Two settings of TLS that don't fit.
    #[error("{0}")]
    Tls(&'static str),
    /// An age that makes no sense.
    #[error("--max-connection-age is {} ms; it must lie between 1s and 365 days", age.0)]
    ConnectionAge {
        /// Its value.
        age: Millis,
    },
    /// Two servers in one place.
    #[error("--listen and --http-listen are both {address}; give them different ports")]
    SameAddress {
        /// Of both.
        address: SocketAddr,
    },
    /// A number that makes no sense.
    #[error("--{flag} is {value}; it must lie between 1 and {most}")]
    OutOfRange {
        /// Which setting.
        flag: &'static str,
        /// Its value.
        value: usize,
        /// The highest.
        most: usize,
    },
    /// Too little to work with.
    #[error(
        "--max-memory is {}; this server takes {} at least: set it higher, or raise the limit of the control group that it \
         is taken from when it isn't set", Size(*bytes), Size(memory::LEAST)
    )]
    TooLittleMemory {
        /// Its value.
        bytes: u64,
    },
    /// A name that no election can have.
    #[error("--watch-elections names {name:?}, which no election can be called: {why}")]
    BadWatched {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: BadWord,
    },
    /// Too many series.
    #[error("--watch-elections names {count} elections; at most {MAX_WATCHED} can have metrics of their own")]
    TooManyWatched {
        /// How many.
        count: usize,
    },
    /// A name that can't stand in a token.
    #[error("--issuer must have 1 to {MAX_ISSUER_BYTES} bytes without control characters; it is {issuer:?}")]
    BadIssuer {
        /// Its value.
        issuer: String,
    },
    /// Not a filter.
    #[error("--log-level {level:?} can't be used: {why}; write it like info, or info,leasehold_server=debug")]
    BadLogLevel {
        /// Its value.
        level: String,
        /// What is wrong.
        why: String,
    },
    /// What the core says.
    #[error(transparent)]
    Core(#[from] BadConfig),
}

impl Settings {
    /// From the process's command line, environment and config file, in this order of precedence.
    /// Prints and exits where `--help`, `--version` or a word that isn't understood asks for it.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn load() -> Result<(Self, Option<ServerCommand>), SettingsError> {
        Self::with_command(std::env::args_os())
    }

    /// As [`Settings::load`], with these words for the command line; the first one is the program's
    /// name.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn from_words(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<Self, SettingsError> {
        Ok(Self::with_command(words)?.0)
    }

    fn with_command(
        words: impl IntoIterator<Item: Into<OsString> + Clone>,
    ) -> Result<(Self, Option<ServerCommand>), SettingsError> {
        let parsed = clap::Parser::try_parse_from(words).unwrap_or_else(|error| exit(error));
        let CommandLine { config, mut flags, command } = parsed;
        // All that it could be about.
        flags.kubernetes = if command.is_some() { Some(true) } else { flags.kubernetes };
        let file = match config {
            Some(path) => Flags::from_file(&path)?,
            None => Flags::default(),
        };
        Ok((Self::resolve(flags.or(file), |name| std::env::var_os(name))?, command))
    }

    /// Completes and checks what was set; `environment` is asked where the state may lie.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn resolve(flags: Flags, environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let limits = Limits::default();
        let limits = Limits {
            elections: flags.max_elections.unwrap_or(limits.elections),
            candidacies: flags.max_candidacies.unwrap_or(limits.candidacies),
            candidacies_per_election: flags.max_candidacies_per_election.unwrap_or(limits.candidacies_per_election),
            candidacies_per_subject: flags.max_candidacies_per_subject.unwrap_or(limits.candidacies_per_subject),
            ..limits
        };
        let listen = flags.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7400)));
        let replica = match (flags.kubernetes.unwrap_or(false), flags.first_of_a_replica()) {
            (true, _) => Some(ReplicaSettings::resolve(&flags, listen, &environment)?),
            (false, Some(flag)) => return Err(SettingsError::NeedsKubernetes { flag }),
            (false, None) => None,
        };
        let insecure = flags.insecure.unwrap_or(false);
        let auth = AuthSettings::resolve(&flags, insecure)?;
        let tls = TlsSettings::resolve(&flags, insecure)?;
        let data_dir = flags.data_dir.or_else(|| default_data_dir(environment));
        // A replica keeps nothing on disk.
        let data_dir = data_dir.or_else(|| replica.is_some().then(PathBuf::new)).ok_or(SettingsError::NoDataDir)?;
        let settings = Self {
            listen,
            replica,
            http_listen: flags.http_listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7401))),
            data_dir,
            max_ttl: flags.max_ttl.map_or(DEFAULT_MAX_TTL, Span::millis),
            limits,
            max_observers: flags.max_observers.unwrap_or(DEFAULT_MAX_OBSERVERS),
            max_memory: flags.max_memory.map_or_else(memory::available, |size| size.0),
            max_connections_per_address: flags.max_connections_per_address,
            max_streams_per_connection: flags.max_streams_per_connection.unwrap_or(DEFAULT_MAX_STREAMS_PER_CONNECTION),
            inbox: flags.inbox.unwrap_or(DEFAULT_INBOX),
            watch_elections: watched(flags.watch_elections.unwrap_or_default())?,
            issuer: flags.issuer.unwrap_or_else(|| "leasehold".to_owned()),
            auth,
            tls,
            max_connection_age: flags.max_connection_age.map_or(DEFAULT_MAX_CONNECTION_AGE, Span::millis),
            insecure,
            log_format: flags.log_format.unwrap_or(LogFormat::Text),
            log_level: flags.log_level.unwrap_or_else(|| "info".to_owned()),
        };
        settings.validate()?;
        Ok(settings)
    }

    /// Checks the settings, each and together.
    ///
    /// # Errors
    /// [`SettingsError`] for the first one that can't be used.
    pub fn validate(&self) -> Result<(), SettingsError> {
        for (flag, address) in [("--listen", self.listen), ("--http-listen", self.http_listen)] {
            // What the HTTP port shows is no secret, where the service itself is protected.
            let is_open = self.insecure || self.tls.is_on();
            if !is_open && !address.ip().to_canonical().is_loopback() {
                return Err(SettingsError::NotLoopback { flag, address });
            }
        }
        if self.listen == self.http_listen && self.listen.port() != 0 {
            return Err(SettingsError::SameAddress { address: self.listen });
        }
        let streams = usize::try_from(self.max_streams_per_connection).unwrap_or(usize::MAX);
        for (flag, value) in [
            ("max-elections", self.limits.elections),
            ("max-candidacies-per-election", self.limits.candidacies_per_election),
            ("max-candidacies-per-subject", self.limits.candidacies_per_subject),
            ("max-candidacies", self.limits.candidacies),
            ("max-observers", self.max_observers),
            ("max-connections-per-address", self.max_connections_per_address.unwrap_or(MOST)),
            ("max-streams-per-connection", streams),
            ("inbox", self.inbox),
        ] {
            if value == 0 || value > MOST {
                return Err(SettingsError::OutOfRange { flag, value, most: MOST });
            }
        }
        let age = self.max_connection_age;
        if !(LEAST_CONNECTION_AGE..=MOST_CONNECTION_AGE).contains(&age) {
            return Err(SettingsError::ConnectionAge { age });
        }
        if self.max_memory < memory::LEAST {
            return Err(SettingsError::TooLittleMemory { bytes: self.max_memory });
        }
        if self.issuer.is_empty() || self.issuer.len() > MAX_ISSUER_BYTES || self.issuer.contains(char::is_control) {
            return Err(SettingsError::BadIssuer { issuer: self.issuer.clone() });
        }
        if let Err(why) = log_filter::log_filter(&self.log_level) {
            return Err(SettingsError::BadLogLevel { level: self.log_level.clone(), why: why.to_string() });
        }
        Ok(self.core_config(Holder(String::new())).validate()?)
    }

    /// Who may have what of the memory.
    pub(crate) fn budget(&self) -> Budget {
        Budget::of(self.max_memory)
    }

    /// What the core needs to know; `me` is the name of a replica on Kubernetes.
    #[must_use]
    pub fn core_config(&self, me: Holder) -> Config {
        let limits = Limits { bytes: self.budget().candidacies, ..self.limits.clone() };
        match &self.replica {
            Some(replica) => replica.core_config(me, self.max_ttl, limits),
            None => Config { limits, ..Config::embedded(self.max_ttl) },
        }
    }
}

/// Says what clap has to say, and ends the process, whether anybody reads it or not.
fn exit(error: clap::Error) -> ! {
    let code = error.exit_code();
    #[cfg(not(turmoil))]
    crate::log::last_words(move || _ = error.print());
    std::process::exit(code)
}

/// The elections of these names.
fn watched(mut names: Vec<String>) -> Result<Vec<ElectionName>, SettingsError> {
    // A variable that is set to nothing.
    names.retain(|name| !name.is_empty());
    if names.len() > MAX_WATCHED {
        return Err(SettingsError::TooManyWatched { count: names.len() });
    }
    let checked = |name: String| ElectionName::new(&name).map_err(|why| SettingsError::BadWatched { name, why });
    names.into_iter().map(checked).collect()
}

/// As the XDG base directory specification says: a relative path there is to be ignored.
fn default_data_dir(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join(Path::new("leasehold")))
}

#[cfg(test)]
mod tests;
