//! Tests of settings. What the process's environment does to them is tested in tests/settings.rs.

use super::*;
use clap::{CommandFactory, Parser};
use std::io::Write;
use std::time::Duration;

fn flags(words: &[&str]) -> Flags {
    CommandLine::try_parse_from([&["leasehold-server"], words].concat()).unwrap().flags
}

fn at_home(name: &str) -> Option<OsString> {
    (name == "HOME").then(|| "/home/ada".into())
}

fn settings(words: &[&str]) -> Result<Settings, SettingsError> {
    Settings::resolve(flags(words), at_home)
}

fn file(text: &str) -> Result<Flags, SettingsError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Flags::from_file(file.path())
}

#[test]
fn the_command_line_is_well_formed() {
    CommandLine::command().debug_assert();
}

#[test]
fn without_flags_it_is_a_complete_service_on_loopback() {
    let settings = settings(&[]).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:7400");
    assert_eq!(settings.http_listen.to_string(), "127.0.0.1:7401");
    assert_eq!(settings.data_dir, Path::new("/home/ada/.local/state/leasehold"));
    let limits = Limits { bytes: settings.budget().candidacies, ..Limits::default() };
    let config = Config { limits, ..Config::embedded(Millis(15_000)) };
    assert_eq!(settings.core_config(Holder(String::new())), config);
    assert_eq!((settings.max_observers, settings.max_streams_per_connection, settings.inbox), (10_000, 4096, 1024));
    assert_eq!((settings.issuer.as_str(), settings.log_level.as_str()), ("leasehold", "info"));
    assert_eq!((settings.insecure, settings.log_format), (false, LogFormat::Text));
}

/// A value for every flag that is one for all.
const WORDS: [&str; 23] = [
    "--listen=0.0.0.0:1",
    "--http-listen=[::1]:2",
    "--data-dir=/d",
    "--max-ttl=1m 30s",
    "--max-elections=3",
    "--max-candidacies=4",
    "--max-candidacies-per-election=5",
    "--max-candidacies-per-subject=6",
    "--max-observers=7",
    "--max-memory=100MiB",
    "--max-connections-per-address=10",
    "--max-streams-per-connection=8",
    "--inbox=9",
    "--issuer=me",
    "--audience=here",
    "--policy=/policy.toml",
    "--http-auth=/token",
    "--max-calls-per-subject=11",
    "--max-observers-per-subject=12",
    "--max-connection-age=10m",
    "--insecure",
    "--log-format=json",
    "--log-level=debug",
];

#[test]
fn every_flag_and_every_key_reaches_its_setting() {
    let expected = Settings {
        replica: None,
        listen: "0.0.0.0:1".parse().unwrap(),
        http_listen: "[::1]:2".parse().unwrap(),
        data_dir: "/d".into(),
        max_ttl: Millis(90_000),
        limits: Limits {
            elections: 3,
            candidacies: 4,
            candidacies_per_election: 5,
            candidacies_per_subject: 6,
            ..Limits::default()
        },
        max_observers: 7,
        max_memory: 100 << 20,
        max_connections_per_address: Some(10),
        max_streams_per_connection: 8,
        inbox: 9,
        watch_elections: vec![],
        issuer: "me".into(),
        auth: AuthSettings {
            kubernetes: true,
            certificates: false,
            audience: "here".into(),
            oidc: vec![],
            policy: Some("/policy.toml".into()),
            http_token: Some("/token".into()),
            admins: vec![],
            calls_per_subject: 11,
            observers_per_subject: 12,
        },
        tls: TlsSettings::default(),
        max_connection_age: Millis(600_000),
        insecure: true,
        log_format: LogFormat::Json,
        log_level: "debug".into(),
    };
    assert_eq!(settings(&[&WORDS[..], &["--auth=kubernetes"]].concat()).unwrap(), expected);
    let limits = Limits { bytes: Budget::of(100 << 20).candidacies, ..expected.limits.clone() };
    assert_eq!(expected.core_config(Holder(String::new())).limits, limits);

    for separator in ["-", "_"] {
        let lines = WORDS.map(|word| {
            let (key, value) = word[2..].split_once('=').unwrap_or((&word[2..], "true"));
            let bare = value == "true" || value.parse::<u32>().is_ok();
            let value = if bare { value.to_owned() } else { format!("{value:?}") };
            format!("{} = {value}", key.replace('-', separator))
        });
        assert_eq!(file(&lines.join("\n")).unwrap(), flags(&WORDS));
    }
}

#[test]
fn a_flag_goes_before_the_file() {
    let file = file("max-ttl = \"20s\"\nissuer = \"file\"\ninsecure = true").unwrap();
    let merged = flags(&["--issuer", "flag", "--insecure=false"]).or(file);
    let settings = Settings::resolve(merged, at_home).unwrap();
    assert_eq!((settings.issuer.as_str(), settings.max_ttl, settings.insecure), ("flag", Millis(20_000), false));
    assert_eq!(settings.inbox, DEFAULT_INBOX);
}

#[test]
fn elections_to_watch_are_a_list() {
    let watched = |flags| Settings::resolve(flags, at_home).map(|settings| settings.watch_elections);
    let names = ["a/b", "c"].map(|name| ElectionName::new(name).unwrap());
    assert_eq!(watched(flags(&["--watch-elections", "a/b,c"])).unwrap(), names);
    assert_eq!(watched(file("watch-elections = [\"a/b\", \"c\"]").unwrap()).unwrap(), names);
    assert!(watched(flags(&["--watch-elections", ""])).unwrap().is_empty());
    let error = watched(flags(&["--watch-elections", "a//b"])).unwrap_err().to_string();
    assert!(error.starts_with("--watch-elections names \"a//b\", which no election can be called: "), "{error}");
    let many = vec!["x".to_owned(); 101];
    let error = watched(Flags { watch_elections: Some(many), ..Flags::default() }).unwrap_err().to_string();
    assert!(error.contains("names 101 elections; at most 100"), "{error}");
}

#[test]
fn a_file_that_isnt_understood_is_refused_where_it_is_wrong() {
    for (text, says) in [
        ("max-ttl = \"20s\"\nmax-tll = \"20s\"", "unknown field `max-tll`, expected one of `listen`, `http-listen`"),
        ("max-ttl = 20", "1 | max-ttl = 20"),
        ("max-ttl = \"20\"", "time unit needed"),
        ("max-ttl = \"20\"", "write it like 15s or 1m 30s"),
        ("listen = \"localhost\"", "1 | listen = \"localhost\""),
        ("log-format = \"xml\"", "unknown variant `xml`, expected `text` or `json`"),
        ("inbox = -1", "1 | inbox = -1"),
        ("max-ttl = \"1s\"\nmax_ttl = \"2s\"", "duplicate field"),
        ("config = \"other.toml\"", "unknown field `config`"),
    ] {
        let error = file(text).unwrap_err().to_string();
        assert!(error.starts_with("the config file ") && error.contains(says), "{error}");
    }
    let error = file(&"#".repeat(1 << 21)).unwrap_err().to_string();
    assert!(error.ends_with("can't be used: it is longer than 1048576 bytes: is it the right one?"), "{error}");
    let error = Flags::from_file(Path::new("/does/not/exist.toml")).unwrap_err().to_string();
    assert!(error.starts_with("can't read the config file /does/not/exist.toml: "), "{error}");
}

#[test]
fn the_state_lies_where_xdg_says() {
    let with = |xdg: Option<&'static str>, home: Option<&'static str>| {
        Settings::resolve(Flags::default(), move |name| match name {
            "XDG_STATE_HOME" => xdg.map(OsString::from),
            "HOME" => home.map(OsString::from),
            _ => None,
        })
    };
    let dir = |settings: Result<Settings, _>| settings.unwrap().data_dir.into_os_string();
    assert_eq!(dir(with(Some("/state"), Some("/home/ada"))), "/state/leasehold");
    assert_eq!(dir(with(Some("relative"), Some("/home/ada"))), "/home/ada/.local/state/leasehold");
    assert_eq!(dir(with(Some(""), Some("/home/ada"))), "/home/ada/.local/state/leasehold");
    let error = with(None, None).unwrap_err().to_string();
    assert!(error.ends_with("pass --data-dir DIR"), "{error}");
}

#[test]
fn others_reach_it_only_if_that_is_spelled_out() {
    for words in [["--listen", "0.0.0.0:7400"], ["--http-listen", "[::]:7401"], ["--listen", "192.168.1.2:7400"]] {
        let error = settings(&words).unwrap_err().to_string();
        let says = format!("{} {} isn't an address of this machine alone", words[0], words[1]);
        assert!(error.starts_with(&says) && error.contains("--tls-cert") && error.contains("--insecure"), "{error}");
        assert!(settings(&[words[0], words[1], "--insecure"]).is_ok());
    }
    for loopback in ["127.0.0.1:0", "127.8.9.10:1", "[::1]:7400", "[::ffff:127.0.0.1]:7400"] {
        assert!(settings(&["--listen", loopback]).is_ok(), "{loopback}");
    }
}

#[test]
fn with_a_certificate_others_may_reach_it_and_clients_may_have_to_show_theirs() {
    let pair = ["--tls-cert=c", "--tls-key=k"];
    let open = ["--listen=0.0.0.0:7400", "--http-listen=0.0.0.0:7401"];
    let source = TlsSource::Files { cert: "c".into(), key: "k".into() };
    let with = |words: &[&str]| settings(&[&pair, &open, words].concat()).unwrap().tls;
    assert_eq!(with(&[]), TlsSettings { source: source.clone(), ..TlsSettings::default() });
    for (words, auth) in [
        (&["--tls-client-ca=ca"][..], ClientAuth::Required),
        (&["--tls-client-ca=ca", "--tls-client-auth=optional"], ClientAuth::Optional),
        (&["--tls-client-ca=ca", "--tls-client-auth=required"], ClientAuth::Required),
    ] {
        let client_ca = Some(ClientCa { path: "ca".into(), auth });
        assert_eq!(with(words), TlsSettings { source: source.clone(), client_ca, ..TlsSettings::default() });
    }
    let lines = "tls-cert = \"c\"\ntls_key = \"k\"\ntls-client-ca = \"ca\"\ntls_client_auth = \"optional\"";
    let words = [&pair[..], &["--tls-client-ca=ca", "--tls-client-auth=optional"]].concat();
    assert_eq!(file(lines).unwrap(), flags(&words));
}

#[test]
fn replicas_sign_for_themselves_unless_something_else_is_said() {
    let source = |words: &[&str]| settings(&[&["--kubernetes"], words].concat()).unwrap().tls.source;
    let files = TlsSource::Files { cert: "c".into(), key: "k".into() };
    for (words, expected) in [
        (&[][..], TlsSource::Auto),
        (&["--tls=auto", "--tls-names=a,b"], TlsSource::Auto),
        (&["--tls=off"], TlsSource::Off),
        (&["--insecure"], TlsSource::Off),
        (&["--tls=off", "--insecure"], TlsSource::Off),
        (&["--tls-cert=c", "--tls-key=k"], files),
    ] {
        assert_eq!(source(words), expected, "{words:?}");
    }
    assert_eq!(settings(&[]).unwrap().tls.source, TlsSource::Off, "a lone server shares nothing");
}

#[test]
fn a_command_is_about_replicas() {
    let (settings, command) = Settings::with_command(["leasehold-server", "rotate-ca", "--after=1m"]).unwrap();
    assert_eq!(command, Some(ServerCommand::RotateCa { after: Span(Duration::from_secs(60)), distrust: false }));
    assert!(settings.replica.is_some());
}

#[test]
fn settings_of_tls_are_checked_together() {
    for (words, says) in [
        (&["--tls-cert=c"][..], "--tls-cert is given without --tls-key"),
        (&["--tls-key=k"], "--tls-key is given without --tls-cert"),
        (&["--tls-client-ca=c"], "--tls-client-ca means nothing in plain text; give --tls-cert and --tls-key"),
        (&["--tls-cert=c", "--tls-key=k", "--tls-client-auth=optional"], "--tls-client-auth is given without"),
        (&["--tls-cert=c", "--tls-key=k", "--insecure"], "leave out one of them"),
        (&["--tls=auto"], "--tls auto means nothing without --kubernetes"),
        (&["--tls=auto", "--kubernetes", "--insecure"], "--tls auto means TLS; leave out one of them"),
        (&["--tls=auto", "--kubernetes", "--tls-cert=c", "--tls-key=k"], "leave out one of them"),
        (&["--tls-names=a", "--kubernetes", "--insecure"], "--tls-names means nothing without --tls auto"),
        (&["--ca-trust-bundle=a", "--kubernetes", "--tls=off"], "--ca-trust-bundle means nothing without --tls auto"),
        (&["--kubernetes", "--tls=off", "--listen=10.0.0.1:7400"], "isn't an address of this machine alone"),
    ] {
        let error = settings(words).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn values_that_make_no_sense_are_named() {
    for (words, says) in [
        (&["--listen", "127.0.0.1:7401"][..], "--listen and --http-listen are both 127.0.0.1:7401"),
        (&["--inbox", "0"], "--inbox is 0; it must lie between 1 and 1000000"),
        (&["--max-observers", "1000001"], "--max-observers is 1000001; it must lie between 1 and 1000000"),
        (&["--max-streams-per-connection", "0"], "--max-streams-per-connection is 0"),
        (&["--max-candidacies", "100001"], "the limit on candidacies is 100001; at most 100000 are supported"),
        (&["--max-ttl", "999ms"], "max_ttl is 999 ms; it must lie between 1 s and 86400 s"),
        (&["--max-ttl", "25h"], "max_ttl is 90000 s"),
        (&["--max-connection-age", "999ms"], "--max-connection-age is 999 ms; it must lie between 1s and 365 days"),
        (&["--max-connection-age", "366days"], "it must lie between 1s and 365 days"),
        (&["--issuer", ""], "--issuer must have 1 to 256 bytes"),
        (&["--log-level", "loud=="], "--log-level \"loud==\" can't be used: "),
    ] {
        let error = settings(words).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(settings(&["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]).is_ok());
}

#[test]
fn words_that_arent_understood_are_refused_with_an_example() {
    for (word, says) in [
        ("--listen=localhost:7400", "write it as an IP address and a port, like 127.0.0.1:7400"),
        ("--max-ttl=15", "write it like 15s or 1m 30s"),
        ("--max-ttl=15s 1us", "give it in whole milliseconds, like 1500ms"),
        ("--log-format=xml", "possible values: text, json"),
        ("--max-tll=15s", "a similar argument exists: '--max-ttl'"),
    ] {
        let error = CommandLine::try_parse_from(["leasehold-server", word]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn the_help_says_every_default_and_every_variable() {
    for flag in CommandLine::command().get_arguments() {
        let name = flag.get_long().unwrap();
        let help = flag.get_help().unwrap().to_string();
        assert!(
            help.contains("[default: ") || ["config", "insecure", "kubernetes"].contains(&name),
            "--{name}: {help}"
        );
        let variable = format!("LEASEHOLD_{}", name.replace('-', "_").to_uppercase());
        assert_eq!(flag.get_env().unwrap(), variable.as_str());
    }
    let help = CommandLine::command().render_long_help().to_string();
    for says in ["--listen <IP:PORT>", "[default: 127.0.0.1:7400]", "[env: LEASEHOLD_LISTEN]", "Examples:"] {
        assert!(help.contains(says), "{says} is missing in\n{help}");
    }
}

#[test]
fn the_operations_page_has_every_setting_with_its_default() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| line.split('|').map(str::trim).skip(1).collect())
        .collect();
    let command = CommandLine::command();
    for flag in command.get_arguments() {
        let name = format!("`--{}`", flag.get_long().unwrap());
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name} has no row"));
        let help = flag.get_help().unwrap().to_string();
        if let Some((_, default)) = help.split_once("[default: ") {
            assert_eq!(row[1], default.trim_end_matches(']'), "the default of {name}");
        }
    }
    assert_eq!(rows.len(), command.get_arguments().count(), "the page has settings that there aren't");
}

#[test]
fn a_replica_knows_where_it_is_reached() {
    let resolve = |words: &[&str], pod: Option<&'static str>| {
        Settings::resolve(flags(words), move |name| match name {
            "POD_IP" => pod.map(OsString::from),
            "POD_NAME" => Some("leasehold-7".into()),
            _ => None,
        })
    };
    let replica = |words: &[&str], pod| resolve(words, pod).unwrap().replica.unwrap();
    let everywhere = &["--kubernetes", "--insecure", "--listen", "0.0.0.0:7400"];
    let in_a_pod = replica(everywhere, Some("10.0.0.7"));
    assert_eq!((in_a_pod.advertise.as_str(), in_a_pod.replica.as_str()), ("10.0.0.7:7400", "leasehold-7"));
    assert_eq!((in_a_pod.lease.as_str(), in_a_pod.duration), ("leasehold", Millis(8000)));
    assert_eq!(
        replica(&[everywhere, &["--advertise", "a:1"][..]].concat(), Some("10.0.0.7")).advertise.as_str(),
        "a:1"
    );
    let error = resolve(everywhere, None).unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:7400") && error.contains("--advertise"), "{error}");
    let local = replica(&["--kubernetes", "--listen", "127.0.0.1:0"], None);
    assert_eq!(local.advertised("127.0.0.1:4321".parse().unwrap()).as_str(), "127.0.0.1:4321");
}

#[test]
fn settings_of_a_replica_are_checked_together() {
    for (words, says) in [
        (&["--kubernetes", "--lease-duration", "4s"][..], "must fit into the duration of 4 s"),
        (&["--kubernetes", "--request-timeout", "4s"], "two request timeouts of 4 s"),
        (&["--kubernetes", "--lease-margin", "300ms"], "less than a twentieth of the duration of 8 s"),
        (&["--kubernetes", "--lease", "a/b"], "--lease is \"a/b\""),
        (&["--kubernetes", "--advertise", "host"], "\"host\" isn't HOST:PORT; write it like 10.0.0.7:7400"),
        (
            &["--kubernetes", "--advertise", "http://h:1/"],
            "(--advertise, or POD_IP) can't be used: \"http://h:1/\" isn't",
        ),
        (
            &["--kubernetes", "--advertise", "0.0.0.0:7400"],
            "\"0.0.0.0:7400\" means every address of a machine, and leads nobody to this one; give the address at which the other",
        ),
        (&["--kubernetes", "--advertise", "[::]:7400"], "\"[::]:7400\" means every address of a machine"),
        (&["--lease", "a"], "--lease means nothing without --kubernetes"),
        (&["--renew-interval", "1s"], "--renew-interval means nothing without --kubernetes"),
    ] {
        let error = settings(words).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn callers_are_asked_in_the_ways_that_are_set() {
    let auth = |words: &[&str]| settings(words).map(|settings| settings.auth).map_err(|error| error.to_string());
    let none = auth(&[]).unwrap();
    assert!(!none.asks() && auth(&["--auth=none"]).unwrap() == none);
    let both = auth(&["--auth=kubernetes,mtls", "--admin", "oidc:https://a#ann,cn:*"]).unwrap();
    assert!(both.asks() && both.kubernetes && both.certificates);
    assert_eq!(
        (both.audience.as_str(), both.calls_per_subject, both.observers_per_subject),
        ("leasehold", 10_000, 2500)
    );
    assert_eq!(both.admins.iter().map(ToString::to_string).collect::<Vec<_>>(), ["oidc:https://a#ann", "cn:*"]);

    let oidc = |spec: &str| auth(&["--oidc", spec]).map(|auth| auth.oidc);
    let one = |spec: &str| oidc(spec).unwrap().remove(0);
    let plain = one("issuer=https://sso.example/ops");
    assert_eq!((plain.issuer.as_str(), plain.audience.as_str()), ("https://sso.example/ops", "leasehold"));
    assert_eq!((plain.claim.as_str(), plain.keys), ("sub", None));
    let full = one("issuer=https://a,audience=b,claim=email,keys=https://a/keys");
    assert_eq!((full.audience.as_str(), full.claim.as_str()), ("b", "email"));
    assert_eq!(full.keys, Some(OidcKeys::Url("https://a/keys".into())));
    assert_eq!(one("issuer=a,keys=/keys.json").keys, Some(OidcKeys::File("/keys.json".into())));
    assert_eq!(oidc("issuer=https://a issuer=https://b").unwrap().len(), 2);
    let written = file("oidc = [\"issuer=https://a\", \"issuer=https://b\"]\nauth = [\"mtls\"]").unwrap();
    assert_eq!(Settings::resolve(written, at_home).unwrap().auth.oidc.len(), 2);
    assert_eq!(auth(&["--auth=mtls", "--audience=x", "--oidc=issuer=https://a"]).unwrap().oidc[0].audience, "x");

    for (words, says) in [
        (&["--oidc=https://a"][..], "--oidc can't be used: \"https://a\" isn't NAME=VALUE"),
        (&["--oidc=audience=a"], "--oidc can't be used: \"audience=a\" names no issuer"),
        (&["--oidc=issuer=http://a"], "only https:// is read from other machines"),
        (&["--oidc=issuer=https://a#b,keys=/k"], "can't be one: a URL of at most 200 bytes without # and ?"),
        (&["--oidc=issuer=a"], "write it like https://issuer.example"),
        (&["--oidc=issuer=https://a,key=b"], "\"key\" is none of issuer, audience, claim and keys"),
        (&["--oidc=issuer=https://a issuer=https://a"], "https://a is named twice"),
        (&["--auth=none,mtls"], "--auth can't be used: it says none, and more"),
        (
            &["--policy=/p"],
            "--policy can't be used: it means nothing where nobody is asked who calls; add --auth or --oidc",
        ),
        (&["--admin=a"], "--admin can't be used: it means nothing"),
        (&["--auth=mtls", "--admin={name}"], "--admin can't be used: \"{name}\" has a brace"),
        (&["--auth=mtls", "--audience="], "--audience can't be used: it is empty"),
        (
            &["--auth=mtls", "--max-calls-per-subject=0"],
            "--max-calls-per-subject is 0; it must lie between 1 and 1000000",
        ),
    ] {
        let error = auth(words).unwrap_err();
        assert!(error.contains(says), "{words:?}: {error}");
    }
}

#[test]
fn replicas_ask_who_calls_unless_told_otherwise() {
    let asks = |words: &[&str]| {
        let words = [&["--kubernetes", "--advertise", "10.0.0.7:7400"], words].concat();
        Settings::resolve(flags(&words), |_| None).unwrap().auth.kubernetes
    };
    assert!(asks(&[]) && asks(&["--tls", "off"]) && asks(&["--oidc", "issuer=https://sso.example"]));
    assert!(!asks(&["--auth", "none"]) && !asks(&["--insecure"]));
    assert!(asks(&["--insecure", "--auth", "kubernetes"]));
    assert!(!Settings::resolve(flags(&["--data-dir", "/d"]), |_| None).unwrap().auth.asks());
}
