//! Settings as typed: on the command line, in the environment, in a file. Nothing is filled in
//! here.

use super::{AuthWay, ClientAuth, SettingsError, TlsMode};
use crate::memory::Size;
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use leasehold_core::Millis;
use serde::{Deserialize, Deserializer, de};
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// No config file is longer.
const MAX_FILE_BYTES: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  leasehold-server
      A complete service on this machine alone, its state in ~/.local/state/leasehold.
  leasehold-server --data-dir /var/lib/leasehold --max-ttl 30s
      Workers may be silent for up to 30 s, and a server that was killed waits as long before it grants again.
  leasehold-server --kubernetes --namespace leasehold --lease leasehold
      One of several replicas. It may be given a namespace and a Lease; without them it takes its own namespace, and \"leasehold\".
  LEASEHOLD_LOG_FORMAT=json leasehold-server --config /etc/leasehold.toml
      With a file that has lines such as:  max-ttl = \"30s\"

Each setting may also stand in the environment (names as shown) or in the config file (names as the flags). A flag goes before
the environment, and that before the file.";

/// Leader election over gRPC: workers campaign, one of them leads, and each grant has a higher
/// fencing token than the last.
#[derive(Clone, Debug, Parser)]
#[command(name = "leasehold-server", version, after_help = EXAMPLES)]
pub struct CommandLine {
    /// A TOML file with settings
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// All others.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do in place of serving.
    #[command(subcommand)]
    pub command: Option<ServerCommand>,
}

/// What to do in place of serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ServerCommand {
    /// Give the replicas on Kubernetes a new authority for their certificates.
    ///
    /// Both authorities are trusted from now on, and published. The new one signs after some time,
    /// by when clients must have read it; the former one is trusted until all that it has signed
    /// has ended.
    RotateCa {
        /// When the new authority begins to sign.
        #[arg(long, value_name = "TIME", default_value = "10m")]
        after: Span,

        /// Trust nobody but the new authority, at once: for a key that somebody else has. Clients
        /// are kept out until they have read the new certificate.
        #[arg(long)]
        distrust: bool,
    },
}

/// What was set, in one place: `None` where nothing was.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Flags {
    /// Serve gRPC here; port 0 takes a free one [default: 127.0.0.1:7400]
    #[arg(long, value_name = "IP:PORT", value_parser = address, env = "LEASEHOLD_LISTEN", hide_env_values = true)]
    pub listen: Option<SocketAddr>,

    /// Serve /healthz, /readyz, /metrics, /ca.crt and /.well-known/jwks.json here [default:
    /// 127.0.0.1:7401]
    #[arg(long, value_name = "IP:PORT", value_parser = address, env = "LEASEHOLD_HTTP_LISTEN", hide_env_values = true)]
    #[serde(alias = "http_listen")]
    pub http_listen: Option<SocketAddr>,

    /// Keep keys and numbers here; one server at a time [default: $XDG_STATE_HOME/leasehold or
    /// ~/.local/state/leasehold]
    #[arg(long, value_name = "DIR", env = "LEASEHOLD_DATA_DIR", hide_env_values = true)]
    #[serde(alias = "data_dir")]
    pub data_dir: Option<PathBuf>,

    /// Run as one of several replicas, which elect the active one through a Lease: in a pod, or
    /// with a kubeconfig
    #[arg(
        long, value_name = "BOOL", env = "LEASEHOLD_KUBERNETES", hide_env_values = true, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(),
        hide_possible_values = true
    )]
    pub kubernetes: Option<bool>,

    /// Where the Lease and the Secret are [default: the namespace of the pod, or of the kubeconfig]
    #[arg(long, value_name = "NAME", env = "LEASEHOLD_NAMESPACE", hide_env_values = true)]
    pub namespace: Option<String>,

    /// The Lease through which replicas elect the active one [default: leasehold]
    #[arg(long, value_name = "NAME", env = "LEASEHOLD_LEASE", hide_env_values = true)]
    pub lease: Option<String>,

    /// The Secret with the keys that replicas share; the first one makes it [default:
    /// leasehold-keys]
    #[arg(long, value_name = "NAME", env = "LEASEHOLD_KEYS_SECRET", hide_env_values = true)]
    #[serde(alias = "keys_secret")]
    pub keys_secret: Option<String>,

    /// The name of this replica in the Lease; each start adds a random part [default: $POD_NAME, or
    /// the name of the host]
    #[arg(long, value_name = "NAME", env = "LEASEHOLD_REPLICA", hide_env_values = true)]
    pub replica: Option<String>,

    /// Where other replicas and clients reach this one [default: $POD_IP and the port of --listen,
    /// or --listen]
    #[arg(long, value_name = "HOST:PORT", env = "LEASEHOLD_ADVERTISE", hide_env_values = true)]
    pub advertise: Option<String>,

    /// How long the Lease is good for without a renewal, 2s to 10m: so long a crash goes unnoticed
    /// [default: 8s]
    #[arg(long, value_name = "TIME", env = "LEASEHOLD_LEASE_DURATION", hide_env_values = true)]
    #[serde(alias = "lease_duration")]
    pub lease_duration: Option<Span>,

    /// How often the Lease is renewed [default: 2s]
    #[arg(long, value_name = "TIME", env = "LEASEHOLD_RENEW_INTERVAL", hide_env_values = true)]
    #[serde(alias = "renew_interval")]
    pub renew_interval: Option<Span>,

    /// How long one request to the API server may take [default: 1500ms]
    #[arg(long, value_name = "TIME", env = "LEASEHOLD_REQUEST_TIMEOUT", hide_env_values = true)]
    #[serde(alias = "request_timeout")]
    pub request_timeout: Option<Span>,

    /// The active replica stops so much before the Lease runs out: at least a twentieth of its
    /// duration [default: 1s]
    #[arg(long, value_name = "TIME", env = "LEASEHOLD_LEASE_MARGIN", hide_env_values = true)]
    #[serde(alias = "lease_margin")]
    pub lease_margin: Option<Span>,

    /// The longest TTL a worker may ask for, 1s to 1day; so long a killed server waits before it
    /// grants [default: 15s]
    #[arg(long, value_name = "TIME", env = "LEASEHOLD_MAX_TTL", hide_env_values = true)]
    #[serde(alias = "max_ttl")]
    pub max_ttl: Option<Span>,

    /// Elections with a candidate [default: 100000]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_ELECTIONS", hide_env_values = true)]
    #[serde(alias = "max_elections")]
    pub max_elections: Option<usize>,

    /// Candidacies in all elections together, at most 100000 [default: 100000]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_CANDIDACIES", hide_env_values = true)]
    #[serde(alias = "max_candidacies")]
    pub max_candidacies: Option<usize>,

    /// Candidacies in one election [default: 10000]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_CANDIDACIES_PER_ELECTION", hide_env_values = true)]
    #[serde(alias = "max_candidacies_per_election")]
    pub max_candidacies_per_election: Option<usize>,

    /// Candidacies of one subject; without authentication all callers are one [default: 100000]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_CANDIDACIES_PER_SUBJECT", hide_env_values = true)]
    #[serde(alias = "max_candidacies_per_subject")]
    pub max_candidacies_per_subject: Option<usize>,

    /// Open Observe streams [default: 10000]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_OBSERVERS", hide_env_values = true)]
    #[serde(alias = "max_observers")]
    pub max_observers: Option<usize>,

    /// What this process may take: more is refused before it has taken that [default: the limit of
    /// its control group, or half of the machine's memory]
    #[arg(long, value_name = "SIZE", env = "LEASEHOLD_MAX_MEMORY", hide_env_values = true)]
    #[serde(alias = "max_memory")]
    pub max_memory: Option<Size>,

    /// Connections from one address [default: a quarter of all]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_CONNECTIONS_PER_ADDRESS", hide_env_values = true)]
    #[serde(alias = "max_connections_per_address")]
    pub max_connections_per_address: Option<usize>,

    /// Open streams of one connection [default: 4096]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_STREAMS_PER_CONNECTION", hide_env_values = true)]
    #[serde(alias = "max_streams_per_connection")]
    pub max_streams_per_connection: Option<u32>,

    /// Calls that may lie before the loop; more wait in a fair line for 2 s, then are refused
    /// [default: 1024]
    #[arg(long, value_name = "N", env = "LEASEHOLD_INBOX", hide_env_values = true)]
    pub inbox: Option<usize>,

    /// Elections with metrics of their own, at most 100, with commas between them [default: none]
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        env = "LEASEHOLD_WATCH_ELECTIONS",
        hide_env_values = true
    )]
    #[serde(alias = "watch_elections")]
    pub watch_elections: Option<Vec<String>>,

    /// The name of this service in task tokens (iss) [default: leasehold]
    #[arg(long, value_name = "NAME", env = "LEASEHOLD_ISSUER", hide_env_values = true)]
    pub issuer: Option<String>,

    /// How callers say who they are: none, kubernetes (tokens of service accounts), mtls (client
    /// certificates), with commas between them [default: kubernetes with --kubernetes, unless
    /// --insecure; else none]
    #[arg(
        long,
        value_name = "WAY,...",
        value_delimiter = ',',
        env = "LEASEHOLD_AUTH",
        hide_env_values = true,
        hide_possible_values = true
    )]
    pub auth: Option<Vec<AuthWay>>,

    /// What their tokens must be meant for (aud) [default: leasehold]
    #[arg(long, value_name = "NAME", env = "LEASEHOLD_AUDIENCE", hide_env_values = true)]
    pub audience: Option<String>,

    /// Accept tokens of this OpenID issuer: issuer=URL,audience=NAME,claim=NAME,keys=FILE or URL;
    /// all but the issuer may be left out. May be given several times [default: none]
    #[arg(long, value_name = "ISSUER", value_delimiter = ' ', env = "LEASEHOLD_OIDC", hide_env_values = true)]
    pub oidc: Option<Vec<String>>,

    /// A TOML file that says who may do what, read again when it changes [default: service accounts
    /// may campaign, observe and verify under their namespaces]
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_POLICY", hide_env_values = true)]
    pub policy: Option<PathBuf>,

    /// Who may do everything, with commas between them [default: nobody]
    #[arg(long, value_name = "SUBJECT,...", value_delimiter = ',', env = "LEASEHOLD_ADMIN", hide_env_values = true)]
    pub admin: Option<Vec<String>>,

    /// A file with a token, read anew each time: /metrics is only for whoever sends it as "Bearer
    /// TOKEN" [default: none]
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_HTTP_AUTH", hide_env_values = true)]
    #[serde(alias = "http_auth")]
    pub http_auth: Option<PathBuf>,

    /// Calls a second of one subject [default: 10000]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_CALLS_PER_SUBJECT", hide_env_values = true)]
    #[serde(alias = "max_calls_per_subject")]
    pub max_calls_per_subject: Option<usize>,

    /// Open Observe streams of one subject [default: 2500]
    #[arg(long, value_name = "N", env = "LEASEHOLD_MAX_OBSERVERS_PER_SUBJECT", hide_env_values = true)]
    #[serde(alias = "max_observers_per_subject")]
    pub max_observers_per_subject: Option<usize>,
    /// Where the certificate of the gRPC port comes from, if not from --tls-cert: auto, an
    /// authority that the replicas share, or off, nowhere [default: auto with --kubernetes, else
    /// off]
    #[arg(long, value_name = "MODE", env = "LEASEHOLD_TLS", hide_env_values = true)]
    pub tls: Option<TlsMode>,

    /// More names and addresses for which --tls auto signs, with commas between them [default:
    /// none]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', env = "LEASEHOLD_TLS_NAMES", hide_env_values = true)]
    #[serde(alias = "tls_names")]
    pub tls_names: Option<Vec<String>>,

    /// Publish whom to trust as this ClusterTrustBundle, too, for workers in all namespaces
    /// [default: none]
    #[arg(long, value_name = "NAME", env = "LEASEHOLD_CA_TRUST_BUNDLE", hide_env_values = true)]
    #[serde(alias = "ca_trust_bundle")]
    pub ca_trust_bundle: Option<String>,

    /// The certificate of the gRPC port, and those between it and its authority: PEM, read again
    /// when it changes [default: none]
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_TLS_CERT", hide_env_values = true)]
    #[serde(alias = "tls_cert")]
    pub tls_cert: Option<PathBuf>,

    /// The key of that certificate: PEM, read again when it changes [default: none]
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_TLS_KEY", hide_env_values = true)]
    #[serde(alias = "tls_key")]
    pub tls_key: Option<PathBuf>,

    /// The authorities whose certificates clients may show: PEM, read again when it changes
    /// [default: none]
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_TLS_CLIENT_CA", hide_env_values = true)]
    #[serde(alias = "tls_client_ca")]
    pub tls_client_ca: Option<PathBuf>,

    /// Whether a client must show a certificate of --tls-client-ca [default: required]
    #[arg(long, value_name = "WHETHER", env = "LEASEHOLD_TLS_CLIENT_AUTH", hide_env_values = true)]
    #[serde(alias = "tls_client_auth")]
    pub tls_client_auth: Option<ClientAuth>,

    /// How old a connection gets, 1s to 365days, give or take a tenth: its streams are told to open
    /// again elsewhere [default: 1h]
    #[arg(long, value_name = "TIME", env = "LEASEHOLD_MAX_CONNECTION_AGE", hide_env_values = true)]
    #[serde(alias = "max_connection_age")]
    pub max_connection_age: Option<Span>,

    /// Serve plain text on addresses that others can reach
    #[arg(
        long, value_name = "BOOL", env = "LEASEHOLD_INSECURE", hide_env_values = true, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(),
        hide_possible_values = true
    )]
    pub insecure: Option<bool>,

    /// Form of the log, which goes to stderr [default: text]
    #[arg(long, value_name = "FORM", env = "LEASEHOLD_LOG_FORMAT", hide_env_values = true)]
    #[serde(alias = "log_format")]
    pub log_format: Option<LogFormat>,

    /// What is logged: error, warn, info, debug, trace, or by module like
    /// info,leasehold_server::mirror=debug; libraries only where they are named, like
    /// info,kube_client=debug [default: info]
    #[arg(long, value_name = "LEVEL", env = "LEASEHOLD_LOG_LEVEL", hide_env_values = true)]
    #[serde(alias = "log_level")]
    pub log_level: Option<String>,
}

impl Flags {
    /// Reads a config file: TOML, keys as the flags (`max-ttl` or `max_ttl`). Keys that aren't
    /// known are an error.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`], [`SettingsError::BadFile`].
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let unreadable = |cause| SettingsError::Unreadable { path: path.to_owned(), cause };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            let why = format!("it is longer than {MAX_FILE_BYTES} bytes: is it the right one?");
            return Err(SettingsError::BadFile { path: path.to_owned(), why });
        }
        toml::from_str(&text).map_err(|error| SettingsError::BadFile {
            path: path.to_owned(),
            why: error.to_string().trim_end().to_owned(),
        })
    }

    /// These, and what they leave open from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            http_listen: self.http_listen.or(other.http_listen),
            data_dir: self.data_dir.or(other.data_dir),
            kubernetes: self.kubernetes.or(other.kubernetes),
            namespace: self.namespace.or(other.namespace),
            lease: self.lease.or(other.lease),
            keys_secret: self.keys_secret.or(other.keys_secret),
            replica: self.replica.or(other.replica),
            advertise: self.advertise.or(other.advertise),
            lease_duration: self.lease_duration.or(other.lease_duration),
            renew_interval: self.renew_interval.or(other.renew_interval),
            request_timeout: self.request_timeout.or(other.request_timeout),
            lease_margin: self.lease_margin.or(other.lease_margin),
            max_ttl: self.max_ttl.or(other.max_ttl),
            max_elections: self.max_elections.or(other.max_elections),
            max_candidacies: self.max_candidacies.or(other.max_candidacies),
            max_candidacies_per_election: self.max_candidacies_per_election.or(other.max_candidacies_per_election),
            max_candidacies_per_subject: self.max_candidacies_per_subject.or(other.max_candidacies_per_subject),
            max_observers: self.max_observers.or(other.max_observers),
            max_memory: self.max_memory.or(other.max_memory),
            max_connections_per_address: self.max_connections_per_address.or(other.max_connections_per_address),
            max_streams_per_connection: self.max_streams_per_connection.or(other.max_streams_per_connection),
            inbox: self.inbox.or(other.inbox),
            watch_elections: self.watch_elections.or(other.watch_elections),
            issuer: self.issuer.or(other.issuer),
            auth: self.auth.or(other.auth),
            audience: self.audience.or(other.audience),
            oidc: self.oidc.or(other.oidc),
            policy: self.policy.or(other.policy),
            admin: self.admin.or(other.admin),
            http_auth: self.http_auth.or(other.http_auth),
            max_calls_per_subject: self.max_calls_per_subject.or(other.max_calls_per_subject),
            max_observers_per_subject: self.max_observers_per_subject.or(other.max_observers_per_subject),
            tls: self.tls.or(other.tls),
            tls_names: self.tls_names.or(other.tls_names),
            ca_trust_bundle: self.ca_trust_bundle.or(other.ca_trust_bundle),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            tls_client_ca: self.tls_client_ca.or(other.tls_client_ca),
            tls_client_auth: self.tls_client_auth.or(other.tls_client_auth),
            max_connection_age: self.max_connection_age.or(other.max_connection_age),
            insecure: self.insecure.or(other.insecure),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
        }
    }

    /// The first one that was set of those that mean nothing without `--kubernetes`.
    pub(super) fn first_of_a_replica(&self) -> Option<&'static str> {
        let set = [
            (self.namespace.is_some(), "--namespace"),
            (self.lease.is_some(), "--lease"),
            (self.keys_secret.is_some(), "--keys-secret"),
            (self.replica.is_some(), "--replica"),
            (self.advertise.is_some(), "--advertise"),
            (self.lease_duration.is_some(), "--lease-duration"),
            (self.renew_interval.is_some(), "--renew-interval"),
            (self.request_timeout.is_some(), "--request-timeout"),
            (self.lease_margin.is_some(), "--lease-margin"),
        ];
        set.into_iter().find(|(set, _)| *set).map(|(_, flag)| flag)
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write it as an IP address and a port, like 127.0.0.1:7400".to_owned())
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A length of time as people write it, in whole milliseconds: `15s`, `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// In whole milliseconds.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 15s or 1m 30s"))?;
        if !span.subsec_nanos().is_multiple_of(1_000_000) {
            return Err("give it in whole milliseconds, like 1500ms".to_owned());
        }
        Ok(Self(span))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
